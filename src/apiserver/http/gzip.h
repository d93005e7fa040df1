// gzip (RFC 1952) of answers, piece by piece.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace kybern::apiserver {

inline constexpr std::size_t gzip_min_bytes = 128 << 10;  // smaller answers are sent as they are, as upstream does

bool accepts_gzip(std::string_view accept_encoding);

class Gzip {
 public:
  Gzip();
  ~Gzip();
  // Appends what is compressed so far; after `last` nothing may be added.
  void add(std::string_view text, bool last, std::string& out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};
std::string gzip(std::string_view text);

}  // namespace kybern::apiserver
