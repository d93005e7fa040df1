// URLs (kubernetes.URL): absolute, or an absolute path.
#include <cctype>

#include <fmt/format.h>

#include "base/strings.h"
#include "machinery/cel/functions.h"

namespace kybern::cel {

namespace {

using Args = std::span<const Val>;

struct Url : Opaque {
  std::string text, scheme, host, path, query;
  std::string_view type_name() const override { return "kubernetes.URL"; }
  bool equals(const Opaque& other) const override {
    const auto* url = dynamic_cast<const Url*>(&other);
    return url && url->text == text;
  }
};

std::string read_scheme(std::string_view text, std::string& scheme, std::string_view& rest) {
  rest = text;
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto c = static_cast<unsigned char>(text[i]);
    if (std::isalpha(c)) continue;
    if (std::isdigit(c) || c == '+' || c == '-' || c == '.') {
      if (i == 0) return {};
      continue;
    }
    if (c != ':') return {};
    if (i == 0) return "missing protocol scheme";
    scheme = to_lower(text.substr(0, i));
    rest = text.substr(i + 1);
    return {};
  }
  return {};
}

std::string host_problem(std::string_view host) {
  std::size_t at = host.rfind('@');
  std::string_view name = at == host.npos ? host : host.substr(at + 1);
  std::string_view port;
  if (name.starts_with('[')) {
    std::size_t close = name.find(']');
    if (close == name.npos) return "missing ']' in host";
    port = name.substr(close + 1);
  } else if (std::size_t colon = name.find(':'); colon != name.npos) {
    port = name.substr(colon);
  }
  if (!port.empty() && (port[0] != ':' || port.substr(1).find_first_not_of("0123456789") != port.npos))
    return fmt::format("invalid port {} after host", go_quote(port));
  for (char c : name)
    if (std::string_view(" <>\"\\^`{|}").find(c) != std::string_view::npos)
      return fmt::format("invalid character {} in host name", go_quote(std::string(1, c)));
  return {};
}

std::string escape_problem(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') continue;
    if (i + 2 >= text.size() || !std::isxdigit(static_cast<unsigned char>(text[i + 1])) ||
        !std::isxdigit(static_cast<unsigned char>(text[i + 2])))
      return fmt::format("invalid URL escape {}", go_quote(text.substr(i, 3)));
  }
  return {};
}

// What is wrong, as Go's url.ParseRequestURI says it; "" when it is a URL.
std::string read_url(std::string_view text, Url& out) {
  auto wrong = [&](std::string_view what) { return fmt::format("parse {}: {}", go_quote(text), what); };
  if (text.empty()) return wrong("empty url");
  for (char c : text)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      return fmt::format("parse {}: net/url: invalid control character in URL", go_quote(text));
  out.text = text;
  std::string_view rest;
  if (std::string problem = read_scheme(text, out.scheme, rest); !problem.empty()) return wrong(problem);
  if (std::size_t question = rest.find('?'); question != rest.npos) {
    out.query = rest.substr(question + 1);
    rest = rest.substr(0, question);
  }
  if (!rest.starts_with('/')) {
    if (!out.scheme.empty()) return {};  // opaque: mailto:x
    return wrong("invalid URI for request");
  }
  if (!out.scheme.empty() && rest.starts_with("//")) {
    std::size_t slash = rest.find('/', 2);
    out.host = rest.substr(2, slash == rest.npos ? rest.npos : slash - 2);
    rest = slash == rest.npos ? std::string_view() : rest.substr(slash);
    if (std::string problem = host_problem(out.host); !problem.empty()) return wrong(problem);
    if (std::size_t at = out.host.rfind('@'); at != out.host.npos) out.host.erase(0, at + 1);
  }
  if (std::string problem = escape_problem(rest); !problem.empty()) return wrong(problem);
  out.path = rest;
  return {};
}

const Url& url(const Val& v) { return static_cast<const Url&>(*v.opaque); }
Val make_url(Evaluation& e, Args a) {
  Url out;
  std::string problem = read_url(a[0].str(), out);
  return problem.empty() ? e.make<Url>(std::move(out)) : e.error("URL parse error during conversion from string: " + problem);
}
Val is_url(Evaluation&, Args a) {
  Url out;
  return Val::of(read_url(a[0].str(), out).empty());
}
Val scheme(Evaluation&, Args a) { return Val::of(std::string_view(url(a[0]).scheme)); }
Val host(Evaluation&, Args a) { return Val::of(std::string_view(url(a[0]).host)); }

std::string_view port_part(std::string_view host) {
  std::size_t close = host.rfind(']'), colon = host.rfind(':');
  return colon == host.npos || (close != host.npos && colon < close) ? std::string_view() : host.substr(colon);
}
Val host_name(Evaluation&, Args a) {
  std::string_view host = url(a[0]).host;
  host.remove_suffix(port_part(host).size());
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return Val::of(host);
}
Val port(Evaluation&, Args a) {
  std::string_view port = port_part(url(a[0]).host);
  return Val::of(port.empty() ? port : port.substr(1));
}
Val escaped_path(Evaluation& e, Args a) {
  std::string out;
  for (char c : url(a[0]).path) {
    bool keep = std::isalnum(static_cast<unsigned char>(c)) || std::string_view("-_.~$&+,/:;=@!'()*[]%").find(c) != std::string_view::npos;
    out += keep ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return e.string(out);
}
Val query(Evaluation& e, Args a) {
  BuiltMap* out = e.new_map();
  std::string_view text = url(a[0]).query;
  if (!text.empty()) {
    for (std::string_view pair : kybern::split(text, '&')) {
      if (pair.empty() || pair.find(';') != pair.npos) continue;
      std::size_t equals = pair.find('=');
      Val key = e.string(url_decode(pair.substr(0, equals), true));
      Val value = e.string(equals == pair.npos ? std::string() : url_decode(pair.substr(equals + 1), true));
      Val list;
      if (!e.find(e.map(out), key, list)) {
        list = e.list(e.new_list(1));
        e.insert(*out, key, list);
      }
      e.push(*list.list, value);
    }
  }
  return e.map(out);
}

constexpr FunctionRow table_of_url[] = {
    {"url", "string_to_url", "(string) kubernetes.URL", make_url},
    {"isURL", "is_url_string", "(string) bool", is_url},
    {"getScheme", "url_get_scheme", "kubernetes.URL.() string", scheme},
    {"getHost", "url_get_host", "kubernetes.URL.() string", host},
    {"getHostname", "url_get_hostname", "kubernetes.URL.() string", host_name},
    {"getPort", "url_get_port", "kubernetes.URL.() string", port},
    {"getEscapedPath", "url_get_escaped_path", "kubernetes.URL.() string", escaped_path},
    {"getQuery", "url_get_query", "kubernetes.URL.() map<string, list<string>>", query},
};

}  // namespace

std::span<const FunctionRow> url_rows() { return table_of_url; }

}  // namespace kybern::cel
