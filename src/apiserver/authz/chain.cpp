#include "apiserver/authz/chain.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>

#include "base/strings.h"
#include "base/time.h"
#include "document/yaml.h"
#include "machinery/names.h"

namespace kybern::apiserver {
namespace {

constexpr std::size_t max_configuration_bytes = 1 << 20, max_conditions = 64;
constexpr Duration longest_timeout = std::chrono::seconds(30);

struct Mode {
  std::string_view name;
  Authority::Kind kind;
};
constexpr Mode modes[] = {{"AlwaysAllow", Authority::Kind::always_allow},
                          {"AlwaysDeny", Authority::Kind::always_deny},
                          {"Node", Authority::Kind::node},
                          {"RBAC", Authority::Kind::rbac},
                          {"Webhook", Authority::Kind::webhook}};

const Mode* find_mode(std::string_view name) {
  auto found = std::find_if(std::begin(modes), std::end(modes), [&](const Mode& m) { return m.name == name; });
  return found == std::end(modes) ? nullptr : found;
}

std::string mode_names() {
  std::string out;
  for (const Mode& m : modes) out += (out.empty() ? "\"" : ", \"") + std::string(m.name) + '"';
  return out;
}

// Reads the file, and notes what is wrong with it.
class Reader {
 public:
  explicit Reader(World world) : world_(world) {}
  std::vector<std::string> wrong;
  AuthorizationChain chain;

  void read(Value root) {
    known(root, "", {"kind", "apiVersion", "authorizers"});
    if (root["authorizers"].empty()) required("authorizers", "at least one authorization mode must be defined");
    std::size_t i = 0;
    for (Value one : root["authorizers"].items()) authorizer(one, fmt::format("authorizers[{}]", i++));
  }

 private:
  void required(const std::string& at, std::string_view why = "") {
    wrong.push_back(fmt::format("{}: Required value{}{}", at, why.empty() ? "" : ": ", why));
  }
  void invalid(const std::string& at, std::string_view value, std::string_view why) {
    wrong.push_back(fmt::format("{}: Invalid value: {}: {}", at, go_quote(value), why));
  }
  void unsupported(const std::string& at, std::string_view value, std::string_view supported) {
    wrong.push_back(fmt::format("{}: Unsupported value: {}: supported values: {}", at, go_quote(value), supported));
  }
  void known(Value object, const std::string& at, std::initializer_list<std::string_view> fields) {
    for (Member m : object.members())
      if (std::find(fields.begin(), fields.end(), m.key) == fields.end())
        wrong.push_back(fmt::format("unknown field {}", go_quote(at.empty() ? std::string(m.key) : fmt::format("{}.{}", at, m.key))));
  }

  void authorizer(Value one, const std::string& at) {
    known(one, at, {"type", "name", "webhook"});
    const std::string type = one["type"].str(), name = one["name"].str();
    if (type.empty()) return required(at + ".type");
    const Mode* mode = find_mode(type);
    if (!mode) return unsupported(at + ".type", type, mode_names());
    const bool webhook = mode->kind == Authority::Kind::webhook;
    if (!types_.insert(type).second && !webhook) return wrong.push_back(fmt::format("{}.type: Duplicate value: {}", at, go_quote(type)));
    if (name.empty()) required(at + ".name");
    else if (names_.contains(name)) wrong.push_back(fmt::format("{}.name: Duplicate value: {}", at, go_quote(name)));
    else if (auto faults = names::dns1123_subdomain(name); !faults.empty())
      invalid(at + ".name", name, "authorizer name is invalid: " + join(faults, ", "));
    names_.insert(name);
    if (!webhook) {
      if (one["webhook"].is_object()) invalid(at + ".webhook", "non-null", "may only be specified when type=Webhook");
      chain.push_back({mode->kind});
      return;
    }
    if (!one["webhook"].is_object()) return required(at + ".webhook", "required when type=Webhook");
    service(one["webhook"], name, at);
  }

  // A duration that has to be there.
  Duration duration(Value of, const std::string& at, std::optional<Duration> most) {
    const std::string text = of.str();
    auto length = parse_duration(text);
    if (text.empty() || (length && *length == Duration(0))) required(at);
    else if (!length) invalid(at, text, "is no duration such as 30s");
    else if (*length < Duration(0) || (most && *length > *most)) invalid(at, text, most ? "must be > 0s and <= 30s" : "must be > 0s");
    return length.value_or(Duration(0));
  }

