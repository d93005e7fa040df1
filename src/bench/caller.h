// One connection to the API server that is measured: requests as bytes, answers as bytes. Nothing is parsed that need not
// be, so that the measuring costs less than what is measured.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "net/client.h"

namespace kybern::bench {

struct Target {
  net::ClientOptions options;
  std::string token;
  std::string as_user, as_group;  // impersonated, when there is a user
};

struct TargetChoice {  // as given by flags; the first that says something counts
  std::string kubeconfig, context, server, token, ca_file;
  bool insecure = false;
};
Result<Target> find_target(const TargetChoice& choice);

struct Question {
  std::string_view method;
  std::string target, body;
  std::string_view content_type;  // application/json when there is a body and nothing is said
};
net::ClientRequest request_of(const Target& target, Question question);

class Caller {
 public:
  static Result<std::unique_ptr<Caller>> make(const Target& target);
  // Any status is an answer.
  Result<net::Response> call(std::string_view method, std::string target, std::string body = {}, std::string_view content_type = {});
  Result<std::unique_ptr<net::ClientStream>> stream(std::string target);

 private:
  Target target_;
  std::unique_ptr<net::HttpClient> client_;
};

// The text of the first member of that name: `"resourceVersion":"12"` gives 12. "" when there is none.
std::string_view find_member(std::string_view json, std::string_view name);

}  // namespace kybern::bench
