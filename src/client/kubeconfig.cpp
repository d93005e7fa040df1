// Reading of kubeconfig files (the clientcmd v1 Config form).
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

#include "base/strings.h"
#include "client/transport.h"
#include "document/yaml.h"

namespace kybern::client {
namespace {

constexpr std::uintmax_t file_limit_bytes = 4 << 20;

Result<std::string> read_file(const std::filesystem::path& path) {
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (error) return fail(Code::not_found, "stat " + path.string() + ": " + error.message());
  if (size > file_limit_bytes) return fail(Code::too_large, path.string() + ": larger than 4 MiB");
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(Code::forbidden, "open " + path.string() + ": cannot be read");
  std::ostringstream text;
  text << in.rdbuf();
  return std::move(text).str();
}

// The entry of `list` whose name is `name`, its part `part`; absent when there is none.
Value named(Value list, std::string_view name, const char* part) {
  for (Value entry : list.items())
    if (entry["name"].as_string() == name) return entry[part];
  return {};
}

// FIELD-data (base64) wins over FIELD (a file), as upstream.
Result<std::string> content(Value from, const char* field, const std::string& folder) {
  const std::string data_field = std::string(field) + "-data";
  if (const Value data = from[data_field]; !data.as_string().empty()) {
    std::optional<std::string> bytes = base64_decode(data.as_string());
    if (!bytes) return fail(Code::invalid, data_field + ": not base64");
    return *std::move(bytes);
  }
  const std::string_view file = from[field].as_string();
  if (file.empty()) return std::string();
  std::filesystem::path path(file);
  return read_file(path.is_relative() ? std::filesystem::path(folder) / path : path);
}

Result<void> read_cluster(Value cluster, const std::string& folder, HttpOptions& out) {
  out.url = cluster["server"].str();
  out.insecure = cluster["insecure-skip-tls-verify"].as_bool();
  out.server_name = cluster["tls-server-name"].str();
  Result<std::string> ca = content(cluster, "certificate-authority", folder);
  if (!ca) return std::unexpected(ca.error());
  out.ca_pem = *std::move(ca);
  return {};
}

Result<void> read_user(Value user, const std::string& folder, HttpOptions& out) {
  if (user["exec"].exists() || user["auth-provider"].exists())
    return fail(Code::unsupported, "kubeconfig: credential plugins (exec, auth-provider) are not supported");
  Result<std::string> certificate = content(user, "client-certificate", folder);
  if (!certificate) return std::unexpected(certificate.error());
  Result<std::string> key = content(user, "client-key", folder);
  if (!key) return std::unexpected(key.error());
  out.certificate_pem = *std::move(certificate);
  out.key_pem = *std::move(key);
  out.token = user["token"].str();
  if (const std::string_view file = user["tokenFile"].as_string(); !file.empty()) {
    std::filesystem::path path(file);
    out.token_file = path.is_relative() ? (std::filesystem::path(folder) / path).string() : path.string();
  }
  out.username = user["username"].str();
  out.password = user["password"].str();
  return {};
}

}  // namespace

Result<HttpOptions> parse_kubeconfig(std::string_view yaml, std::string_view context, const std::string& folder) {
  Result<std::vector<Document>> documents = parse_yaml(yaml);
  if (!documents) return std::unexpected(documents.error());
  if (documents->empty()) return fail(Code::invalid, "kubeconfig: empty");
  const Value config = documents->front();
  const std::string name = context.empty() ? config["current-context"].str() : std::string(context);
  const Value chosen = named(config["contexts"], name, "context");
  if (!chosen.exists())
    return fail(Code::not_found, name.empty() ? "kubeconfig: current-context is not set" : "context \"" + name + "\" does not exist");
  const Value cluster = named(config["clusters"], chosen["cluster"].as_string(), "cluster");
  if (!cluster.exists()) return fail(Code::not_found, "cluster \"" + chosen["cluster"].str() + "\" does not exist");
  HttpOptions out;
  out.ns = chosen["namespace"].str();
  if (Result<void> ok = read_cluster(cluster, folder, out); !ok) return std::unexpected(ok.error());
  const Value user = named(config["users"], chosen["user"].as_string(), "user");
  if (!user.exists() && !chosen["user"].as_string().empty())
    return fail(Code::not_found, "auth info \"" + chosen["user"].str() + "\" does not exist");
  if (Result<void> ok = read_user(user, folder, out); !ok) return std::unexpected(ok.error());
  return out;
}

Result<HttpOptions> read_kubeconfig(const std::string& file, std::string_view context) {
  Result<std::string> text = read_file(file);
  if (!text) return std::unexpected(text.error());
  return parse_kubeconfig(*text, context, std::filesystem::absolute(file).parent_path().string());
}

Result<HttpOptions> in_cluster_options() {
  const char* host = std::getenv("KUBERNETES_SERVICE_HOST");
  const char* port = std::getenv("KUBERNETES_SERVICE_PORT");
  if (!host || !port || !*host || !*port)
    return fail(Code::not_found,
                "unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined");
  const std::filesystem::path account = "/var/run/secrets/kubernetes.io/serviceaccount";
  Result<std::string> ca = read_file(account / "ca.crt");
  if (!ca) return std::unexpected(ca.error());
  HttpOptions out;
  const bool v6 = std::string_view(host).find(':') != std::string_view::npos;
  out.url = std::string("https://") + (v6 ? "[" : "") + host + (v6 ? "]:" : ":") + port;
  out.ca_pem = *std::move(ca);
  out.token_file = (account / "token").string();
  if (Result<std::string> ns = read_file(account / "namespace")) out.ns = std::string(trim(*ns));
  return out;
}

}  // namespace kybern::client
