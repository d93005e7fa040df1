// What is open for long: watches over HTTP and from inside, streams to pods. For /debug/watches.
#pragma once

#include <string>
#include <string_view>

#include "base/time.h"

namespace kybern::apiserver {

// Listed as long as it lives.
class OpenStream {
 public:
  OpenStream(std::string_view verb, std::string_view group, std::string_view resource, std::string_view user, bool local, Instant since);
  ~OpenStream();
  OpenStream(const OpenStream&) = delete;
  OpenStream& operator=(const OpenStream&) = delete;

 private:
  friend std::string open_streams_json(Instant now);
  OpenStream *before_ = nullptr, *after_ = nullptr;
  std::string what_;  // verb, group, resource and user, a line each: one allocation for the four
  bool local_;
  Instant since_;
};

// {"type":"watch","group":...,"resource":...,"user":...,"local":...,"open":N,"oldestSeconds":S} for each of those, comma
// separated; at most `open_streams_rows`, those with the most streams.
inline constexpr std::size_t open_streams_rows = 1000;
std::string open_streams_json(Instant now);

}  // namespace kybern::apiserver
