#include "apiserver/http/query.h"

#include "base/strings.h"

namespace kybern::apiserver {

Query::Query(std::string_view encoded) {
  if (encoded.empty()) return;
  for (std::string_view pair : split(encoded, '&')) {
    if (pair.empty()) continue;
    auto equals = pair.find('=');
    pairs_.emplace_back(url_decode(pair.substr(0, equals), true),
                        equals == std::string_view::npos ? "" : url_decode(pair.substr(equals + 1), true));
  }
}

std::string Query::get(std::string_view name) const {
  for (const auto& [key, value] : pairs_)
    if (key == name) return value;
  return {};
}

bool Query::has(std::string_view name) const {
  for (const auto& pair : pairs_)
    if (pair.first == name) return true;
  return false;
}

std::vector<std::string> Query::all(std::string_view name) const {
  std::vector<std::string> out;
  for (const auto& [key, value] : pairs_)
    if (key == name) out.push_back(value);
  return out;
}

bool Query::flag(std::string_view name) const {
  if (!has(name)) return false;
  std::string value = to_lower(get(name));
  return value != "false" && value != "0";
}

void Query::set(std::string_view name, std::string value) {
  for (auto& pair : pairs_)
    if (pair.first == name) {
      pair.second = std::move(value);
      return;
    }
  pairs_.emplace_back(std::string(name), std::move(value));
}

}  // namespace kybern::apiserver
