#include "apiserver/flow/width.h"

#include <algorithm>

namespace kybern::apiserver {
namespace {

constexpr std::int64_t bytes_per_seat = 100'000;
constexpr std::int64_t most_bytes_at_once = 1'000'000;  // a list is never in memory as a whole
constexpr int most_seats_of_a_list = 100, most_seats_of_a_write = 10;
constexpr int watchers_per_seat = 10;
// What it takes to tell ten watchers of a change that is encoded once for all. (Upstream: 5 ms.)
constexpr Duration telling = std::chrono::microseconds(100);
constexpr Duration shortest_afterwards = std::chrono::milliseconds(1);  // less is not worth a timer

int most(int max_width, int limit) { return max_width > 0 ? std::min(max_width, limit) : limit; }

}  // namespace

Width width_of_list(std::int64_t objects, std::int64_t object_bytes, std::int64_t limit, int max_width) {
  std::int64_t read = limit > 0 ? std::min(limit, objects) : objects;
  std::int64_t bytes = std::min(read * std::max<std::int64_t>(object_bytes, 1), most_bytes_at_once);
  std::int64_t seats = (bytes + bytes_per_seat - 1) / bytes_per_seat;
  return {static_cast<int>(std::clamp<std::int64_t>(seats, 1, most(max_width, most_seats_of_a_list))), {}};
}

Width width_of_write(int watchers, int max_width) {
  if (watchers < watchers_per_seat) return {};
  const int wanted = (watchers + watchers_per_seat - 1) / watchers_per_seat;
  const int seats = std::clamp(wanted, 1, most(max_width, most_seats_of_a_write));
  const Duration afterwards = wanted * telling / seats;
  return {seats, afterwards < shortest_afterwards ? Duration() : afterwards};
}

bool hears_of_few(std::string_view group, std::string_view plural, const FieldSelector& fields) {
  if (!group.empty()) return false;
  std::string_view told_apart_by;
  if (plural == "pods") told_apart_by = "spec.nodeName";
  if (plural == "secrets" || plural == "configmaps") told_apart_by = "metadata.name";
  return !told_apart_by.empty() && std::ranges::any_of(fields.terms(), [&](const FieldTerm& term) {
    return term.equal && term.field == told_apart_by && !term.value.empty();
  });
}

}  // namespace kybern::apiserver
