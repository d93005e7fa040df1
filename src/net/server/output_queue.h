// Bytes that wait for a peer, in order. Small pieces are gathered into larger ones; an empty queue owns no memory.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace kybern::net {

class OutputQueue {
 public:
  bool empty() const { return bytes_ == 0; }
  std::size_t bytes() const { return bytes_; }

  void append(std::string bytes);
  void append(std::string_view bytes);
  void append(const char* bytes) { append(std::string_view(bytes)); }
  void append(OutputQueue&& other);  // `other` is empty afterwards

  // Up to `max_pieces` pieces from the front, without taking them. They stay valid until the next call that is not const.
  std::size_t front(std::string_view* pieces, std::size_t max_pieces) const;
  std::size_t copy_front(char* out, std::size_t max_bytes) const;  // without taking
  void consume(std::size_t count);                                 // count <= bytes()
  void clear();

 private:
  std::vector<std::string> pieces_;
  std::size_t first_ = 0;   // index of the first piece that is not used up
  std::size_t offset_ = 0;  // bytes of it that are
  std::size_t bytes_ = 0;
};

}  // namespace kybern::net
