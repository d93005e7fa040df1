#include "kubelet/runtime/images.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "base/strings.h"
#include "client/events.h"
#include "document/json.h"

namespace kybern::kubelet {
namespace {

constexpr std::chrono::milliseconds pull_limit{60 * 60 * 1000};

bool is_host(std::string_view first) {
  return first.find('.') != std::string_view::npos || first.find(':') != std::string_view::npos || first == "localhost";
}

bool valid_component(std::string_view text) {
  if (text.empty()) return false;
  auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); };
  if (!plain(text.front()) || !plain(text.back())) return false;
  return std::all_of(text.begin(), text.end(), [&](char c) { return plain(c) || c == '.' || c == '_' || c == '-'; });
}

bool valid_tag(std::string_view tag) {
  if (tag.empty() || tag.size() > 128 || tag.front() == '.' || tag.front() == '-') return false;
  return std::all_of(tag.begin(), tag.end(),
                     [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-'; });
}

struct Reference {
  std::string_view host, path, tag, digest;
  bool valid = false;
};

// [host[:port]/]path[:tag][@digest]
Reference parse_reference(std::string_view image) {
  Reference r;
  std::string_view rest = image;
  if (std::size_t at = rest.find('@'); at != std::string_view::npos) {
    r.digest = rest.substr(at + 1);
    rest = rest.substr(0, at);
    if (r.digest.find(':') == std::string_view::npos) return r;
  }
  std::size_t slash = rest.rfind('/'), colon = rest.rfind(':');
  if (colon != std::string_view::npos && (slash == std::string_view::npos || colon > slash)) {
    r.tag = rest.substr(colon + 1);
    rest = rest.substr(0, colon);
    if (!valid_tag(r.tag)) return r;
  }
  std::size_t first = rest.find('/');
  if (first != std::string_view::npos && is_host(rest.substr(0, first))) {
    r.host = rest.substr(0, first);
    rest = rest.substr(first + 1);
  }
  r.path = rest;
  for (std::string_view piece : split(rest, '/')) {
    if (!valid_component(piece)) return r;
  }
  r.valid = true;
  return r;
}

// `*` stands for one piece of a host name.
bool host_matches(std::string_view pattern, std::string_view host) {
  auto [p, p_port] = std::pair(pattern.substr(0, pattern.rfind(':')),
                               pattern.rfind(':') == std::string_view::npos ? std::string_view() : pattern.substr(pattern.rfind(':')));
  auto [h, h_port] = std::pair(host.substr(0, host.rfind(':')),
                               host.rfind(':') == std::string_view::npos ? std::string_view() : host.substr(host.rfind(':')));
  if (p_port != h_port) return false;
  std::vector<std::string_view> a = split(p, '.'), b = split(h, '.');
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] != "*" && a[i] != b[i]) return false;
  }
  return true;
}

// An entry of a docker config: "https://index.docker.io/v1/", "registry.example:5000", "registry.example/team".
bool entry_matches(std::string_view entry, const Reference& image) {
  if (std::size_t scheme = entry.find("://"); scheme != std::string_view::npos) entry = entry.substr(scheme + 3);
  while (entry.ends_with('/')) entry.remove_suffix(1);
  std::string_view host = entry.substr(0, entry.find('/'));
  std::string_view path = entry.find('/') == std::string_view::npos ? std::string_view() : entry.substr(entry.find('/') + 1);
  std::string_view wanted = image.host.empty() ? "docker.io" : image.host;
  bool docker = wanted == "docker.io" || wanted == "index.docker.io";
  if (docker && (host == "docker.io" || host == "index.docker.io")) return true;
  return host_matches(host, wanted) && (path.empty() || path == "v1" || path == "v2" || image.path.starts_with(path));
}

void add_entries(std::vector<std::pair<std::size_t, RegistryAuth>>& out, Value auths, const Reference& image) {
  for (Member m : auths.members()) {
    if (!entry_matches(m.key, image)) continue;
    RegistryAuth auth;
    auth.username = m.value["username"].str();
    auth.password = m.value["password"].str();
    auth.identity_token = m.value["identitytoken"].str();
    auth.registry_token = m.value["registrytoken"].str();
    if (std::string packed = base64_decode(m.value["auth"].as_string()).value_or(""); !packed.empty() && auth.username.empty()) {
      std::size_t colon = packed.find(':');
      auth.username = packed.substr(0, colon);
      if (colon != std::string::npos) auth.password = packed.substr(colon + 1);
    }
    out.emplace_back(m.key.size(), std::move(auth));
  }
}

std::string seconds_text(Duration d) { return format_duration(std::chrono::round<std::chrono::milliseconds>(d)); }

}  // namespace

