// Images of containers: present or pulled, by the pull policy, with the secrets that the pod names.
#pragma once

#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/world.h"
#include "document/document.h"
#include "kubelet/plan/pod_view.h"
#include "kubelet/runtime/cri.h"

namespace kybern::client {
class EventRecorder;
}

namespace kybern::kubelet {

struct ImageOutcome {
  std::string ref;  // what CreateContainer takes
  std::optional<std::int64_t> uid;
  std::string username;
};
struct ImageProblem {
  std::string reason, message;  // ErrImagePull, ErrImageNeverPull, InvalidImageName, ImageInspectError
  bool backs_off = false;       // a pull failed: the next one waits longer
};

// What is wanted: of a container, or of a volume of it.
struct ImageWish {
  std::string image, policy;  // policy "": Always for ":latest", else IfNotPresent
  std::string field_path;     // of the container, for the events
};

class Images {
 public:
  // `pulled` is called after each pull that brought an image.
  Images(Cri& cri, World world, client::EventRecorder& events, std::function<void()> pulled)
      : cri_(cri), world_(world), events_(events), pulled_(std::move(pulled)) {}
  // Blocks while it pulls. Records the events Pulled, Pulling, Failed, ErrImageNeverPull, InspectFailed.
  std::expected<ImageOutcome, ImageProblem> ensure(const PodView& pod, const ImageWish& wish, const std::vector<Document>& pull_secrets,
                                                   const Document& sandbox_config);

 private:
  Cri& cri_;
  World world_;
  client::EventRecorder& events_;
  std::function<void()> pulled_;
};

// With ":latest" when there is neither tag nor digest; Code::invalid for what is no image name at all.
Result<std::string> with_default_tag(std::string_view image);
std::string registry_of(std::string_view image);  // "docker.io" when it names none
// Credentials for that image among docker config secrets (kubernetes.io/dockerconfigjson and dockercfg), the closest match first.
std::vector<RegistryAuth> credentials_for(std::string_view image, const std::vector<Document>& pull_secrets);

}  // namespace kybern::kubelet
