// The volumes of pods on this node: made before the first container, kept current while the pod runs, removed at the end.
//
//   ROOT/pods/<uid>/volumes/kubernetes.io~empty-dir/<volume>      (and ~configmap, ~secret, ~projected, ~downward-api)
//   ROOT/pods/<uid>/volume-subpaths/<volume>/<container>/<index>   bind mounts of subPath
//   ROOT/pods/<uid>/containers/<container>/<random>                termination messages
//   ROOT/pods/<uid>/etc-hosts
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/world.h"
#include "kubelet/plan/cri_config.h"
#include "kubelet/volumes/payload.h"

namespace kybern::kubelet {

struct VolumeProblem {
  std::string volume;   // "" for the pod as a whole
  std::string message;  // upstream's event text
};

struct VolumeSources {
  PayloadSources payload;
  std::function<Result<Document>(std::string_view name)> claim;   // PersistentVolumeClaim of the pod's namespace
  std::function<Result<Document>(std::string_view name)> volume;  // PersistentVolume
  std::int64_t node_memory_bytes = 0;
};

class Volumes {
 public:
  Volumes(std::string root, World world) : root_(std::move(root)), world_(world) {}

  std::string pod_folder(std::string_view uid) const { return root_ + "/pods/" + std::string(uid); }
  // Makes every volume of the pod; done twice it does no harm. All problems, empty when there is none.
  std::vector<VolumeProblem> prepare(const PodView& pod, const VolumeSources& sources);
  // Writes what changed of config maps, secrets, tokens and the pod's own fields.
  std::vector<VolumeProblem> refresh(const PodView& pod, const VolumeSources& sources);
  // The mounts of one container, volumes only. `environment` serves subPathExpr.
  Result<std::vector<MountSpec>> mounts(const PodView& pod, const ContainerView& c, const Environment& environment,
                                        const VolumeSources& sources);
  // Unmounts and removes everything of the pod.
  Result<void> remove(std::string_view uid);
  std::vector<std::string> pods_on_disk() const;  // uids
  std::string volume_folder(const PodView& pod, Value volume) const;

 private:
  Result<std::string> host_path_of(const PodView& pod, Value volume, const VolumeSources& sources) const;
  Result<void> prepare_one(const PodView& pod, Value volume, const VolumeSources& sources);
  Result<std::string> mount_sub_path(const PodView& pod, const ContainerView& c, std::size_t index, Value volume, const std::string& base,
                                     const std::string& sub_path);

  std::string root_;
  World world_;
};

}  // namespace kybern::kubelet