  void service(Value w, const std::string& name, const std::string& at) {
    known(w, at + ".webhook",
          {"authorizedTTL", "unauthorizedTTL", "cacheAuthorizedRequests", "cacheUnauthorizedRequests", "timeout",
           "subjectAccessReviewVersion", "matchConditionSubjectAccessReviewVersion", "failurePolicy", "connectionInfo", "matchConditions"});
    const std::size_t faults = wrong.size();
    AuthorizationWebhookOptions out;
    out.name = name;
    out.timeout = std::chrono::duration_cast<std::chrono::milliseconds>(duration(w["timeout"], at + ".timeout", longest_timeout));
    out.cache_authorized = !w["cacheAuthorizedRequests"].exists() || w["cacheAuthorizedRequests"].as_bool();
    out.cache_unauthorized = !w["cacheUnauthorizedRequests"].exists() || w["cacheUnauthorizedRequests"].as_bool();
    // As upstream fills them in.
    out.authorized_ttl = w["authorizedTTL"].exists() ? duration(w["authorizedTTL"], at + ".authorizedTTL", {}) : std::chrono::minutes(5);
    out.unauthorized_ttl =
        w["unauthorizedTTL"].exists() ? duration(w["unauthorizedTTL"], at + ".unauthorizedTTL", {}) : std::chrono::seconds(30);
    out.version = one_of(w["subjectAccessReviewVersion"], at + ".subjectAccessReviewVersion", {"v1", "v1beta1"});
    if (w["matchConditionSubjectAccessReviewVersion"].as_string().empty()) {
      if (!w["matchConditions"].empty())
        required(at + ".matchConditionSubjectAccessReviewVersion", "required if match conditions are specified");
    } else {
      one_of(w["matchConditionSubjectAccessReviewVersion"], at + ".matchConditionSubjectAccessReviewVersion", {"v1"});
    }
    out.deny_on_failure = one_of(w["failurePolicy"], at + ".failurePolicy", {"NoOpinion", "Deny"}) == "Deny";
    connection(w["connectionInfo"], at + ".connectionInfo", out);
    conditions(w["matchConditions"], at + ".matchConditions", out);
    if (wrong.size() != faults) return;
    auto opened = AuthorizationWebhook::open(std::move(out), world_);
    const std::string_view from = w["connectionInfo"]["type"].as_string() == "KubeConfigFile" ? ".kubeConfigFile" : "";
    if (!opened) return wrong.push_back(fmt::format("{}.connectionInfo{}: {}", at, from, opened.error().message));
    chain.push_back({Authority::Kind::webhook, std::move(*opened)});
  }

  std::string one_of(Value of, const std::string& at, std::initializer_list<std::string_view> values) {
    std::string text = of.str(), all;
    for (std::string_view value : values) all += (all.empty() ? "\"" : ", \"") + std::string(value) + '"';
    if (text.empty()) required(at);
    else if (std::find(values.begin(), values.end(), text) == values.end()) unsupported(at, text, all);
    return text;
  }

  void connection(Value info, const std::string& at, AuthorizationWebhookOptions& out) {
    known(info, at, {"type", "kubeConfigFile"});
    const std::string type = info["type"].str(), file = info["kubeConfigFile"].str(), where = at + ".kubeConfigFile";
    if (type.empty()) return required(at + ".type");
    if (type == "InClusterConfig") {
      if (info["kubeConfigFile"].exists()) invalid(where, file, "can only be set when type=KubeConfigFile");
      return;
    }
    if (type != "KubeConfigFile") return unsupported(at + ".type", type, "\"InClusterConfig\", \"KubeConfigFile\"");
    std::error_code error;
    if (file.empty()) required(where);
    else if (!file.starts_with('/')) invalid(where, file, "must be an absolute path");
    else if (!std::filesystem::exists(file, error))
      invalid(where, file, fmt::format("error loading file: stat {}: no such file or directory", file));
    else if (!std::filesystem::is_regular_file(file, error)) invalid(where, file, "must be a regular file");
    out.config_file = file;
  }

  void conditions(Value list, const std::string& path, AuthorizationWebhookOptions& out) {
    if (list.size() > max_conditions)
      return wrong.push_back(fmt::format("{}: Too many: {}: must have at most {} items", path, list.size(), max_conditions));
    std::size_t i = 0;
    for (Value one : list.items()) {
      const std::string at = fmt::format("{}[{}].expression", path, i++), text = one["expression"].str();
      if (trim(text).empty()) required(at);
      else if (std::find(out.conditions.begin(), out.conditions.end(), text) != out.conditions.end())
        wrong.push_back(fmt::format("{}: Duplicate value: {}", at, go_quote(text)));
      else if (std::string fault = fault_of_condition(text); !fault.empty()) invalid(at, text, fault);
      out.conditions.push_back(text);
    }
  }

