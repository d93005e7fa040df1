#include "apiserver/outside/caller.h"

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>

#include "base/files.h"
#include "base/strings.h"
#include "document/json.h"
#include "document/yaml.h"
#include "net/client.h"

namespace kybern::apiserver {
namespace {

constexpr std::size_t max_answer_bytes = 4 << 20;
constexpr std::chrono::milliseconds connect_limit{10000};

Value named(Value list, std::string_view name) {
  for (Value item : list.items())
    if (item["name"].as_string() == name) return item;
  return {};
}

// "certificate-authority-data" in base64, or the file that "certificate-authority" names.
Result<std::string> data_or_file(Value of, std::string_view field, const std::filesystem::path& folder) {
  if (std::string_view data = of[std::string(field) + "-data"].as_string(); !data.empty()) {
    auto decoded = base64_decode(data);
    if (!decoded) return fail(Code::invalid, fmt::format("{}-data is not base64", field));
    return *decoded;
  }
  if (std::string_view file = of[field].as_string(); !file.empty()) return read_file(folder / file);
  return std::string();
}

}  // namespace

OutsideCaller::OutsideCaller() = default;
OutsideCaller::~OutsideCaller() = default;

Result<std::unique_ptr<OutsideCaller>> OutsideCaller::open(const std::string& file) {
  auto text = read_file(file);
  if (!text) return std::unexpected(text.error());
  auto bad = [&](std::string_view why) { return fail(Code::invalid, fmt::format("{}: {}", file, why)); };
  auto documents = parse_yaml(*text);
  if (!documents) return bad(documents.error().message);
  if (documents->empty() || documents->front()["kind"].as_string("Config") != "Config") return bad("expected a kubeconfig");
  Value config = documents->front().root();
  const std::filesystem::path folder = std::filesystem::path(file).parent_path();
  Value context = named(config["contexts"], config["current-context"].as_string())["context"];
  Value cluster = named(config["clusters"], context["cluster"].as_string())["cluster"];
  Value user = named(config["users"], context["user"].as_string())["user"];
  if (!context.is_object()) {  // one of each is enough for these
    cluster = config["clusters"][std::size_t(0)]["cluster"];
    user = config["users"][std::size_t(0)]["user"];
  }
  if (cluster["server"].as_string().empty()) return bad("no cluster with a server in the current context");
  net::ClientOptions options;
  // What follows host and port is the target of every call.
  std::string url = cluster["server"].str();
  auto scheme = url.find("://");
  auto slash = scheme == std::string::npos ? scheme : url.find('/', scheme + 3);
  std::string target = slash == std::string::npos ? "/" : url.substr(slash);
  options.url = url.substr(0, slash);
  options.connect_timeout = connect_limit;
  options.max_body_bytes = max_answer_bytes;
  options.tls.insecure = cluster["insecure-skip-tls-verify"].as_bool();
  options.tls.server_name = cluster["tls-server-name"].str();
  for (auto [from, field, into] :
       {std::tuple(cluster, "certificate-authority", &options.tls.ca_pem),
        std::tuple(user, "client-certificate", &options.tls.certificate_pem), std::tuple(user, "client-key", &options.tls.key_pem)}) {
    auto pem = data_or_file(from, field, folder);
    if (!pem) return bad(pem.error().message);
    *into = std::move(*pem);
  }
  auto client = net::HttpClient::make(std::move(options));
  if (!client) return bad(client.error().message);
  std::unique_ptr<OutsideCaller> out(new OutsideCaller);
  out->client_ = std::move(*client);
  out->target_ = std::move(target);
  if (std::string_view token = user["token"].as_string(); !token.empty()) out->authorization_ = "Bearer " + std::string(token);
  else if (!user["username"].as_string().empty())
    out->authorization_ = "Basic " + base64_encode(user["username"].str() + ":" + user["password"].str());
  if (std::string_view path = user["tokenFile"].as_string(); !path.empty()) out->token_file_ = folder / path;
  return out;
}

Result<std::unique_ptr<OutsideCaller>> OutsideCaller::in_cluster(const std::string& account_folder) {
  const char *host = std::getenv("KUBERNETES_SERVICE_HOST"), *port = std::getenv("KUBERNETES_SERVICE_PORT");
  if (!host || !*host || !port || !*port)
    return fail(Code::invalid,
                "unable to load in-cluster configuration, KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT must be defined");
  std::unique_ptr<OutsideCaller> out(new OutsideCaller);
  out->token_file_ = account_folder + "/token";
  if (auto token = read_file(out->token_file_); !token) return std::unexpected(token.error());
  auto ca = read_file(account_folder + "/ca.crt");
  if (!ca) return std::unexpected(ca.error());
  const std::string name = std::string_view(host).contains(':') ? fmt::format("[{}]", host) : std::string(host);
  net::ClientOptions options;
  options.url = fmt::format("https://{}:{}", name, port);
  options.connect_timeout = connect_limit;
  options.max_body_bytes = max_answer_bytes;
  options.tls.ca_pem = std::move(*ca);
  auto client = net::HttpClient::make(std::move(options));
  if (!client) return std::unexpected(client.error());
  out->client_ = std::move(*client);
  out->target_ = "/";
  return out;
}

Result<Document> OutsideCaller::post(std::string_view body, std::chrono::milliseconds timeout) {
  net::ClientRequest request;
  request.method = "POST";
  request.target = target_;
  request.headers = {{"content-type", "application/json"}, {"accept", "application/json"}, {"user-agent", "kube-apiserver"}};
  std::string authorization = authorization_;
  if (!token_file_.empty())
    if (auto token = read_file(token_file_)) authorization = "Bearer " + std::string(trim(*token));
  if (!authorization.empty()) request.headers.set("authorization", authorization);
  request.body = body;
  request.timeout = timeout;
  auto answer = client_->call(std::move(request));
  if (!answer) return std::unexpected(answer.error());
  if (answer->status / 100 != 2)
    return fail(answer->status >= 500 || answer->status == 429 ? Code::unavailable : Code::forbidden,
                fmt::format("the server answered {}: {}", answer->status, answer->body.substr(0, 256)));
  if (answer->body.empty()) return Draft::object().freeze();
  auto document = parse_json(answer->body);
  if (!document) return fail(Code::invalid, document.error().message);
  return std::move(*document);
}

}  // namespace kybern::apiserver
