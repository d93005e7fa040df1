// For tests: a webhook with a TLS server of its own on loopback. What it answers is the test's function from the review's
// request to the response's members; what it was asked is kept.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "base/strings.h"
#include "base/world.h"
#include "document/json.h"
#include "net/certificates.h"
#include "net/server.h"

namespace kybern::apiserver::testing {

class TestHook {
 public:
  // The whole answer to a request's body.
  using Answer = std::function<net::Response(const Document& review)>;

  explicit TestHook(Answer answer, std::vector<std::string> names = {}, std::chrono::hours age = std::chrono::hours(0))
      : answer_(std::move(answer)) {
    char pattern[] = "/tmp/kybern-hook-XXXXXX";
    folder_ = ::mkdtemp(pattern);
    Time now = real_world().clock.now();
    auto ca = net::new_ca("hook-ca", now - std::chrono::hours(100), now + std::chrono::hours(100));
    EXPECT_TRUE(ca);
    ca_pem_ = ca->certificate_pem;
    net::CertificateSpec spec;
    spec.common_name = "hook";
    spec.dns_names = names;
    if (names.empty()) spec.ip_addresses = {"127.0.0.1"};
    spec.server = true;
    spec.not_before = now - std::chrono::hours(50);
    spec.not_after = now + std::chrono::hours(1) - age;
    auto pair = net::issue(*ca, spec);
    EXPECT_TRUE(pair);
    std::ofstream(folder_ + "/tls.crt") << pair->certificate_pem;
    std::ofstream(folder_ + "/tls.key") << pair->key_pem;
    net::ServerOptions options;
    options.tls = net::TlsFiles{folder_ + "/tls.crt", folder_ + "/tls.key", ""};
    auto server = net::Server::start(std::move(options), [this](std::shared_ptr<net::Exchange> exchange) { serve(*exchange); });
    EXPECT_TRUE(server) << (server ? "" : server.error().message);
    server_ = std::move(*server);
  }
  ~TestHook() {
    release();
    server_->stop(std::chrono::seconds(5));
    server_.reset();
    std::filesystem::remove_all(folder_);
  }

  int port() const { return server_->port(); }
  std::string ca_bundle() const { return base64_encode(ca_pem_); }
  std::string url_config(std::string_view path = "") const {
    return "{\"url\":\"https://127.0.0.1:" + std::to_string(port()) + std::string(path) + "\",\"caBundle\":\"" + ca_bundle() + "\"}";
  }
  std::vector<Document> asked() const {
    std::lock_guard lock(mutex_);
    return asked_;
  }
  std::size_t count() const { return asked().size(); }
  Document last() const {
    auto all = asked();
    return all.empty() ? Document() : all.back();
  }
  std::vector<std::string> targets() const {
    std::lock_guard lock(mutex_);
    return targets_;
  }

  // From now on nobody is answered, until release().
  void hold() {
    std::lock_guard lock(mutex_);
    held_ = true;
  }
  void release() {
    {
      std::lock_guard lock(mutex_);
      held_ = false;
    }
    changed_.notify_all();
  }

  // An AdmissionReview with the request's uid and these members in its response.
  static net::Response review(const Document& asked, std::string_view members) {
    std::string uid(asked["request"]["uid"].as_string());
    std::string body = "{\"apiVersion\":\"admission.k8s.io/v1\",\"kind\":\"AdmissionReview\",\"response\":{\"uid\":\"" + uid + "\"," +
                       std::string(members) + "}}";
    return {200, {{"content-type", "application/json"}}, body};
  }
  static net::Response allow(const Document& asked) { return review(asked, "\"allowed\":true"); }
  static net::Response patch(const Document& asked, std::string_view operations) {
    return review(asked, "\"allowed\":true,\"patchType\":\"JSONPatch\",\"patch\":\"" + base64_encode(operations) + "\"");
  }

 private:
  void serve(net::Exchange& exchange) {
    auto document = parse_json(exchange.request().body);
    {
      std::unique_lock lock(mutex_);
      asked_.push_back(document ? *document : Document());
      targets_.push_back(exchange.request().path + "?" + exchange.request().query);
      changed_.wait(lock, [&] { return !held_; });
    }
    exchange.respond(answer_(document ? *document : Document()));
  }

  Answer answer_;
  std::string folder_, ca_pem_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Document> asked_;
  std::vector<std::string> targets_;
  bool held_ = false;
  std::unique_ptr<net::Server> server_;
};

}  // namespace kybern::apiserver::testing
