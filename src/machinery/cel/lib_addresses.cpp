// IP addresses and networks: net.IP and net.CIDR.
#include <arpa/inet.h>

#include <array>
#include <cstring>

#include <fmt/format.h>

#include "base/strings.h"
#include "machinery/cel/functions.h"
#include "machinery/names.h"

namespace kybern::cel {

namespace {

using Args = std::span<const Val>;
using Bytes = std::array<unsigned char, 16>;

struct Ip : Opaque {
  Bytes bytes{};
  int family = 4;  // 4 or 6
  std::size_t length() const { return family == 4 ? 4 : 16; }
  std::string_view type_name() const override { return "net.IP"; }
  bool equals(const Opaque& other) const override {
    const auto* ip = dynamic_cast<const Ip*>(&other);
    return ip && ip->family == family && ip->bytes == bytes;
  }
  std::uint64_t size() const override { return length(); }
  std::string text() const {
    char out[INET6_ADDRSTRLEN] = {};
    inet_ntop(family == 4 ? AF_INET : AF_INET6, bytes.data(), out, sizeof out);
    return family == 4 ? std::string(out) : names::canonical_ip(out);
  }
};

struct Cidr : Opaque {
  Ip ip;
  int bits = 0;
  std::string_view type_name() const override { return "net.CIDR"; }
  bool equals(const Opaque& other) const override {
    const auto* cidr = dynamic_cast<const Cidr*>(&other);
    return cidr && cidr->bits == bits && cidr->ip.equals(ip);
  }
  std::uint64_t size() const override { return static_cast<std::uint64_t>((bits + 7) / 8); }
  bool holds(const Ip& other) const {
    if (other.family != ip.family) return false;
    for (int i = 0; i < bits; ++i) {
      unsigned char mask = static_cast<unsigned char>(0x80 >> (i % 8));
      if ((ip.bytes[static_cast<std::size_t>(i / 8)] & mask) != (other.bytes[static_cast<std::size_t>(i / 8)] & mask)) return false;
    }
    return true;
  }
  Ip masked() const {
    Ip out = ip;
    for (int i = bits; i < static_cast<int>(ip.length()) * 8; ++i)
      out.bytes[static_cast<std::size_t>(i / 8)] &= static_cast<unsigned char>(~(0x80 >> (i % 8)));
    return out;
  }
};

bool parse_address(std::string_view text, Ip& out) {
  std::string copy(text);
  if (copy.size() > 60 || copy.find('\0') != copy.npos) return false;
  out.family = copy.find(':') == copy.npos ? 4 : 6;
  return inet_pton(out.family == 4 ? AF_INET : AF_INET6, copy.c_str(), out.bytes.data()) == 1;
}

bool mapped(const Ip& ip) {
  static constexpr unsigned char prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return ip.family == 6 && std::memcmp(ip.bytes.data(), prefix, 12) == 0;
}

std::string address_error(std::string_view text, Ip& out) {
  if (text.find('%') != text.npos && parse_address(text.substr(0, text.find('%')), out))
    return fmt::format("IP address {} with zone value is not allowed", go_quote(text));
  if (!parse_address(text, out))
    return fmt::format("IP Address {} parse error during conversion from string: ParseAddr({}): unable to parse IP", go_quote(text),
                       go_quote(text));
  if (mapped(out)) return fmt::format("IPv4-mapped IPv6 address {} is not allowed", go_quote(text));
  return {};
}

std::string network_error(std::string_view text, Cidr& out) {
  std::string quoted = go_quote(text), head = "network address parse error during conversion from string: ";
  std::size_t slash = text.rfind('/');
  if (slash == text.npos) return head + fmt::format("netip.ParsePrefix({}): no '/'", quoted);
  if (text.find('%') != text.npos) return head + fmt::format("netip.ParsePrefix({}): IPv6 zones cannot be present in a prefix", quoted);
  if (!parse_address(text.substr(0, slash), out.ip))
    return head + fmt::format("netip.ParsePrefix({}): ParseAddr({}): unable to parse IP", quoted, go_quote(text.substr(0, slash)));
  auto bits = parse_int(text.substr(slash + 1));
  std::string_view digits = text.substr(slash + 1);
  if (!bits || *bits < 0 || (digits.size() > 1 && (digits[0] == '0' || digits[0] == '+')))
    return head + fmt::format("netip.ParsePrefix({}): bad bits after slash: {}", quoted, go_quote(digits));
  if (*bits > static_cast<std::int64_t>(out.ip.length()) * 8)
    return head + fmt::format("netip.ParsePrefix({}): prefix length out of range", quoted);
  out.bits = static_cast<int>(*bits);
  if (mapped(out.ip)) return fmt::format("IPv4-mapped IPv6 address {} is not allowed", quoted);
  return {};
}

const Ip& ip_of(const Val& v) { return static_cast<const Ip&>(*v.opaque); }
const Cidr& cidr_of(const Val& v) { return static_cast<const Cidr&>(*v.opaque); }

Val make_ip(Evaluation& e, Args a) {
  Ip ip;
  std::string problem = address_error(a[0].str(), ip);
  return problem.empty() ? e.make<Ip>(ip) : e.error(problem);
}
Val is_ip(Evaluation&, Args a) {
  Ip ip;
  return Val::of(address_error(a[0].str(), ip).empty());
}
Val is_canonical(Evaluation& e, Args a) {
  Ip ip;
  std::string problem = address_error(a[0].str(), ip);
  return problem.empty() ? Val::of(ip.text() == a[0].str()) : e.error(problem);
}
Val ip_string(Evaluation& e, Args a) { return e.string(ip_of(a[0]).text()); }
Val family(Evaluation&, Args a) { return Val::of(static_cast<std::int64_t>(ip_of(a[0]).family)); }

enum class Sort { unspecified, loopback, link_local_multicast, link_local_unicast, global_unicast };
bool is_sort(const Ip& ip, Sort sort) {
  const Bytes& b = ip.bytes;
  bool v4 = ip.family == 4, zero = true, one = true;
  for (std::size_t i = 0; i < ip.length(); ++i) {
    zero &= b[i] == 0;
    one &= b[i] == (i + 1 == ip.length() ? 1 : 0);
  }
  switch (sort) {
    case Sort::unspecified: return zero;
    case Sort::loopback: return v4 ? b[0] == 127 : one;
    case Sort::link_local_multicast: return v4 ? b[0] == 224 && b[1] == 0 && b[2] == 0 : b[0] == 0xff && (b[1] & 0x0f) == 2;
    case Sort::link_local_unicast: return v4 ? b[0] == 169 && b[1] == 254 : b[0] == 0xfe && (b[1] & 0xc0) == 0x80;
    case Sort::global_unicast: {
      bool multicast = v4 ? (b[0] & 0xf0) == 224 : b[0] == 0xff;
      bool broadcast = v4 && b[0] == 255 && b[1] == 255 && b[2] == 255 && b[3] == 255;
      return !zero && !multicast && !broadcast && !is_sort(ip, Sort::loopback) && !is_sort(ip, Sort::link_local_unicast);
    }
  }
  return false;
}
template <Sort sort>
Val is(Evaluation&, Args a) {
  return Val::of(is_sort(ip_of(a[0]), sort));
}

Val make_cidr(Evaluation& e, Args a) {
  Cidr cidr;
  std::string problem = network_error(a[0].str(), cidr);
  return problem.empty() ? e.make<Cidr>(cidr) : e.error(problem);
}
Val is_cidr(Evaluation&, Args a) {
  Cidr cidr;
  return Val::of(network_error(a[0].str(), cidr).empty());
}
Val cidr_string(Evaluation& e, Args a) { return e.string(fmt::format("{}/{}", cidr_of(a[0]).ip.text(), cidr_of(a[0]).bits)); }
Val cidr_ip(Evaluation& e, Args a) { return e.make<Ip>(cidr_of(a[0]).ip); }
Val prefix_length(Evaluation&, Args a) { return Val::of(static_cast<std::int64_t>(cidr_of(a[0]).bits)); }
Val masked(Evaluation& e, Args a) {
  Cidr out = cidr_of(a[0]);
  out.ip = out.masked();
  return e.make<Cidr>(out);
}
Val contains_ip(Evaluation& e, Args a) {
  if (a[1].tag != Tag::string) return Val::of(cidr_of(a[0]).holds(ip_of(a[1])));
  Ip ip;
  std::string problem = address_error(a[1].str(), ip);
  return problem.empty() ? Val::of(cidr_of(a[0]).holds(ip)) : e.error(problem);
}
Val contains_cidr(Evaluation& e, Args a) {
  Cidr other;
  if (a[1].tag == Tag::string) {
    std::string problem = network_error(a[1].str(), other);
    if (!problem.empty()) return e.error(problem);
  } else {
    other = cidr_of(a[1]);
  }
  return Val::of(cidr_of(a[0]).bits <= other.bits && cidr_of(a[0]).holds(other.ip));
}

constexpr FunctionRow table_of_addresses[] = {
    {"ip", "string_to_ip", "(string) net.IP", make_ip},
    {"ip", "cidr_ip", "net.CIDR.() net.IP", cidr_ip},
    {"isIP", "is_ip", "(string) bool", is_ip},
    {"ip.isCanonical", "ip_is_canonical", "(string) bool", is_canonical},
    {"string", "ip_to_string", "(net.IP) string", ip_string},
    {"family", "ip_family", "net.IP.() int", family},
    {"isUnspecified", "ip_is_unspecified", "net.IP.() bool", is<Sort::unspecified>},
    {"isLoopback", "ip_is_loopback", "net.IP.() bool", is<Sort::loopback>},
    {"isLinkLocalMulticast", "ip_is_link_local_multicast", "net.IP.() bool", is<Sort::link_local_multicast>},
    {"isLinkLocalUnicast", "ip_is_link_local_unicast", "net.IP.() bool", is<Sort::link_local_unicast>},
    {"isGlobalUnicast", "ip_is_global_unicast", "net.IP.() bool", is<Sort::global_unicast>},
    {"cidr", "string_to_cidr", "(string) net.CIDR", make_cidr},
    {"isCIDR", "is_cidr", "(string) bool", is_cidr},
    {"string", "cidr_to_string", "(net.CIDR) string", cidr_string},
    {"prefixLength", "cidr_prefix_length", "net.CIDR.() int", prefix_length},
    {"masked", "cidr_masked", "net.CIDR.() net.CIDR", masked},
    {"containsIP", "cidr_contains_ip_string", "net.CIDR.(string) bool", contains_ip},
    {"containsIP", "cidr_contains_ip_ip", "net.CIDR.(net.IP) bool", contains_ip},
    {"containsCIDR", "cidr_contains_cidr_string", "net.CIDR.(string) bool", contains_cidr},
    {"containsCIDR", "cidr_contains_cidr", "net.CIDR.(net.CIDR) bool", contains_cidr},
};

}  // namespace

std::span<const FunctionRow> address_rows() { return table_of_addresses; }

}  // namespace kybern::cel