  World world_;
  std::set<std::string> types_, names_;
};

Result<Duration> ttl_of(std::string_view flag, const std::string& text, Duration usual) {
  if (text.empty()) return usual;
  auto length = parse_duration(text);
  if (!length || *length < Duration(0)) return fail(Code::invalid, fmt::format("{}: {} is no duration such as 5m0s", flag, go_quote(text)));
  return *length;
}

Result<std::unique_ptr<AuthorizationWebhook>> webhook_of_flags(const AuthorizationOptions& o, World world) {
  if (o.webhook_config_file.empty()) return fail(Code::invalid, "authorization-mode Webhook's authorization config file not passed");
  AuthorizationWebhookOptions out;
  out.name = "default";
  out.config_file = o.webhook_config_file;
  if (!o.webhook_version.empty()) out.version = o.webhook_version;
  if (out.version != "v1" && out.version != "v1beta1")
    return fail(Code::invalid, fmt::format("--authorization-webhook-version: {} is neither v1 nor v1beta1", go_quote(out.version)));
  auto yes = ttl_of("--authorization-webhook-cache-authorized-ttl", o.webhook_authorized_ttl, std::chrono::minutes(5));
  auto no = ttl_of("--authorization-webhook-cache-unauthorized-ttl", o.webhook_unauthorized_ttl, std::chrono::seconds(30));
  if (!yes || !no) return std::unexpected((yes ? no : yes).error());
  out.authorized_ttl = *yes;
  out.unauthorized_ttl = *no;
  auto opened = AuthorizationWebhook::open(std::move(out), world);
  if (!opened) return fail(Code::invalid, "--authorization-webhook-config-file: " + opened.error().message);
  return opened;
}

}  // namespace

Result<AuthorizationChain> read_authorization_configuration(std::string_view yaml, World world) {
  if (yaml.size() > max_configuration_bytes)
    return fail(Code::too_large, fmt::format("the authorization configuration is larger than {} bytes", max_configuration_bytes));
  auto documents = parse_yaml(yaml);
  if (!documents) return fail(Code::invalid, documents.error().message);
  Value root = documents->empty() ? Value() : documents->front().root();
  const std::string version = root["apiVersion"].str();
  if (root["kind"].as_string() != "AuthorizationConfiguration" ||
      (version != "apiserver.config.k8s.io/v1" && version != "apiserver.config.k8s.io/v1beta1"))
    return fail(Code::invalid, "expected apiVersion apiserver.config.k8s.io/v1, kind AuthorizationConfiguration");
  Reader reader(world);
  reader.read(root);
  if (!reader.wrong.empty()) return fail(Code::invalid, join(reader.wrong, "; "));
  return std::move(reader.chain);
}

Result<AuthorizationChain> authorization_chain(const AuthorizationOptions& o, World world) {
  if (!o.config_file.empty()) {
    if (!o.modes.empty() || !o.webhook_config_file.empty() || !o.webhook_version.empty() || !o.webhook_authorized_ttl.empty() ||
        !o.webhook_unauthorized_ttl.empty())
      return fail(Code::invalid,
                  "--authorization-config can not be specified when --authorization-mode or --authorization-webhook-* flags are defined");
    std::ifstream in(o.config_file);
    std::stringstream text;
    text << in.rdbuf();
    if (!in) return fail(Code::invalid, fmt::format("--authorization-config {}: cannot be read", o.config_file));
    auto chain = read_authorization_configuration(text.str(), world);
    if (!chain) return fail(Code::invalid, fmt::format("--authorization-config {}: {}", o.config_file, chain.error().message));
    return chain;
  }
  AuthorizationChain out;
  std::set<std::string> seen;
  for (const std::string& name : o.modes.empty() ? std::vector<std::string>{"Node", "RBAC"} : o.modes) {
    const Mode* mode = find_mode(name);
    if (!mode)
      return fail(Code::invalid, fmt::format("authorization-mode {} is not a valid mode, expected {}", go_quote(name), mode_names()));
    if (!seen.insert(name).second)
      return fail(Code::invalid, fmt::format("authorization-mode {} has mode specified more than once", go_quote(name)));
    if (mode->kind != Authority::Kind::webhook) {
      out.push_back({mode->kind});
      continue;
    }
    auto webhook = webhook_of_flags(o, world);
    if (!webhook) return std::unexpected(webhook.error());
    out.push_back({mode->kind, std::move(*webhook)});
  }
  if (!seen.contains("Webhook") && !o.webhook_config_file.empty())
    return fail(Code::invalid, "cannot specify --authorization-webhook-config-file without mode Webhook");
  return out;
}

}  // namespace kybern::apiserver
