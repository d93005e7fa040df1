#include "net/http.h"

#include <algorithm>
#include <array>

namespace kybern::net {
namespace {

constexpr std::size_t usual_fields = 8;  // of a message: room that is made at once

constexpr std::array<char, 256> lower_table = [] {
  std::array<char, 256> table{};
  for (int i = 0; i < 256; ++i) table[static_cast<std::size_t>(i)] = static_cast<char>(i >= 'A' && i <= 'Z' ? i + 32 : i);
  return table;
}();

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = lower_table[static_cast<unsigned char>(c)];
  return out;
}

}  // namespace

Headers::Headers(std::initializer_list<std::pair<std::string_view, std::string_view>> fields) {
  fields_.reserve(std::max(usual_fields, fields.size()));
  for (const auto& [name, value] : fields) add(name, value);
}

std::optional<std::string_view> Headers::find(std::string_view lower_name) const {
  for (const auto& [name, value] : fields_) {
    if (name == lower_name) return value;
  }
  return std::nullopt;
}

std::vector<std::string_view> Headers::all(std::string_view lower_name) const {
  std::vector<std::string_view> values;
  for (const auto& [name, value] : fields_) {
    if (name == lower_name) values.push_back(value);
  }
  return values;
}

void Headers::add(std::string_view name, std::string_view value) {
  if (fields_.empty()) fields_.reserve(usual_fields);
  fields_.emplace_back(lower(name), value);
}

void Headers::set(std::string_view name, std::string_view value) {
  std::string key = lower(name);
  for (const auto& field : fields_) {
    if (field.first != key) continue;
    erase(key);
    break;
  }
  if (fields_.empty()) fields_.reserve(usual_fields);
  fields_.emplace_back(std::move(key), value);
}

void Headers::erase(std::string_view lower_name) {
  std::erase_if(fields_, [&](const auto& field) { return field.first == lower_name; });
}

std::string_view reason_phrase(int status) {
  switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 102: return "Processing";
    case 103: return "Early Hints";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 203: return "Non-Authoritative Information";
    case 204: return "No Content";
    case 205: return "Reset Content";
    case 206: return "Partial Content";
    case 207: return "Multi-Status";
    case 208: return "Already Reported";
    case 226: return "IM Used";
    case 300: return "Multiple Choices";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 305: return "Use Proxy";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 407: return "Proxy Authentication Required";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Request Entity Too Large";
    case 414: return "Request URI Too Long";
    case 415: return "Unsupported Media Type";
    case 416: return "Requested Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 418: return "I'm a teapot";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Entity";
    case 423: return "Locked";
    case 424: return "Failed Dependency";
    case 425: return "Too Early";
    case 426: return "Upgrade Required";
    case 428: return "Precondition Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 451: return "Unavailable For Legal Reasons";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 506: return "Variant Also Negotiates";
    case 507: return "Insufficient Storage";
    case 508: return "Loop Detected";
    case 510: return "Not Extended";
    case 511: return "Network Authentication Required";
    default: return "";
  }
}

}  // namespace kybern::net
