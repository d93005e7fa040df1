// Who a request is made as: the Impersonate-* headers, and whether who sent them may. First by constrained impersonation
// (KEP-5284): a right to be that user, and one to do this as such a user; then by the verb `impersonate`, which gives all.
#pragma once

#include <mutex>
#include <string>
#include <unordered_map>

#include "apiserver/authz/authorizer.h"
#include "net/http.h"

namespace kybern::apiserver {

class Impersonation {
 public:
  explicit Impersonation(const Authorizer& authorizer) : authorizer_(authorizer) {}

  struct Outcome {
    User user;
    bool another = false;    // than who sent the request
    std::string constraint;  // "impersonate:user-info"; "" by the verb `impersonate`
  };
  // 400 for headers that name no user, 403 when it may not be. `info`: what is asked for.
  ApiResult<Outcome> resolve(const net::Request& request, User user, const RequestInfo& info);

 private:
  // By which way each user came through the last time: it is tried first, so that one who has the old right is not asked
  // about the new ones at every request.
  std::size_t last_way(const std::string& user);
  void came_through(const std::string& user, std::size_t way);

  const Authorizer& authorizer_;
  std::mutex mutex_;
  std::unordered_map<std::string, std::size_t> ways_;
};

}  // namespace kybern::apiserver