Result<std::string> with_default_tag(std::string_view image) {
  Reference r = parse_reference(image);
  if (!r.valid) {
    bool upper =
        std::any_of(image.begin(), image.end(), [](char c) { return c >= 'A' && c <= 'Z'; }) && parse_reference(to_lower(image)).valid;
    return fail(Code::invalid,
                fmt::format("couldn't parse image name \"{}\": {}", image,
                            upper ? fmt::format("repository name ({}) must be lowercase", r.path) : "invalid reference format"));
  }
  if (!r.tag.empty() || !r.digest.empty()) return std::string(image);
  return fmt::format("{}:latest", image);
}

std::string registry_of(std::string_view image) {
  std::string_view host = parse_reference(image).host;
  return host.empty() ? "docker.io" : std::string(host);
}

std::vector<RegistryAuth> credentials_for(std::string_view image, const std::vector<Document>& pull_secrets) {
  std::vector<std::pair<std::size_t, RegistryAuth>> found;
  Reference r = parse_reference(image);
  for (const Document& secret : pull_secrets) {
    Value data = secret["data"];
    if (auto whole = parse_json(base64_decode(data[".dockerconfigjson"].as_string()).value_or("")))
      add_entries(found, (*whole)["auths"], r);
    else if (auto old = parse_json(base64_decode(data[".dockercfg"].as_string()).value_or(""))) add_entries(found, old->root(), r);
  }
  std::stable_sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
  std::vector<RegistryAuth> out;
  for (auto& [length, auth] : found) out.push_back(std::move(auth));
  return out;
}

std::expected<ImageOutcome, ImageProblem> Images::ensure(const PodView& pod, const ImageWish& wish,
                                                         const std::vector<Document>& pull_secrets, const Document& sandbox_config) {
  auto tell = [&](const char* type, const char* reason, std::string message) {
    events_.record(pod.document.root(), type, reason, std::move(message), wish.field_path);
  };
  auto outcome = [](std::string ref, const std::optional<Image>& image) {
    ImageOutcome out{std::move(ref), std::nullopt, ""};
    if (image) {
      out.uid = image->uid;
      out.username = image->username;
    }
    if (!out.uid && out.username.empty()) out.uid = 0;  // an image that names no user runs as root
    return out;
  };
  auto name = with_default_tag(wish.image);
  if (!name) {
    std::string message = fmt::format("Failed to apply default image tag \"{}\": {}", wish.image, name.error().message);
    tell("Warning", "InspectFailed", message);
    return std::unexpected(ImageProblem{"InvalidImageName", message});
  }
  auto present = cri_.image_status(*name);
  if (!present) {
    std::string message = fmt::format("Failed to inspect image \"{}\": {}", wish.image, present.error().message);
    tell("Warning", "InspectFailed", message);
    return std::unexpected(ImageProblem{"ImageInspectError", message});
  }
  std::string_view policy = wish.policy;
  if (policy.empty()) policy = name->ends_with(":latest") ? "Always" : "IfNotPresent";
  if (*present && policy != "Always") {
    tell("Normal", "Pulled", fmt::format("Container image \"{}\" already present on machine and can be accessed by the pod", wish.image));
    return outcome((*present)->id, *present);
  }
  if (policy == "Never") {
    std::string message = fmt::format("Container image \"{}\" is not present with pull policy of Never", wish.image);
    tell("Warning", "ErrImageNeverPull", message);
    return std::unexpected(ImageProblem{"ErrImageNeverPull", message});
  }
  tell("Normal", "Pulling", fmt::format("Pulling image \"{}\"", wish.image));
  Instant begin = world_.clock.steady();
  std::vector<RegistryAuth> credentials = credentials_for(*name, pull_secrets);
  Result<std::string> ref = fail(Code::internal, "no attempt was made");
  for (const RegistryAuth& auth : credentials) {
    ref = cri_.pull_image(*name, &auth, sandbox_config, pull_limit);
    if (ref) break;
  }
  if (credentials.empty()) ref = cri_.pull_image(*name, nullptr, sandbox_config, pull_limit);
  if (!ref) {
    tell("Warning", "Failed", fmt::format("Failed to pull image \"{}\": {}", wish.image, ref.error().message));
    return std::unexpected(ImageProblem{"ErrImagePull", ref.error().message, true});
  }
  if (pulled_) pulled_();
  auto pulled = cri_.image_status(*ref);
  std::uint64_t size = pulled && *pulled ? (*pulled)->size_bytes : 0;
  std::string took = seconds_text(world_.clock.steady() - begin);
  tell("Normal", "Pulled",
       fmt::format("Successfully pulled image \"{}\" in {} ({} including waiting). Image size: {} bytes.", wish.image, took, took, size));
  return outcome(*ref, pulled ? *pulled : std::optional<Image>());
}

}  // namespace kybern::kubelet
