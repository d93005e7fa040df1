#include "net/http1.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <optional>

namespace kybern::net {
namespace {

constexpr std::uint32_t max_chunk_overhead_bytes = 16 << 10;

enum CharClass : unsigned char { token_char = 1, value_char = 2, target_char = 4 };

constexpr std::array<unsigned char, 256> char_classes = [] {
  std::array<unsigned char, 256> table{};
  for (int i = 0; i < 256; ++i) {
    unsigned char bits = 0;
    bool alnum = (i >= '0' && i <= '9') || (i >= 'A' && i <= 'Z') || (i >= 'a' && i <= 'z');
    if (alnum || (i != 0 && std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(i)) != std::string_view::npos)) bits |= token_char;
    if ((i >= 0x20 && i != 0x7f) || i == '\t') bits |= value_char;
    if (i > 0x20 && i != 0x7f) bits |= target_char;
    table[static_cast<std::size_t>(i)] = bits;
  }
  return table;
}();

bool all_of_class(std::string_view text, CharClass wanted) {
  for (char c : text) {
    if (!(char_classes[static_cast<unsigned char>(c)] & wanted)) return false;
  }
  return true;
}

bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
int hex_value(char c) { return c <= '9' ? c - '0' : (c | 32) - 'a' + 10; }

std::string_view trim_ows(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool equals_lower(std::string_view text, std::string_view lower_name) {
  if (text.size() != lower_name.size()) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
    if (c != lower_name[i]) return false;
  }
  return true;
}

// Takes one line, without its CRLF, from the front of `text`.
std::optional<std::string_view> take_line(std::string_view& text) {
  std::size_t lf = text.find('\n');
  if (lf == std::string_view::npos || lf == 0 || text[lf - 1] != '\r') return std::nullopt;
  std::string_view line = text.substr(0, lf - 1);
  text.remove_prefix(lf + 1);
  return line;
}

using Failure = std::optional<Http1Error>;

Failure parse_field(std::string_view line, Headers& headers) {
  if (line.front() == ' ' || line.front() == '\t') return Http1Error{400, "folded header line"};
  std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return Http1Error{400, "header line without a colon"};
  std::string_view name = line.substr(0, colon), value = trim_ows(line.substr(colon + 1));
  if (!is_token(name)) return Http1Error{400, "invalid header name"};
  if (!is_field_value(value)) return Http1Error{400, "invalid header value"};
  headers.add(name, value);
  return std::nullopt;
}

// The fields up to and with the empty line, which must be the end of `text`.
Failure parse_fields(std::string_view text, Headers& headers, std::size_t max_fields) {
  for (std::size_t count = 0;; ++count) {
    auto line = take_line(text);
    if (!line) return Http1Error{400, "malformed header line"};
    if (line->empty()) break;
    if (count == max_fields) return Http1Error{431, "too many header fields"};
    if (auto failure = parse_field(*line, headers)) return failure;
  }
  if (!text.empty()) return Http1Error{400, "malformed header"};
  return std::nullopt;
}

std::optional<std::uint64_t> parse_length(std::string_view text) {
  if (text.empty() || text.size() > 18) return std::nullopt;
  std::uint64_t value = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return value;
}

// Content-Length and Transfer-Encoding of either message; `body` stays as it was when there is neither.
Failure read_framing(Http1Head& head) {
  const std::string* length = nullptr;
  const std::string* coding = nullptr;
  for (const auto& [name, value] : head.headers.fields()) {
    if (name == "content-length") {
      if (length) return Http1Error{400, "more than one Content-Length"};
      length = &value;
    } else if (name == "transfer-encoding") {
      if (coding) return Http1Error{400, "more than one Transfer-Encoding"};
      coding = &value;
    }
  }
  if (length && coding) return Http1Error{400, "both Content-Length and Transfer-Encoding"};
  if (coding) {
    if (head.minor_version == 0) return Http1Error{400, "Transfer-Encoding in HTTP/1.0"};
    if (!equals_lower(*coding, "chunked")) return Http1Error{501, "unsupported transfer encoding"};
    head.body = BodyKind::chunked;
  }
  if (length) {
    auto value = parse_length(*length);
    if (!value) return Http1Error{400, "invalid Content-Length"};
    head.body = *value == 0 ? BodyKind::none : BodyKind::length;
    head.content_length = *value;
  }
  return std::nullopt;
}

void read_connection(Http1Head& head) {
  head.keep_alive = head.minor_version == 1;
  bool named = false;
  for (const auto& [name, value] : head.headers.fields()) {
    if (name != "connection") continue;
    if (list_contains(value, "close")) head.keep_alive = false;
    else if (head.minor_version == 0 && list_contains(value, "keep-alive")) head.keep_alive = true;
    named = named || list_contains(value, "upgrade");
  }
  head.upgrade = named && head.minor_version == 1 && !head.headers.get("upgrade").empty();
}

std::optional<int> read_version(std::string_view text, int& minor) {  // a value is the status of a failure
  if (text.size() != 8 || !text.starts_with("HTTP/") || text[6] != '.') return 400;
  if (text[5] < '0' || text[5] > '9' || text[7] < '0' || text[7] > '9') return 400;
  if (text[5] != '1' || text[7] > '1') return 505;
  minor = text[7] - '0';
  return std::nullopt;
}

// Splits the target; the absolute form ("http://host/path") gives its authority to Host, as RFC 9112 section 3.2.2 asks.
Failure read_target(std::string_view target, Http1RequestHead& head, std::string& authority) {
  if (target.empty() || !all_of_class(target, target_char)) return Http1Error{400, "invalid request target"};
  if (target.front() != '/' && target != "*") {
    std::size_t scheme = target.find("://");
    if (scheme == std::string_view::npos ||
        !(equals_lower(target.substr(0, scheme), "http") || equals_lower(target.substr(0, scheme), "https")))
      return Http1Error{400, "invalid request target"};
    target.remove_prefix(scheme + 3);
    std::size_t end = std::min(target.find_first_of("/?"), target.size());
    authority = std::string(target.substr(0, end));
    if (authority.empty()) return Http1Error{400, "invalid request target"};
    target.remove_prefix(end);
  }
  if (target == "*" && head.method != "OPTIONS") return Http1Error{400, "invalid request target"};
  std::size_t mark = target.find('?');
  head.path = std::string(target.substr(0, mark));
  if (head.path.empty()) head.path.push_back('/');
  if (mark != std::string_view::npos) head.query = std::string(target.substr(mark + 1));
  if (!valid_escapes(head.path)) return Http1Error{400, "invalid escape in the path"};
  return std::nullopt;
}

bool valid_host(std::string_view host) {
  for (char c : host) {
    bool alnum = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
    if (!alnum && std::string_view("!$%&'()*+,-.:;=[]_~").find(c) == std::string_view::npos) return false;
  }
  return true;
}

Failure read_host(Http1RequestHead& head, const std::string& authority) {
  std::size_t hosts = 0;
  for (const auto& [name, value] : head.headers.fields()) {
    if (name != "host") continue;
    if (++hosts > 1) return Http1Error{400, "too many Host headers"};
    if (!valid_host(value)) return Http1Error{400, "malformed Host header"};
  }
  if (hosts == 0 && head.minor_version == 1) return Http1Error{400, "missing required Host header"};
  if (!authority.empty()) {
    if (!valid_host(authority)) return Http1Error{400, "malformed Host header"};
    head.headers.set("host", authority);
  }
  return std::nullopt;
}

Failure read_request_line(std::string_view line, Http1RequestHead& head, std::string& authority) {
  std::size_t first = line.find(' '), last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return Http1Error{400, "malformed request line"};
  if (auto status = read_version(line.substr(last + 1), head.minor_version)) {
    return Http1Error{*status, *status == 505 ? "unsupported protocol version" : "malformed HTTP version"};
  }
  head.method = std::string(line.substr(0, first));
  if (!is_token(head.method) || head.method == "CONNECT") return Http1Error{400, "invalid method"};
  return read_target(line.substr(first + 1, last - first - 1), head, authority);
}

Failure read_status_line(std::string_view line, Http1ResponseHead& head) {
  if (line.size() < 12 || line[8] != ' ' || read_version(line.substr(0, 8), head.minor_version))
    return Http1Error{400, "malformed status line"};
  for (char c : line.substr(9, 3)) {
    if (c < '0' || c > '9') return Http1Error{400, "malformed status code"};
    head.status = head.status * 10 + (c - '0');
  }
  if (head.status < 100 || (line.size() > 12 && line[12] != ' ')) return Http1Error{400, "malformed status code"};
  if (line.size() > 13) head.reason = std::string(line.substr(13));
  if (!is_field_value(head.reason)) return Http1Error{400, "malformed status line"};
  return std::nullopt;
}

}  // namespace

