#include "apiserver/http/proxy_links.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/strings.h"

namespace kybern::apiserver {
namespace {

constexpr std::string_view spaces = " \t\r\n\f";

// Elements and their attributes that hold a URL.
constexpr std::pair<std::string_view, std::string_view> url_attributes[] = {
    {"a", "href"},          {"applet", "codebase"}, {"area", "href"},         {"audio", "src"},        {"base", "href"},
    {"blockquote", "cite"}, {"body", "background"}, {"button", "formaction"}, {"command", "icon"},     {"del", "cite"},
    {"embed", "src"},       {"form", "action"},     {"frame", "longdesc"},    {"frame", "src"},        {"head", "profile"},
    {"html", "manifest"},   {"iframe", "longdesc"}, {"iframe", "src"},        {"img", "longdesc"},     {"img", "src"},
    {"img", "usemap"},      {"input", "src"},       {"input", "usemap"},      {"input", "formaction"}, {"ins", "cite"},
    {"link", "href"},       {"object", "classid"},  {"object", "codebase"},   {"object", "data"},      {"object", "usemap"},
    {"q", "cite"},          {"script", "src"},      {"source", "src"},        {"video", "poster"},     {"video", "src"},
};
constexpr std::string_view raw_elements[] = {"script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes"};

// Without "." and "..", and with single slashes.
std::string clean(std::string_view path) {
  std::vector<std::string_view> kept;
  for (std::string_view part : split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part != "..") kept.push_back(part);
    else if (!kept.empty()) kept.pop_back();
  }
  std::string out;
  for (std::string_view part : kept) out.append("/").append(part);
  return out.empty() ? "/" : out;
}

struct Link {
  std::string_view scheme, host, path, rest;  // rest: the query and the fragment
};

Link parsed(std::string_view text) {
  Link out;
  std::size_t end = std::min(text.find_first_of("?#"), text.size());
  out.rest = text.substr(end);
  text = text.substr(0, end);
  auto letter = [](char c) { return (c | 32) >= 'a' && (c | 32) <= 'z'; };
  std::size_t colon = text.find(':');
  if (colon != std::string_view::npos && colon > 0 && letter(text[0]) && text.substr(0, colon).find('/') == std::string_view::npos) {
    out.scheme = text.substr(0, colon);
    text.remove_prefix(colon + 1);
  }
  if (text.starts_with("//")) {
    std::size_t slash = std::min(text.find('/', 2), text.size());
    out.host = text.substr(2, slash - 2);
    if (auto at = out.host.rfind('@'); at != std::string_view::npos) out.host.remove_prefix(at + 1);
    text.remove_prefix(slash);
  }
  out.path = text;
  return out;
}

// The five entities that a URL in an attribute may be written with.
std::string unescaped(std::string_view text) {
  static constexpr std::pair<std::string_view, char> entities[] = {{"&amp;", '&'},  {"&quot;", '"'}, {"&#34;", '"'},
                                                                   {"&#39;", '\''}, {"&lt;", '<'},   {"&gt;", '>'}};
  std::string out;
  while (!text.empty()) {
    const auto* found = std::find_if(std::begin(entities), std::end(entities), [&](const auto& e) { return text.starts_with(e.first); });
    bool entity = found != std::end(entities);
    out += entity ? found->second : text[0];
    text.remove_prefix(entity ? found->first.size() : 1);
  }
  return out;
}

std::string escaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '&') out += "&amp;";
    else if (c == '"') out += "&#34;";
    else if (c == '\'') out += "&#39;";
    else if (c == '<') out += "&lt;";
    else if (c == '>') out += "&gt;";
    else out += c;
  }
  return out;
}

std::size_t find_ignoring_case(std::string_view text, std::string_view lower) {
  auto found = std::search(text.begin(), text.end(), lower.begin(), lower.end(),
                           [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a | 32 : a) == b; });
  return found == text.end() ? std::string_view::npos : static_cast<std::size_t>(found - text.begin());
}

}  // namespace

std::string ProxyLinks::rewritten(std::string_view link) const {
  Link target = parsed(link);
  bool elsewhere = !target.host.empty() && target.host != backend_host && target.host != client_host;
  if (elsewhere || !target.path.starts_with('/')) return std::string(link);
  std::string out;
  if (!target.host.empty() && target.host == client_host) {
    if (!target.scheme.empty()) out.append(target.scheme).append(":");
    out.append("//").append(target.host);
  }
  if (target.path.starts_with(prefix)) return out.append(target.path).append(target.rest);
  std::string path = clean(prefix + "/" + std::string(target.path));
  if (target.path.ends_with('/') && !path.ends_with('/')) path += '/';
  return out.append(path).append(target.rest);
}

