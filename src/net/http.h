// What an HTTP message is, for server and client alike.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace kybern::net {

// Header names are kept in lower case, values as sent.
class Headers {
 public:
  Headers() = default;
  Headers(std::initializer_list<std::pair<std::string_view, std::string_view>> fields);
  std::optional<std::string_view> find(std::string_view lower_name) const;  // the first of that name
  std::string_view get(std::string_view lower_name) const { return find(lower_name).value_or(std::string_view()); }
  std::vector<std::string_view> all(std::string_view lower_name) const;
  void add(std::string_view name, std::string_view value);
  void set(std::string_view name, std::string_view value);  // replaces all of that name
  void erase(std::string_view lower_name);
  const std::vector<std::pair<std::string, std::string>>& fields() const { return fields_; }

 private:
  std::vector<std::pair<std::string, std::string>> fields_;
};

// Of a verified client certificate.
struct PeerCertificate {
  std::string common_name;
  std::vector<std::string> organizations;
  std::string der_sha256_hex;
  std::string uid;  // subject attribute 1.3.6.1.4.1.57683.2, which Kubernetes 1.34 takes for the user's uid
};

struct Request {
  std::string method;
  std::string path;   // percent-encoded as sent, without the query
  std::string query;  // without '?'
  Headers headers;
  std::string body;                             // whole; the server has enforced its limit
  std::shared_ptr<const PeerCertificate> peer;  // null: none, or not a good one
  std::string peer_error;  // a client certificate was shown and is not good: why ("x509: certificate signed by unknown authority")
  std::shared_ptr<const PeerCertificate> proxy;  // the certificate, when it is one of a front proxy: who may say who asks
  std::string remote_address;                    // "127.0.0.1:40000"
  bool tls = false;
};

struct Response {
  int status = 200;
  Headers headers;
  std::string body;
};

std::string_view reason_phrase(int status);

}  // namespace kybern::net
