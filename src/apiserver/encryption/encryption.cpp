#include "apiserver/encryption/encryption.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/files.h"
#include "base/strings.h"
#include "base/time.h"
#include "document/yaml.h"

namespace kybern::apiserver::encryption {
namespace {

constexpr std::size_t max_configuration_bytes = 1 << 20;
constexpr std::string_view groups_without_dot[] = {"apps", "autoscaling", "batch", "policy"};

// "secrets." or "deployments.apps" of a key: resource, dot, group.
std::string resource_of(std::string_view key) {
  auto parts = split(key.substr(1), '/');
  bool grouped = parts[0].find('.') != std::string_view::npos ||
                 std::find(std::begin(groups_without_dot), std::end(groups_without_dot), parts[0]) != std::end(groups_without_dot);
  if (!grouped) return std::string(parts[0]) + ".";
  return std::string(parts.size() > 1 ? parts[1] : "") + "." + std::string(parts[0]);
}

bool matches(std::string_view pattern, std::string_view resource) {
  if (pattern == "*.*") return true;
  if (pattern.starts_with("*.")) return resource.substr(resource.find('.')) == pattern.substr(1);
  if (pattern.find('.') == std::string_view::npos) return resource == std::string(pattern) + ".";
  return pattern == resource;
}

Result<std::vector<NamedKey>> keys_of(Value provider, const std::string& at, bool aes) {
  std::vector<NamedKey> out;
  std::size_t i = 0;
  for (Value key : provider["keys"].items()) {
    const std::string where = fmt::format("{}.keys[{}]", at, i++);
    if (key["name"].as_string().empty()) return fail(Code::invalid, where + ".name: Required value: key must have a name");
    if (key["name"].as_string().find(':') != std::string_view::npos)
      return fail(Code::invalid, where + ".name: Invalid value: a key's name has no colon");
    auto secret = base64_decode(key["secret"].as_string());
    if (key["secret"].as_string().empty()) return fail(Code::invalid, where + ".secret: Required value: key must have a secret");
    if (!secret) return fail(Code::invalid, where + ".secret: Invalid value: \"REDACTED\": secret must be base64 encoded");
    if (secret->size() != 32 && !(aes && (secret->size() == 16 || secret->size() == 24)))
      return fail(Code::invalid,
                  fmt::format("{}.secret: Invalid value: \"REDACTED\": secret is not of the expected length, got {}, expected one of [{}]",
                              where, secret->size(), aes ? "16 24 32" : "32"));
    out.push_back({key["name"].str(), std::move(*secret)});
  }
  if (out.empty()) return fail(Code::invalid, at + ".keys: Required value: at least one key is required");
  return out;
}

Result<std::shared_ptr<Provider>> kms_of(Value kms, const std::string& at, World world) {
  const std::string_view version = kms["apiVersion"].as_string("v1");  // as upstream fills it in
  if (version == "v1")
    return fail(Code::invalid, fmt::format("{}.apiVersion: Invalid value: \"v1\": KMSv1 is deprecated, off by default upstream and not "
                                           "supported here. Use KMSv2 instead",
                                           at));
  if (version != "v2")
    return fail(Code::invalid,
                fmt::format("{}.apiVersion: Invalid value: {}: unsupported apiVersion {} for KMS provider, only v2 is supported", at,
                            go_quote(version), version));
  const std::string name = kms["name"].str(), endpoint = kms["endpoint"].str();
  if (name.empty()) return fail(Code::invalid, at + ".name: Required value: KMS provider name is required");
  if (name.find(':') != std::string::npos)
    return fail(Code::invalid, fmt::format("{}.name: Invalid value: {}: KMS provider name should not contain ':'", at, go_quote(name)));
  if (!endpoint.starts_with("unix://"))
    return fail(Code::invalid, fmt::format("{}.endpoint: Invalid value: {}: unsupported scheme, must be unix", at, go_quote(endpoint)));
  auto timeout = parse_duration(kms["timeout"].as_string("3s"));
  if (!timeout || *timeout <= Duration(0))
    return fail(Code::invalid,
                fmt::format("{}.timeout: Invalid value: {}: should be a positive value", at, go_quote(kms["timeout"].as_string())));
  auto service = grpc_key_service(endpoint, std::chrono::duration_cast<std::chrono::milliseconds>(*timeout));
  if (!service) return std::unexpected(service.error());
  return kms_provider(name, std::move(*service), world);
}

Result<std::shared_ptr<Provider>> provider_of(Value provider, const std::string& at, World world) {
  if (!provider.is_object() || provider.size() != 1) return fail(Code::invalid, at + ": Invalid value: a provider has exactly one kind");
  const std::string kind(provider.member(0).key);
  Value of = provider.member(0).value;
  if (kind == "identity") return identity_provider();
  if (kind == "kms") return kms_of(of, at + ".kms", world);
  if (kind != "aesgcm" && kind != "aescbc" && kind != "secretbox")
    return fail(Code::invalid,
                fmt::format("{}: provider {} is not supported: expected identity, aesgcm, aescbc, secretbox or kms", at, go_quote(kind)));
  auto keys = keys_of(of, at + "." + kind, kind != "secretbox");
  if (!keys) return std::unexpected(keys.error());
  if (kind == "secretbox") return secretbox_provider(std::move(*keys));
  return kind == "aesgcm" ? aes_gcm_provider(std::move(*keys)) : aes_cbc_provider(std::move(*keys));
}

Result<std::string> read_configuration(const std::string& file) {
  auto text = read_file(file);
  if (!text)
    return fail(Code::invalid, fmt::format("error reading encryption provider configuration file {}: cannot be read", go_quote(file)));
  return text;
}

std::string path_of(std::string_view key) { return "/registry" + std::string(key); }

}  // namespace

Result<Configuration> read_configuration(std::string_view yaml, World world) {
  if (yaml.size() > max_configuration_bytes)
    return fail(Code::too_large, fmt::format("the encryption configuration is larger than {} bytes", max_configuration_bytes));
  auto documents = parse_yaml(yaml);
  if (!documents) return fail(Code::invalid, documents.error().message);
  Value root = documents->empty() ? Value() : documents->front().root();
  if (root["kind"].as_string() != "EncryptionConfiguration" || root["apiVersion"].as_string() != "apiserver.config.k8s.io/v1")
    return fail(Code::invalid, "expected apiVersion apiserver.config.k8s.io/v1, kind EncryptionConfiguration");
  if (root["resources"].empty())
    return fail(Code::invalid, "resources: Required value: at least one encryption configuration object is required");
  Configuration out;
  std::size_t i = 0;
  for (Value entry : root["resources"].items()) {
    const std::string at = fmt::format("resources[{}]", i++);
    Group group;
    for (Value resource : entry["resources"].items()) {
      std::string name = resource.str();
      if (name.empty() || name == "*" || (name.find('*') != std::string::npos && !name.starts_with("*.")))
        return fail(Code::invalid,
                    fmt::format("{}.resources: Invalid value: {}: use '*.<group>', '*.' or '*.*' for wildcards", at, go_quote(name)));
      if (std::find(group.resources.begin(), group.resources.end(), name) != group.resources.end())
        return fail(Code::invalid, fmt::format("{}.resources: Invalid value: {}: the resource is listed twice", at, go_quote(name)));
      group.resources.push_back(std::move(name));
    }
    if (group.resources.empty()) return fail(Code::invalid, at + ".resources: Required value: at least one resource is required");
    std::size_t j = 0;
    for (Value provider : entry["providers"].items()) {
      auto made = provider_of(provider, fmt::format("{}.providers[{}]", at, j++), world);
      if (!made) return std::unexpected(made.error());
      group.providers.push_back(std::move(*made));
    }
    if (group.providers.empty()) return fail(Code::invalid, at + ".providers: Required value: at least one provider is required");
    out.push_back(std::move(group));
  }
  return out;
}

Result<std::unique_ptr<Encryption>> Encryption::open(std::string file, World world) {
  auto text = read_configuration(file);
  if (!text) return std::unexpected(text.error());
  std::unique_ptr<Encryption> out(new Encryption(std::move(file), std::move(*text), world));
  if (auto ok = out->take(out->text_); !ok) return std::unexpected(ok.error());
  return out;
}

void Encryption::follow(Duration interval) {
  follower_ = std::make_unique<ConfigFollower>(
      ConfigFollower::Options{"encryption", file_, text_, interval, [this](const std::string& text) { return take(text); }}, world_);
}

Result<void> Encryption::take(const std::string& text) {
  auto configuration = read_configuration(std::string_view(text), world_);
  if (!configuration)
    return fail(Code::invalid, fmt::format("error while parsing encryption provider configuration file {}: {}", go_quote(file_),
                                           configuration.error().message));
  if (current())  // what works is not given up for services that do not answer
    for (const Group& group : *configuration)
      for (const auto& provider : group.providers)
        if (provider->needs_service())
          if (auto ok = provider->health(); !ok) return fail(Code::unavailable, ok.error().message);
  std::lock_guard lock(mutex_);
  configuration_ = std::make_shared<const Configuration>(std::move(*configuration));
  return {};
}

std::shared_ptr<const Configuration> Encryption::current() const {
  std::lock_guard lock(mutex_);
  return configuration_;
}

// The first that names the resource.
const Group* Encryption::group_of(const Configuration& configuration, std::string_view key) {
  const std::string resource = resource_of(key);
  for (const Group& group : configuration)
    for (const std::string& pattern : group.resources)
      if (matches(pattern, resource)) return &group;
  return nullptr;
}

std::uint32_t Encryption::mark_of(const std::string& key_id) const {
  if (key_id.empty()) return 0;
  return marks_.try_emplace(key_id, static_cast<std::uint32_t>(marks_.size() + 1)).first->second;
}

bool Encryption::concerns(std::string_view key) const {
  auto configuration = current();
  return group_of(*configuration, key) != nullptr;
}

Result<store::Sealer::Sealed> Encryption::seal(std::string_view key, std::string_view json) {
  auto configuration = current();
  const Group* group = group_of(*configuration, key);
  if (!group) return Sealed{std::string(json), 0};
  auto sealed = group->providers.front()->seal(json, path_of(key));
  if (!sealed) return std::unexpected(sealed.error());
  std::lock_guard lock(mutex_);
  return Sealed{std::move(sealed->bytes), mark_of(sealed->key)};
}

Result<store::Sealer::Sealed> Encryption::open(std::string_view key, std::string_view bytes) {
  auto configuration = current();
  const Group* group = group_of(*configuration, key);
  auto refuse = [&](std::string_view why) {
    return fail(Code::invalid, fmt::format("unable to transform key {}: {}", go_quote(path_of(key)), why));
  };
  if (!group)
    return bytes.starts_with("k8s:enc:") ? Result<Sealed>(refuse("identity transformer tried to read encrypted data"))
                                         : Sealed{std::string(bytes), 0};
  for (const auto& provider : group->providers) {
    if (!provider->knows(bytes)) continue;
    auto plain = provider->open(bytes, path_of(key));
    if (!plain) return refuse(plain.error().message);
    std::lock_guard lock(mutex_);
    return Sealed{std::move(plain->bytes), mark_of(plain->key)};
  }
  return refuse("no matching prefix found");
}

void Encryption::note(std::string_view key, std::uint32_t mark) {
  if (!concerns(key)) return;
  std::lock_guard lock(mutex_);
  values_[std::string(key)] = mark;
}

void Encryption::forget(std::string_view key) {
  std::lock_guard lock(mutex_);
  values_.erase(std::string(key));
}

std::vector<Result<void>> Encryption::services() const {
  std::vector<Result<void>> out;
  auto configuration = current();
  for (const Group& group : *configuration)
    for (const auto& provider : group.providers)
      if (provider->needs_service()) out.push_back(provider->health());
  return out;
}

bool Encryption::stale(std::string_view key) const {
  auto configuration = current();
  const Group* group = group_of(*configuration, key);
  std::optional<std::uint32_t> mark;
  {
    std::lock_guard lock(mutex_);
    if (auto found = values_.find(std::string(key)); found != values_.end()) mark = found->second;
  }
  if (!group) return mark.value_or(0) != 0;
  auto writes = group->providers.front()->writes_with();
  if (!writes) return false;
  std::lock_guard lock(mutex_);
  return mark.value_or(0) != mark_of(*writes);
}

}  // namespace kybern::apiserver::encryption
