// A controller that writes a status hears of it from its mirror, like of any change. Such a change needs no second look when
// it brings nothing but the very status that was decided on last.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>

#include "controllers/plan.h"
#include "document/document.h"

namespace kybern::controllers {

class Echoes {
 public:
  // What was decided about the object of this key, and when it is gone.
  void decided(const std::string& key, Value object, const Plan& plan);
  void forget(const std::string& key);
  bool is_echo(const std::string& key, Value before, Value now) const;

 private:
  mutable std::mutex mutex_;
  std::unordered_map<std::string, std::uint64_t> statuses_;  // by content
};

}  // namespace kybern::controllers
