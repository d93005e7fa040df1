// gzip (RFC 1952) of answers, piece by piece, and back where a page is changed on its way.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace kybern::apiserver {

inline constexpr std::size_t gzip_min_bytes = 128 << 10;  // smaller answers are sent as they are, as upstream does

bool accepts_gzip(std::string_view accept_encoding);

enum class Packing { gzip, deflate };  // deflate: RFC 1951 without a frame, as upstream reads the word in Content-Encoding

class Gzip {
 public:
  explicit Gzip(Packing packing = Packing::gzip);
  ~Gzip();
  // Appends what is compressed so far; after `last` nothing may be added.
  void add(std::string_view text, bool last, std::string& out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};
std::string gzip(std::string_view text);

class Gunzip {
 public:
  explicit Gunzip(Packing packing);
  ~Gunzip();
  // Calls `plain` with what comes out, a small piece at a time: however much that is, little is in memory. False when the
  // bytes are no such stream, or `plain` says false.
  bool add(std::string_view packed, const std::function<bool(std::string_view)>& plain);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kybern::apiserver
