#include "kubelet/volumes/payload.h"

#include <fmt/format.h>

#include "base/strings.h"

namespace kybern::kubelet {
namespace {

// A path below the volume that stays there: relative, no empty, "." or ".." pieces, not beginning with "..".
bool stays_inside(std::string_view path) {
  if (path.empty() || path.starts_with("..")) return false;
  for (std::string_view piece : split(path, '/')) {
    if (piece.empty() || piece == "." || piece == "..") return false;
  }
  return true;
}

unsigned mode_of(Value mode, unsigned fallback) { return mode.is_int() ? static_cast<unsigned>(mode.as_int()) : fallback; }

// The keys of a config map or secret with their bytes.
std::map<std::string, std::string> data_of(Value object, bool secret) {
  std::map<std::string, std::string> out;
  for (Member m : object["data"].members())
    out[std::string(m.key)] = secret ? base64_decode(m.value.as_string()).value_or("") : m.value.str();
  if (!secret) {
    for (Member m : object["binaryData"].members()) out[std::string(m.key)] = base64_decode(m.value.as_string()).value_or("");
  }
  return out;
}

Result<void> add_object(Payload& out, Value source, bool secret, std::string_view name, unsigned mode, const PayloadSources& sources) {
  bool optional = source["optional"].as_bool();
  auto object = secret ? sources.facts.secret(name) : sources.facts.config_map(name);
  if (!object) {
    if (object.error().code == Code::not_found && optional) return {};
    return std::unexpected(object.error());
  }
  std::map<std::string, std::string> data = data_of(object->root(), secret);
  if (source["items"].empty()) {
    for (auto& [key, bytes] : data) out[key] = {std::move(bytes), mode, std::nullopt};
    return {};
  }
  for (Value item : source["items"].items()) {
    auto found = data.find(item["key"].str());
    if (found == data.end()) {
      if (optional) continue;
      return fail(Code::not_found,
                  fmt::format("references non-existent {} key: {}", secret ? "secret" : "config", item["key"].as_string()));
    }
    out[item["path"].str()] = {found->second, mode_of(item["mode"], mode), std::nullopt};
  }
  return {};
}

Result<void> add_downward(Payload& out, const PodView& pod, Value source, unsigned mode, const PayloadSources& sources) {
  for (Value item : source["items"].items()) {
    std::string text;
    if (Value field = item["fieldRef"]; field.is_object()) {
      auto value = field_value(pod, field["fieldPath"].as_string(), sources.facts);
      if (!value) return std::unexpected(value.error());
      text = std::move(*value);
    } else if (Value ref = item["resourceFieldRef"]; ref.is_object()) {
      const ContainerView* c = pod.find(ref["containerName"].as_string());
      if (c == nullptr) return fail(Code::not_found, fmt::format("container {} not found", ref["containerName"].as_string()));
      auto amount = resource_field(*c, ref["resource"].as_string(), Quantity::of(ref["divisor"]), sources.facts.node_allocatable);
      if (!amount) return fail(Code::invalid, fmt::format("unsupported container resource : {}", ref["resource"].as_string()));
      text = std::to_string(*amount);
    }
    out[item["path"].str()] = {std::move(text), mode_of(item["mode"], mode), std::nullopt};
  }
  return {};
}

Result<void> add_token(Payload& out, const PodView& pod, Value source, unsigned mode, const PayloadSources& sources) {
  TokenWish wish{pod.spec()["serviceAccountName"].str(), source["audience"].str(), source["expirationSeconds"].as_int(3600)};
  if (wish.service_account.empty()) wish.service_account = "default";
  auto token = sources.token(wish);
  if (!token) return std::unexpected(token.error());
  PayloadFile file{std::move(*token), mode, std::nullopt};
  // Readable by whom it is for: with a group or a single user the file is not for everybody.
  auto user = common_user(pod);
  if (user) file.owner = static_cast<unsigned>(*user);
  if (user || pod.spec()["securityContext"]["fsGroup"].is_int()) file.mode = 0600;
  out[source["path"].str()] = std::move(file);
  return {};
}

}  // namespace

std::optional<std::int64_t> common_user(const PodView& pod) {
  std::optional<std::int64_t> user;
  for (const ContainerView& c : pod.containers) {
    if (c.role == ContainerView::Role::ephemeral) continue;
    Value own = c.spec["securityContext"]["runAsUser"], of_pod = pod.spec()["securityContext"]["runAsUser"];
    Value effective = own.is_int() ? own : of_pod;
    if (!effective.is_int() || (user && *user != effective.as_int())) return std::nullopt;
    user = effective.as_int();
  }
  return user;
}

bool is_payload_volume(Value volume) {
  for (const char* kind : {"configMap", "secret", "downwardAPI", "projected"}) {
    if (volume[kind].is_object()) return true;
  }
  return false;
}

Result<Payload> make_payload(const PodView& pod, Value volume, const PayloadSources& sources) {
  Payload out;
  Result<void> added;
  if (Value v = volume["configMap"]; v.is_object()) {
    added = add_object(out, v, false, v["name"].as_string(), mode_of(v["defaultMode"], 0644), sources);
  } else if (Value v = volume["secret"]; v.is_object()) {
    added = add_object(out, v, true, v["secretName"].as_string(), mode_of(v["defaultMode"], 0644), sources);
  } else if (Value v = volume["downwardAPI"]; v.is_object()) {
    added = add_downward(out, pod, v, mode_of(v["defaultMode"], 0644), sources);
  } else if (Value v = volume["projected"]; v.is_object()) {
    unsigned mode = mode_of(v["defaultMode"], 0644);
    for (Value s : v["sources"].items()) {
      if (Value c = s["configMap"]; c.is_object()) added = add_object(out, c, false, c["name"].as_string(), mode, sources);
      else if (Value c = s["secret"]; c.is_object()) added = add_object(out, c, true, c["name"].as_string(), mode, sources);
      else if (Value d = s["downwardAPI"]; d.is_object()) added = add_downward(out, pod, d, mode, sources);
      else if (Value t = s["serviceAccountToken"]; t.is_object()) added = add_token(out, pod, t, mode, sources);
      else added = fail(Code::unsupported, "this kind of projected source is not supported");
      if (!added) break;
    }
  }
  if (!added) return std::unexpected(added.error());
  for (const auto& [path, file] : out) {
    if (!stays_inside(path)) { return fail(Code::invalid, fmt::format("invalid path {}: must be relative and not begin with '..'", path)); }
  }
  return out;
}

}  // namespace kybern::kubelet
