#include "net/server/output_queue.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace kybern::net {
namespace {
constexpr std::size_t gather_bytes = 8 << 10;  // pieces below this are joined
}

void OutputQueue::append(std::string bytes) {
  if (bytes.empty()) return;
  if (first_ < pieces_.size() && bytes.size() < gather_bytes && pieces_.back().size() < gather_bytes) {
    append(std::string_view(bytes));
    return;
  }
  bytes_ += bytes.size();
  pieces_.push_back(std::move(bytes));
}

void OutputQueue::append(std::string_view bytes) {
  if (bytes.empty()) return;
  bytes_ += bytes.size();
  if (first_ < pieces_.size() && pieces_.back().size() < gather_bytes) {
    pieces_.back().append(bytes);
  } else {
    pieces_.emplace_back(bytes);
  }
}

void OutputQueue::append(OutputQueue&& other) {
  if (other.empty()) return;
  if (empty()) {
    *this = std::move(other);
  } else {
    std::size_t begin = other.first_;
    if (other.offset_ > 0) append(std::string_view(other.pieces_[begin++]).substr(other.offset_));
    for (std::size_t i = begin; i < other.pieces_.size(); ++i) append(std::move(other.pieces_[i]));
  }
  other.clear();
}

std::size_t OutputQueue::front(std::string_view* pieces, std::size_t max_pieces) const {
  std::size_t count = 0;
  for (std::size_t i = first_; i < pieces_.size() && count < max_pieces; ++i) {
    std::string_view piece = pieces_[i];
    if (i == first_) piece.remove_prefix(offset_);
    pieces[count++] = piece;
  }
  return count;
}

std::size_t OutputQueue::copy_front(char* out, std::size_t max_bytes) const {
  std::size_t copied = 0;
  for (std::size_t i = first_; i < pieces_.size() && copied < max_bytes; ++i) {
    std::string_view piece = pieces_[i];
    if (i == first_) piece.remove_prefix(offset_);
    std::size_t count = std::min(piece.size(), max_bytes - copied);
    std::memcpy(out + copied, piece.data(), count);
    copied += count;
  }
  return copied;
}

void OutputQueue::consume(std::size_t count) {
  KYBERN_CHECK(count <= bytes_, "only queued bytes are consumed");
  bytes_ -= count;
  if (bytes_ == 0) {
    clear();
    return;
  }
  while (count > 0) {
    std::size_t left = pieces_[first_].size() - offset_;
    if (count < left) {
      offset_ += count;
      return;
    }
    count -= left;
    std::string().swap(pieces_[first_]);
    ++first_;
    offset_ = 0;
  }
  if (first_ > 64 && first_ * 2 > pieces_.size()) {
    pieces_.erase(pieces_.begin(), pieces_.begin() + static_cast<std::ptrdiff_t>(first_));
    first_ = 0;
  }
}

void OutputQueue::clear() {
  std::vector<std::string>().swap(pieces_);
  first_ = offset_ = bytes_ = 0;
}

}  // namespace kybern::net
