#include "apiserver/testing/live_server.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "base/log.h"
#include "document/json.h"

namespace kybern::apiserver::testing {

const User& admin() {
  static const User user{"admin", "", {"system:masters", "system:authenticated"}, {}};
  return user;
}

LiveServer::LiveServer() {
  set_log_level(LogLevel::error);
  std::string pattern = (std::filesystem::temp_directory_path() / "kybern-server-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) ADD_FAILURE() << "no folder like " << pattern;
  folder_ = pattern;
}

LiveServer::~LiveServer() {
  stop();
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

std::string LiveServer::write(std::string_view name, std::string_view text) const {
  std::string path = fmt::format("{}/{}", folder_, name);
  std::ofstream(path) << text;
  return path;
}

ServerOptions LiveServer::options() const {
  ServerOptions out;
  out.data_dir = folder_ + "/data";
  out.bind_address = out.advertise_address = "127.0.0.1";
  out.secure_port = 0;
  out.token_file = write("tokens", "secret-admin,admin,admin-uid,\"system:masters\"\nsecret-user,jane,jane-uid,\"people\"\n");
  return out;
}

Result<void> LiveServer::start(ServerOptions options) {
  stop();
  auto server = ApiServer::start(std::move(options), real_world());
  if (!server) return std::unexpected(server.error());
  server_ = std::move(*server);
  net::ClientOptions to;
  to.url = url();
  to.tls.insecure = true;
  auto client = net::HttpClient::make(to);
  if (!client) return std::unexpected(client.error());
  client_ = std::move(*client);
  return {};
}

bool LiveServer::start() {
  auto started = start(options());
  EXPECT_TRUE(started) << (started ? "" : started.error().message);
  return started.has_value();
}

void LiveServer::stop() {
  client_.reset();
  if (server_) server_->stop(std::chrono::seconds(1));
  server_.reset();
}

std::string LiveServer::url() const { return fmt::format("https://127.0.0.1:{}", server_->port()); }

ApiResult<Document> LiveServer::call(std::string_view method, std::string_view path, std::string_view body, std::string_view query,
                                     std::string_view patch, const User& user) {
  Document document;
  if (!body.empty()) {
    auto parsed = parse_json(body);
    EXPECT_TRUE(parsed) << body;
    if (parsed) document = *parsed;
  }
  return server_->call(user, method, path, query, document, patch);
}

Document LiveServer::must(std::string_view method, std::string_view path, std::string_view body, const User& user) {
  auto out = call(method, path, body, "", "merge", user);
  EXPECT_TRUE(out) << method << " " << path << ": " << (out ? "" : out.error().message);
  return out ? *out : Document();
}

std::string LiveServer::refused(std::string_view method, std::string_view path, std::string_view body, const User& user) {
  auto out = call(method, path, body, "", "merge", user);
  return out ? "done" : fmt::format("{} {}", out.error().code, out.error().message);
}

net::Response LiveServer::http(std::string_view method, std::string target, net::Headers headers, std::string body, const char* token) {
  if (token != nullptr) headers.set("authorization", std::string("Bearer ") + token);
  auto out = client_->call({std::string(method), std::move(target), std::move(headers), std::move(body)});
  EXPECT_TRUE(out) << method << " " << (out ? "" : out.error().message);
  return out ? *out : net::Response{0, {}, ""};
}

}  // namespace kybern::apiserver::testing
