// A way to find out who a bearer token stands for.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "apiserver/user.h"

namespace kybern::apiserver {

// For many threads at once.
class TokenSource {
 public:
  virtual ~TokenSource() = default;
  // The user, without system:authenticated. Nothing: it is not one of these, or no good. `audiences`: for whom it has to be
  // meant; one of them is enough.
  virtual bool asks_outside() const { return true; }                                       // check() may wait for somebody
  virtual bool knows(std::string_view, const std::vector<std::string>&) { return false; }  // but not for this token
  virtual bool knows_audiences() const { return false; }                                   // otherwise its tokens are for this server alone
  virtual std::optional<User> check(std::string_view token, const std::vector<std::string>& audiences) = 0;
};

}  // namespace kybern::apiserver
