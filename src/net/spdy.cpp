#include "net/spdy.h"

#include <zlib.h>

#include <algorithm>

#include "base/check.h"

namespace kybern::net {
namespace {

constexpr std::size_t max_header_pairs = 1000;
constexpr std::uint8_t flag_fin = 1, flag_unidirectional = 2;

void put32(std::string& out, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
}

std::uint32_t get32(std::string_view bytes, std::size_t at) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<std::uint8_t>(bytes[at + i]);
  return value;
}

// The dictionary that both sides prime zlib with: names in the form of the header block itself (length and text), then
// texts that are frequent in values. 1423 bytes, Adler-32 e3c6a7c2.
const std::string& dictionary() {
  static const std::string text = [] {
    constexpr std::string_view names[] = {"options",
                                          "head",
                                          "post",
                                          "put",
                                          "delete",
                                          "trace",
                                          "accept",
                                          "accept-charset",
                                          "accept-encoding",
                                          "accept-language",
                                          "accept-ranges",
                                          "age",
                                          "allow",
                                          "authorization",
                                          "cache-control",
                                          "connection",
                                          "content-base",
                                          "content-encoding",
                                          "content-language",
                                          "content-length",
                                          "content-location",
                                          "content-md5",
                                          "content-range",
                                          "content-type",
                                          "date",
                                          "etag",
                                          "expect",
                                          "expires",
                                          "from",
                                          "host",
                                          "if-match",
                                          "if-modified-since",
                                          "if-none-match",
                                          "if-range",
                                          "if-unmodified-since",
                                          "last-modified",
                                          "location",
                                          "max-forwards",
                                          "pragma",
                                          "proxy-authenticate",
                                          "proxy-authorization",
                                          "range",
                                          "referer",
                                          "retry-after",
                                          "server",
                                          "te",
                                          "trailer",
                                          "transfer-encoding",
                                          "upgrade",
                                          "user-agent",
                                          "vary",
                                          "via",
                                          "warning",
                                          "www-authenticate",
                                          "method",
                                          "get",
                                          "status",
                                          "200 OK",
                                          "version",
                                          "HTTP/1.1",
                                          "url",
                                          "public",
                                          "set-cookie",
                                          "keep-alive",
                                          "origin"};
    std::string out;
    for (std::string_view name : names) {
      put32(out, static_cast<std::uint32_t>(name.size()));
      out.append(name);
    }
    out.append("100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505")
        .append("203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden")
        .append("404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable")
        .append("Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT")
        .append("chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,text/javascript,public")
        .append("privatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.");
    return out;
  }();
  return text;
}

Bytef* zlib_bytes(std::string_view text) { return reinterpret_cast<Bytef*>(const_cast<char*>(text.data())); }

std::string control_head(SpdyType type, std::uint8_t flags, std::size_t payload_bytes) {
  std::string out;
  put32(out, 0x80030000u | static_cast<std::uint32_t>(type));
  put32(out, static_cast<std::uint32_t>(flags) << 24 | static_cast<std::uint32_t>(payload_bytes));
  return out;
}

bool has_upper_case(std::string_view name) {
  return std::any_of(name.begin(), name.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
}

}  // namespace

void SpdyInflateEnd::operator()(z_stream_s* stream) const {
  ::inflateEnd(stream);
  delete stream;
}

void SpdyDeflateEnd::operator()(z_stream_s* stream) const {
  ::deflateEnd(stream);
  delete stream;
}

// ---- decoding

SpdyDecoder::SpdyDecoder() : zlib_(new z_stream_s{}) { KYBERN_CHECK(::inflateInit(zlib_.get()) == Z_OK, "memory for zlib"); }

bool SpdyDecoder::fail(std::string_view why) {
  error_ = why;
  return false;
}

bool SpdyDecoder::begin_frame() {
  control_ = head_[0] & 0x80;
  left_ = static_cast<std::uint32_t>(head_[5]) << 16 | static_cast<std::uint32_t>(head_[6]) << 8 | head_[7];
  if (!control_) return true;
  if (((head_[0] & 0x7f) << 8 | head_[1]) != 3) return fail("not version 3 of SPDY");
  if (left_ > max_control_bytes) return fail("control frame too large");
  return true;
}

bool SpdyDecoder::inflate(std::string_view block, std::string& out) {
  char buffer[4096];
  zlib_->next_in = zlib_bytes(block);
  zlib_->avail_in = static_cast<uInt>(block.size());
  for (;;) {
    zlib_->next_out = reinterpret_cast<Bytef*>(buffer);
    zlib_->avail_out = sizeof buffer;
    int result = ::inflate(zlib_.get(), Z_SYNC_FLUSH);
    if (result == Z_NEED_DICT) {
      if (::inflateSetDictionary(zlib_.get(), zlib_bytes(dictionary()), static_cast<uInt>(dictionary().size())) != Z_OK)
        return fail("unknown header dictionary");
      continue;
    }
    if (result != Z_OK && result != Z_BUF_ERROR) return fail("header block does not inflate");
    out.append(buffer, sizeof buffer - zlib_->avail_out);
    if (out.size() > max_headers_bytes) return fail("header block too large");
    if (zlib_->avail_out > 0) return zlib_->avail_in == 0 || fail("header block does not inflate");
  }
}

bool SpdyDecoder::read_headers(std::string_view block, Headers& headers) {
  std::string text;
  if (!inflate(block, text)) return false;
  std::string_view rest = text;
  auto take = [&](std::string_view& piece) {
    if (rest.size() < 4) return false;
    std::size_t bytes = get32(rest, 0);
    if (bytes > rest.size() - 4) return false;
    piece = rest.substr(4, bytes);
    rest.remove_prefix(4 + bytes);
    return true;
  };
  if (rest.size() < 4) return fail("header block cut short");
  std::size_t pairs = get32(rest, 0);
  rest.remove_prefix(4);
  if (pairs > max_header_pairs) return fail("too many headers");
  for (std::size_t i = 0; i < pairs; ++i) {
    std::string_view name, values;
    if (!take(name) || !take(values)) return fail("header block cut short");
    if (name.empty() || has_upper_case(name) || headers.find(name)) return fail("bad header name");
    for (;;) {  // several values are divided by zero bytes
      std::size_t zero = values.find('\0');
      headers.add(name, values.substr(0, zero));
      if (zero == std::string_view::npos) break;
      values.remove_prefix(zero + 1);
    }
  }
  return rest.empty() || fail("header block with something behind it");
}

bool SpdyDecoder::end_control(std::vector<SpdyFrame>& out) {
  SpdyFrame frame;
  frame.type = static_cast<SpdyType>(head_[2] << 8 | head_[3]);
  frame.fin = head_[4] & flag_fin;
  std::string_view payload = payload_;
  auto id = [&](std::size_t at) { return get32(payload, at) & 0x7fffffffu; };
  switch (frame.type) {
    case SpdyType::syn_stream:
      if (payload.size() < 10) return fail("SYN_STREAM too short");
      frame.stream_id = id(0);
      frame.value = id(4);
      frame.unidirectional = head_[4] & flag_unidirectional;
      if (!read_headers(payload.substr(10), frame.headers)) return false;
      break;
    case SpdyType::syn_reply:
    case SpdyType::headers:
      if (payload.size() < 4) return fail("frame too short");
      frame.stream_id = id(0);
      if (!read_headers(payload.substr(4), frame.headers)) return false;
      break;
    case SpdyType::rst_stream:
    case SpdyType::goaway:
      if (payload.size() != 8) return fail("frame of the wrong length");
      frame.fin = false;
      frame.stream_id = id(0);
      frame.value = get32(payload, 4);
      break;
    case SpdyType::ping:
      if (payload.size() != 4) return fail("PING of the wrong length");
      frame.fin = false;
      frame.value = get32(payload, 0);
      break;
    default: return true;
  }
  bool of_stream = frame.type != SpdyType::ping && frame.type != SpdyType::goaway;
  if (of_stream && frame.stream_id == 0) return fail("stream 0");
  out.push_back(std::move(frame));
  return true;
}

bool SpdyDecoder::feed(std::string_view bytes, std::vector<SpdyFrame>& out) {
  if (!error_.empty()) return false;
  for (;;) {
    if (head_have_ < head_.size()) {
      while (head_have_ < head_.size() && !bytes.empty()) {
        head_[head_have_++] = static_cast<std::uint8_t>(bytes.front());
        bytes.remove_prefix(1);
      }
      if (head_have_ < head_.size()) return true;
      if (!begin_frame()) return false;
      if (left_ > 0 && bytes.empty()) return true;
    } else if (bytes.empty()) {
      return true;
    }
    std::string_view piece = bytes.substr(0, left_);
    bytes.remove_prefix(piece.size());
    left_ -= static_cast<std::uint32_t>(piece.size());
    if (control_) {
      payload_.append(piece);
    } else {
      SpdyFrame frame;
      frame.stream_id = get32({reinterpret_cast<const char*>(head_.data()), 4}, 0);
      if (frame.stream_id == 0) return fail("stream 0");
      frame.fin = left_ == 0 && (head_[4] & flag_fin);
      frame.data = std::string(piece);
      if (frame.fin || !frame.data.empty()) out.push_back(std::move(frame));
    }
    if (left_ > 0) return true;
    head_have_ = 0;
    if (control_ && !end_control(out)) return false;
    std::string().swap(payload_);
  }
}

// ---- encoding

SpdyEncoder::SpdyEncoder() : zlib_(new z_stream_s{}) {
  // A small window: header blocks are short, and sessions are many.
  constexpr int window_bits = 11, memory_level = 1;
  KYBERN_CHECK(::deflateInit2(zlib_.get(), Z_DEFAULT_COMPRESSION, Z_DEFLATED, window_bits, memory_level, Z_DEFAULT_STRATEGY) == Z_OK,
               "memory for zlib");
  ::deflateSetDictionary(zlib_.get(), zlib_bytes(dictionary()), static_cast<uInt>(dictionary().size()));
}

std::string SpdyEncoder::deflate(const Headers& headers) {
  std::vector<std::pair<std::string_view, std::string>> pairs;  // values of one name belong together
  for (const auto& field : headers.fields()) {
    auto same = std::find_if(pairs.begin(), pairs.end(), [&](const auto& pair) { return pair.first == field.first; });
    if (same == pairs.end()) {
      pairs.emplace_back(field.first, field.second);
    } else {
      same->second.append(1, '\0').append(field.second);
    }
  }
  std::string text;
  put32(text, static_cast<std::uint32_t>(pairs.size()));
  for (const auto& [name, value] : pairs) {
    put32(text, static_cast<std::uint32_t>(name.size()));
    text.append(name);
    put32(text, static_cast<std::uint32_t>(value.size()));
    text.append(value);
  }
  std::string out;
  char buffer[1024];
  zlib_->next_in = zlib_bytes(text);
  zlib_->avail_in = static_cast<uInt>(text.size());
  do {
    zlib_->next_out = reinterpret_cast<Bytef*>(buffer);
    zlib_->avail_out = sizeof buffer;
    ::deflate(zlib_.get(), Z_SYNC_FLUSH);
    out.append(buffer, sizeof buffer - zlib_->avail_out);
  } while (zlib_->avail_out == 0);
  return out;
}

std::string SpdyEncoder::syn_stream(std::uint32_t stream_id, const Headers& headers, bool fin) {
  std::string block = deflate(headers);
  std::string out = control_head(SpdyType::syn_stream, fin ? flag_fin : 0, 10 + block.size());
  put32(out, stream_id);
  put32(out, 0);        // associated with no stream
  out.append(2, '\0');  // priority and slot
  return out.append(block);
}

std::string SpdyEncoder::syn_reply(std::uint32_t stream_id, const Headers& headers, bool fin) {
  std::string block = deflate(headers);
  std::string out = control_head(SpdyType::syn_reply, fin ? flag_fin : 0, 4 + block.size());
  put32(out, stream_id);
  return out.append(block);
}

std::string SpdyEncoder::headers(std::uint32_t stream_id, const Headers& headers, bool fin) {
  std::string block = deflate(headers);
  std::string out = control_head(SpdyType::headers, fin ? flag_fin : 0, 4 + block.size());
  put32(out, stream_id);
  return out.append(block);
}

std::string SpdyEncoder::data(std::uint32_t stream_id, std::string_view bytes, bool fin) {
  KYBERN_CHECK(bytes.size() <= max_data_bytes, "a data frame has a length of 24 bits");
  std::string out;
  out.reserve(8 + bytes.size());
  put32(out, stream_id & 0x7fffffffu);
  put32(out, static_cast<std::uint32_t>(fin ? flag_fin : 0) << 24 | static_cast<std::uint32_t>(bytes.size()));
  return out.append(bytes);
}

std::string SpdyEncoder::rst_stream(std::uint32_t stream_id, std::uint32_t status) {
  std::string out = control_head(SpdyType::rst_stream, 0, 8);
  put32(out, stream_id);
  put32(out, status);
  return out;
}

std::string SpdyEncoder::ping(std::uint32_t id) {
  std::string out = control_head(SpdyType::ping, 0, 4);
  put32(out, id);
  return out;
}

std::string SpdyEncoder::goaway(std::uint32_t last_stream_id, std::uint32_t status) {
  std::string out = control_head(SpdyType::goaway, 0, 8);
  put32(out, last_stream_id);
  put32(out, status);
  return out;
}

}  // namespace kybern::net
