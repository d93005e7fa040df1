// Bytes that come out of containers on their way into a status or an event.
#pragma once

#include <string>
#include <string_view>

#include "base/strings.h"

namespace kybern::kubelet {

// With U+FFFD in the place of each byte that belongs to no UTF-8 sequence, as Go's encoders write it: "f\374r" -> "f\ufffdr".
inline std::string to_valid_utf8(std::string text) {
  if (valid_utf8(text)) return text;
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    std::size_t n = 1;
    while (n <= 4 && !valid_utf8(std::string_view(text).substr(i, n))) ++n;
    if (n <= 4) out.append(text, i, n);
    else out += "\xef\xbf\xbd";
    i += n <= 4 ? n : 1;
  }
  return out;
}

}  // namespace kybern::kubelet
