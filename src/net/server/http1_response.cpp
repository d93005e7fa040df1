#include "net/server/http1_response.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <ctime>

namespace kybern::net {

void append_status_line(std::string& out, int status) {
  char digits[8];
  auto end = std::to_chars(digits, digits + sizeof digits, status).ptr;
  out.append("HTTP/1.1 ").append(digits, end).append(" ");
  std::string_view reason = reason_phrase(status);
  out.append(reason.empty() ? std::string_view("status code ") : reason);
  if (reason.empty()) out.append(digits, end);
  out.append("\r\n");
}

namespace {

// Names in the case that HTTP/1.1 has them in by custom. What could end a field or a head early does not get through.
char* put_name(char* at, std::string_view name) {
  bool word_start = true;
  for (char c : name) {
    if (c <= ' ' || c == ':' || c == 0x7f) continue;
    *at++ = word_start && c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
    word_start = c == '-';
  }
  return at;
}

char* put_value(char* at, std::string_view value) {
  std::memcpy(at, value.data(), value.size());
  for (char bad : {'\r', '\n', '\0'})
    if (std::memchr(at, bad, value.size())) std::replace(at, at + value.size(), bad, ' ');
  return at + value.size();
}

}  // namespace

void append_field(std::string& out, std::string_view name, std::string_view value) {
  std::size_t before = out.size(), room = before + name.size() + value.size() + 4;
  if (out.capacity() < room) out.reserve(std::max(room, 2 * before));
  out.resize_and_overwrite(room, [&](char* text, std::size_t) {
    char* at = put_name(text + before, name);
    *at++ = ':';
    *at++ = ' ';
    at = put_value(at, value);
    *at++ = '\r';
    *at++ = '\n';
    return static_cast<std::size_t>(at - text);
  });
}

std::string_view http_date() {
  thread_local std::time_t shown = -1;
  thread_local char text[40];
  thread_local std::size_t bytes = 0;
  std::time_t now = std::time(nullptr);
  if (now != shown) {
    std::tm parts{};
    ::gmtime_r(&now, &parts);
    bytes = std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    shown = now;
  }
  return {text, bytes};
}

}  // namespace kybern::net
