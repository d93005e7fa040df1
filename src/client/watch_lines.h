// Decoding of what lists and watches answer: watch events, one JSON object per line (API concepts, "Efficient detection
// of changes"), and list items.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "document/document.h"

namespace kybern::client {

struct WatchLine {
  enum class Type { put, erased, bookmark, error } type;
  Document object;  // a block of its own; of an error: a Status
};

// Feeds pieces as they come from the network; whole lines come out.
class WatchLines {
 public:
  static constexpr std::size_t line_limit_bytes = 32u << 20;
  Result<std::vector<WatchLine>> feed(std::string_view piece);  // Code::invalid, Code::too_large: the stream is of no use any more

 private:
  std::string rest_;  // a line that has no end yet
};

// Each item gets a block of its own, so that one object does not keep its whole page in memory, and the kind and
// apiVersion that items of built-in lists leave out.
void append_list_items(const Document& list, std::vector<Document>& out);

}  // namespace kybern::client
