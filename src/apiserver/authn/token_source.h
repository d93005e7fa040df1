// A way to find out who a bearer token stands for.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "apiserver/user.h"
#include "base/result.h"

namespace kybern::apiserver {

// Who a token stands for, and whom it is meant for, of those asked about; the latter only of a source that knows audiences.
struct KnownToken {
  User user;
  std::vector<std::string> audiences{};
};

// What came of checking a token besides its user; also when it is no good.
struct TokenFindings {
  std::vector<std::string> audiences;              // whom it is meant for, of those asked about
  std::vector<std::string> warnings;               // for whoever came with it
  std::map<std::string, std::string> annotations;  // for the audit trail
  std::vector<std::string> errors;                 // why it is no good, of each who knows it; in upstream's words
};

// For many threads at once.
class TokenSource {
 public:
  virtual ~TokenSource() = default;
  virtual bool asks_outside() const { return true; }                                       // check() may wait for somebody
  virtual bool knows(std::string_view, const std::vector<std::string>&) { return false; }  // but not for this token
  virtual bool knows_audiences() const { return false; }                                   // otherwise its tokens are for this server alone
  // The user, without system:authenticated. Nothing: it is not one of these, or no good, then `why` may be said. `audiences`:
  // for whom it has to be meant; one of them is enough.
  virtual std::optional<KnownToken> check(std::string_view token, const std::vector<std::string>& audiences, std::string& why) = 0;
  // Fetches what the first token would wait for. May take seconds.
  virtual Result<void> prepare() { return {}; }
};

}  // namespace kybern::apiserver
