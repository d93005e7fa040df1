// Answers of upstream resolvers, kept for as long as their records may be believed, and at most 30 s.
#pragma once

#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/time.h"
#include "dns/answer/message.h"

namespace kybern::dns {

class Cache {
 public:
  static constexpr std::uint32_t max_ttl_s = 30;
  static constexpr std::size_t max_answer_bytes = 4096;  // larger ones are not kept

  explicit Cache(std::size_t max_entries) : max_entries_(max_entries) {}

  // The answer for this query: its id and spelling, and lifetimes less the time passed.
  std::optional<std::string> find(const Query& query, std::string_view query_message, Instant now);
  // Keeps an upstream's answer when it is whole, says NOERROR or NXDOMAIN, and has a lifetime.
  void put(const Query& query, std::string_view message, Instant now);
  std::size_t size() const { return entries_.size(); }

 private:
  struct Entry {
    std::string key, message;
    std::vector<std::uint16_t> lifetimes;  // where the TTL fields are
    Instant from{}, until{};
  };
  std::size_t max_entries_;
  std::list<Entry> entries_;  // the ones used last come first
  std::unordered_map<std::string_view, std::list<Entry>::iterator> by_key_;
};

}  // namespace kybern::dns
