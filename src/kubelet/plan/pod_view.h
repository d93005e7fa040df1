// A pod as the kubelet's decisions need it: the parts of core/v1 Pod that steer its life, read once from the document.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "document/document.h"

namespace kybern::kubelet {

enum class RestartPolicy : std::uint8_t { always, on_failure, never };

struct ContainerView {
  enum class Role : std::uint8_t { init, sidecar, regular, ephemeral };  // sidecar: an init container with restartPolicy Always
  Role role = Role::regular;
  Value spec;  // in the pod's document
  std::string name, image;
  RestartPolicy restart = RestartPolicy::always;  // the container's own, or the pod's
  bool own_restart = false;                       // restartPolicy or restartPolicyRules of its own
  bool liveness = false, readiness = false, startup = false;
  bool post_start = false, pre_stop = false;
  std::string hash;  // over name and image: when it changes, the container is made anew

  bool is_init() const { return role == Role::init || role == Role::sidecar; }
  // Whether a container that ended with this code is to run again (restartPolicyRules first, then the policy).
  bool restarts_after(int exit_code) const;
  std::string field_path() const;  // spec.containers{web}, as events name it
};

struct PodView {
  static PodView read(Document pod);

  Document document;  // keeps `spec` of the containers alive
  std::string ns, name, uid;
  std::int64_t generation = 0;
  RestartPolicy restart = RestartPolicy::always;
  bool host_network = false;
  bool is_static = false;  // from a file: its API object is a mirror
  std::optional<Time> deleted_at;
  std::optional<std::int64_t> deletion_grace_s;
  std::int64_t grace_s = 30;  // spec.terminationGracePeriodSeconds
  std::optional<std::int64_t> active_deadline_s;
  std::vector<std::string> readiness_gates;
  std::vector<ContainerView> containers;  // init and sidecars in order, then regular ones, then ephemeral ones

  Value spec() const { return document["spec"]; }
  Value status() const { return document["status"]; }
  Value meta() const { return document["metadata"]; }
  std::string full_name() const;  // name_ns(uid), as messages show it
  std::string key() const;        // ns/name
  const ContainerView* find(std::string_view container) const;
  bool has_init() const;
};

inline constexpr std::string_view annotation_config_source = "kubernetes.io/config.source";
inline constexpr std::string_view annotation_config_mirror = "kubernetes.io/config.mirror";
inline constexpr std::string_view annotation_config_hash = "kubernetes.io/config.hash";
inline constexpr std::string_view annotation_config_seen = "kubernetes.io/config.seen";

// The pod with other resources for some containers, by name.
Document with_resources(const Document& pod, const std::map<std::string, Document>& resources);

// FNV-1a over the JSON of {"image","name"}, in hexadecimal.
std::string container_hash(std::string_view name, std::string_view image);

}  // namespace kybern::kubelet