bool valid_escapes(std::string_view path) {
  for (std::size_t i = path.find('%'); i != std::string_view::npos; i = path.find('%', i + 3)) {
    if (i + 2 >= path.size() || !is_hex(path[i + 1]) || !is_hex(path[i + 2])) return false;
  }
  return true;
}

bool is_token(std::string_view text) { return !text.empty() && all_of_class(text, token_char); }
bool is_field_value(std::string_view text) { return all_of_class(text, value_char); }

bool list_contains(std::string_view comma_separated, std::string_view lower_token) {
  while (!comma_separated.empty()) {
    std::size_t comma = std::min(comma_separated.find(','), comma_separated.size());
    if (equals_lower(trim_ows(comma_separated.substr(0, comma)), lower_token)) return true;
    comma_separated.remove_prefix(std::min(comma + 1, comma_separated.size()));
  }
  return false;
}

bool any_list_contains(const Headers& headers, std::string_view lower_name, std::string_view lower_token) {
  for (const auto& [name, value] : headers.fields()) {
    if (name == lower_name && list_contains(value, lower_token)) return true;
  }
  return false;
}

Http1HeadScanner::State Http1HeadScanner::scan(std::string_view buffer, std::size_t max_head_bytes) {
  std::size_t limit = std::min(buffer.size(), max_head_bytes);
  if (scanned_ == 0 && limit > 0 && !(char_classes[static_cast<unsigned char>(buffer[0])] & token_char)) return State::bad;
  while (scanned_ < limit) {
    const void* found = std::memchr(buffer.data() + scanned_, '\n', limit - scanned_);
    if (!found) {
      scanned_ = limit;
      break;
    }
    std::size_t lf = static_cast<std::size_t>(static_cast<const char*>(found) - buffer.data());
    if (lf == 0 || buffer[lf - 1] != '\r') return State::bad;
    bool empty_line = lf - line_start_ == 1;
    scanned_ = line_start_ = lf + 1;
    if (empty_line) return State::complete;
  }
  return buffer.size() > max_head_bytes ? State::too_large : State::incomplete;
}

