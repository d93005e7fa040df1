#include "bench/caller.h"

#include <fmt/format.h>

#include <cstdlib>

#include "base/files.h"
#include "client/transport.h"

namespace kybern::bench {
Result<Target> find_target(const TargetChoice& choice) {
  client::HttpOptions options;
  if (choice.server.empty()) {
    std::string file = choice.kubeconfig;
    if (const char* set = std::getenv("KUBECONFIG"); file.empty() && set) file = set;
    const char* home = std::getenv("HOME");
    if (file.empty() && home) file = std::string(home) + "/.kube/config";
    auto read = client::read_kubeconfig(file, choice.context);
    if (!read) return std::unexpected(read.error());
    options = std::move(*read);
  } else {
    options.url = choice.server;
  }
  if (!choice.token.empty()) options.token = choice.token;
  if (!choice.ca_file.empty()) {
    auto ca = read_file(choice.ca_file);
    if (!ca) return std::unexpected(ca.error());
    options.ca_pem = std::move(*ca);
  }
  if (options.token.empty() && !options.token_file.empty()) {
    auto token = read_file(options.token_file);
    if (!token) return std::unexpected(token.error());
    options.token = std::move(*token);
  }
  while (options.token.ends_with('\n')) options.token.pop_back();
  Target target;
  target.options.url = options.url;
  target.options.tls = {options.ca_pem, options.certificate_pem, options.key_pem, options.server_name, options.insecure || choice.insecure};
  target.options.max_idle_connections = 1;
  target.token = options.token;
  return target;
}

net::ClientRequest request_of(const Target& target, Question question) {
  net::ClientRequest out;
  out.method = question.method;
  out.target = std::move(question.target);
  out.headers = {{"accept", "application/json"}, {"user-agent", "kybern-bench"}};
  if (!target.token.empty()) out.headers.add("authorization", "Bearer " + target.token);
  if (!target.as_user.empty()) out.headers.add("impersonate-user", target.as_user);
  if (!target.as_group.empty()) out.headers.add("impersonate-group", target.as_group);
  if (!question.body.empty()) out.headers.add("content-type", question.content_type.empty() ? "application/json" : question.content_type);
  out.body = std::move(question.body);
  return out;
}

Result<std::unique_ptr<Caller>> Caller::make(const Target& target) {
  auto client = net::HttpClient::make(target.options);
  if (!client) return std::unexpected(client.error());
  auto caller = std::make_unique<Caller>();
  caller->target_ = target;
  caller->client_ = std::move(*client);
  return caller;
}

Result<net::Response> Caller::call(std::string_view method, std::string target, std::string body, std::string_view content_type) {
  return client_->call(request_of(target_, {method, std::move(target), std::move(body), content_type}));
}

Result<std::unique_ptr<net::ClientStream>> Caller::stream(std::string target) {
  return client_->stream(request_of(target_, {"GET", std::move(target), {}, {}}));
}

std::string_view find_member(std::string_view json, std::string_view name) {
  std::string wanted = fmt::format("\"{}\":\"", name);
  auto at = json.find(wanted);
  if (at == std::string_view::npos) return {};
  json.remove_prefix(at + wanted.size());
  return json.substr(0, json.find('"'));
}

}  // namespace kybern::bench