void HtmlLinks::feed(std::string_view bytes, bool last, std::string& out) {
  rest_.append(bytes);
  while (!rest_.empty()) {
    if (!raw_until_.empty()) {
      std::size_t end = find_ignoring_case(rest_, raw_until_);
      std::size_t settled = end != std::string::npos ? end : rest_.size() - std::min(rest_.size(), raw_until_.size() - 1);
      out.append(rest_, 0, settled);
      rest_.erase(0, settled);
      if (end == std::string::npos) break;
      raw_until_.clear();
    }
    std::size_t begin = rest_.find('<');
    out.append(rest_, 0, begin);
    rest_.erase(0, begin);
    if (rest_.empty() || tag(out)) continue;
    if (rest_.size() < tag_max_bytes) break;
    out.append(rest_, 0, 1);
    rest_.erase(0, 1);
  }
  if (!last) return;
  out += rest_;
  rest_.clear();
}

bool HtmlLinks::tag(std::string& out) {
  auto settle = [&](std::size_t bytes) {
    out.append(rest_, 0, bytes);
    rest_.erase(0, bytes);
    return true;
  };
  if (rest_.size() < 4) return false;
  if (rest_.starts_with("<!--")) {
    std::size_t end = rest_.find("-->", 4);
    return end != std::string::npos && settle(end + 3);
  }
  bool name_begins = (rest_[1] | 32) >= 'a' && (rest_[1] | 32) <= 'z';
  if (!name_begins) {
    if (rest_[1] != '/' && rest_[1] != '!' && rest_[1] != '?') return settle(1);
    std::size_t end = rest_.find('>');
    return end != std::string::npos && settle(end + 1);
  }
  // Its end is the first '>' that no quote holds.
  char quote = 0;
  std::size_t end = 1;
  for (; end < rest_.size(); ++end) {
    char c = rest_[end];
    if (quote) quote = c == quote ? 0 : quote;
    else if ((c == '"' || c == '\'') && rest_[rest_.find_last_not_of(spaces, end - 1)] == '=') quote = c;
    else if (c == '>') break;
  }
  if (end == rest_.size()) return false;
  std::string whole = rest_.substr(0, end + 1);
  rest_.erase(0, end + 1);
  rewrite_tag(whole, out);
  std::string name = to_lower(whole.substr(1, whole.find_first_of(" \t\r\n\f/>") - 1));
  if (std::find(std::begin(raw_elements), std::end(raw_elements), name) != std::end(raw_elements) && !whole.ends_with("/>"))
    raw_until_ = "</" + name;
  return true;
}

// Everything stays as it was written, but for the values that are links.
void HtmlLinks::rewrite_tag(std::string_view tag, std::string& out) {
  std::size_t at = std::min(tag.find_first_of(" \t\r\n\f/>"), tag.size());
  std::string name = to_lower(tag.substr(1, at - 1));
  std::size_t copied = 0;
  while (at < tag.size()) {
    at = tag.find_first_not_of(" \t\r\n\f/", at);
    if (at == std::string_view::npos || tag[at] == '>') break;
    std::size_t key_end = std::min(tag.find_first_of(" \t\r\n\f/>=", at + 1), tag.size());
    std::string key = to_lower(tag.substr(at, key_end - at));
    at = tag.find_first_not_of(spaces, key_end);
    if (at == std::string_view::npos) break;
    if (tag[at] != '=') continue;
    at = tag.find_first_not_of(spaces, at + 1);
    if (at == std::string_view::npos) break;
    bool quoted = tag[at] == '"' || tag[at] == '\'';
    std::size_t begin = at, value_begin = quoted ? at + 1 : at;
    std::size_t value_end = quoted ? tag.find(tag[at], value_begin) : tag.find_first_of(" \t\r\n\f>", value_begin);
    if (value_end == std::string_view::npos) break;
    at = quoted ? value_end + 1 : value_end;
    auto known = [&](const auto& one) { return one.first == name && one.second == key; };
    if (std::none_of(std::begin(url_attributes), std::end(url_attributes), known)) continue;
    std::string link = unescaped(tag.substr(value_begin, value_end - value_begin)), now = links_.rewritten(link);
    if (now == link) continue;
    out.append(tag.substr(copied, begin - copied)).append("\"").append(escaped(now)).append("\"");
    copied = at;
  }
  out.append(tag.substr(copied));
}

}  // namespace kybern::apiserver