std::expected<Http1RequestHead, Http1Error> parse_request_head(std::string_view head, const Http1Limits& limits) {
  if (head.size() > limits.max_head_bytes) return std::unexpected(Http1Error{431, "request head too large"});
  Http1RequestHead out;
  std::string authority;
  auto line = take_line(head);
  if (!line) return std::unexpected(Http1Error{400, "malformed request line"});
  if (auto failure = read_request_line(*line, out, authority)) return std::unexpected(*failure);
  if (auto failure = parse_fields(head, out.headers, limits.max_fields)) return std::unexpected(*failure);
  if (auto failure = read_host(out, authority)) return std::unexpected(*failure);
  if (auto failure = read_framing(out)) return std::unexpected(*failure);
  read_connection(out);
  if (auto expect = out.headers.find("expect"); expect && out.minor_version == 1) {
    if (!equals_lower(*expect, "100-continue")) return std::unexpected(Http1Error{417, "unknown expectation"});
    out.expect_continue = out.body != BodyKind::none;
  }
  return out;
}

std::expected<Http1ResponseHead, Http1Error> parse_response_head(std::string_view head, std::string_view request_method,
                                                                 const Http1Limits& limits) {
  if (head.size() > limits.max_head_bytes) return std::unexpected(Http1Error{431, "response head too large"});
  Http1ResponseHead out;
  auto line = take_line(head);
  if (!line) return std::unexpected(Http1Error{400, "malformed status line"});
  if (auto failure = read_status_line(*line, out)) return std::unexpected(*failure);
  if (auto failure = parse_fields(head, out.headers, limits.max_fields)) return std::unexpected(*failure);
  out.body = BodyKind::until_close;
  if (auto failure = read_framing(out)) return std::unexpected(*failure);
  read_connection(out);
  bool bodiless = out.status < 200 || out.status == 204 || out.status == 304 || request_method == "HEAD" ||
                  (request_method == "CONNECT" && out.status < 300);
  if (bodiless) out.body = BodyKind::none;
  if (out.body == BodyKind::until_close) out.keep_alive = false;
  return out;
}

ChunkedDecoder::State ChunkedDecoder::fail(std::string_view why) {
  step_ = Step::bad;
  error_ = why;
  return State::bad;
}

bool ChunkedDecoder::step_size(char c) {
  if (is_hex(c)) {
    if (++digits_ > 16) return false;
    left_ = left_ * 16 + static_cast<std::uint64_t>(hex_value(c));
    return true;
  }
  if (digits_ == 0) return false;
  if (c == '\r') step_ = Step::size_lf;
  else if (c == ';') step_ = Step::extension;
  else return false;
  return true;
}

bool ChunkedDecoder::step_trailer(char c) {
  if (++overhead_ > max_chunk_overhead_bytes) return false;
  if (c != '\n') {
    line_.push_back(c);
    return true;
  }
  if (line_.empty() || line_.back() != '\r') return false;
  line_.pop_back();
  if (line_.empty()) {
    step_ = Step::done;
    std::string().swap(line_);
    return true;
  }
  Headers dropped;
  bool good = !parse_field(line_, dropped);
  line_.clear();
  return good;
}

ChunkedDecoder::State ChunkedDecoder::feed(std::string_view& in, std::string& out) {
  while (!in.empty() && step_ != Step::done && step_ != Step::bad) {
    if (step_ == Step::data) {
      std::size_t count = static_cast<std::size_t>(std::min<std::uint64_t>(left_, in.size()));
      out.append(in.substr(0, count));
      in.remove_prefix(count);
      left_ -= count;
      if (left_ == 0) step_ = Step::data_cr;
      continue;
    }
    char c = in.front();
    in.remove_prefix(1);
    switch (step_) {
      case Step::size:
        if (!step_size(c)) return fail("invalid chunk size");
        break;
      case Step::extension:
        if (++overhead_ > max_chunk_overhead_bytes) return fail("chunk extensions too long");
        if (c == '\r') step_ = Step::size_lf;
        else if (!(char_classes[static_cast<unsigned char>(c)] & value_char)) return fail("invalid chunk extension");
        break;
      case Step::size_lf:
        if (c != '\n') return fail("invalid chunk size");
        step_ = left_ == 0 ? Step::trailer : Step::data;
        break;
      case Step::data_cr:
        if (c != '\r') return fail("chunk longer than its size");
        step_ = Step::data_lf;
        break;
      case Step::data_lf:
        if (c != '\n') return fail("chunk longer than its size");
        step_ = Step::size;
        digits_ = 0;
        break;
      case Step::trailer:
        if (!step_trailer(c)) return fail("invalid trailer");
        break;
      default: break;
    }
  }
  if (step_ == Step::bad) return State::bad;
  return step_ == Step::done ? State::done : State::more;
}

}  // namespace kybern::net
