// Small rules about paths, ports, addresses and names that many kinds share.
#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "document/json.h"
#include "machinery/validate/rules.h"

namespace kybern::rules {
namespace {

void list_changes(Value old, Value now, const std::string& path, std::string& out) {
  if (same(old, now)) return;
  if (old.is_object() && now.is_object()) {
    for (Member member : old.members()) list_changes(member.value, now[member.key], path + "." + std::string(member.key), out);
    for (Member member : now.members()) {
      if (!old[member.key].exists()) list_changes({}, member.value, path + "." + std::string(member.key), out);
    }
    return;
  }
  if (old.is_array() && now.is_array() && old.size() == now.size()) {
    for (std::size_t i = 0; i < old.size(); ++i) list_changes(old[i], now[i], fmt::format("{}[{}]", path, i), out);
    return;
  }
  std::string_view name = path.empty() ? std::string_view("") : std::string_view(path).substr(1);
  if (!old.is_null()) out += fmt::format("- {}: {}\n", name, to_json(old));
  if (!now.is_null()) out += fmt::format("+ {}: {}\n", name, to_json(now));
}

// 010.0.0.1, which some read as octal.
bool leading_zeros(std::string_view ip) {
  std::string_view four = ip.substr(ip.rfind(':') + 1);  // all of it, where there is none
  if (four.find('.') == std::string_view::npos) return false;
  for (std::string_view number : split(four, '.')) {
    if (number.size() > 1 && number[0] == '0') return true;
  }
  return false;
}

// ::ffff:10.0.0.1, which some take for IPv4 and others for IPv6.
bool mapped(std::string_view ip) { return ip.find(':') != std::string_view::npos && names::ip_family(ip) == names::Family::ipv4; }

}  // namespace

void object_meta(Findings& f, Value object, bool namespaced, NameRule rule) {
  f.add(validate_object_meta(object["metadata"], namespaced, rule));
  f.add(validate_standard_finalizers(object["metadata"]));
}

void object_meta_update(Findings& f, Value object, Value old) {
  f.add(validate_object_meta_update(object["metadata"], old["metadata"]));
  f.add(validate_standard_finalizers(object["metadata"]));
}

void no_backsteps(Findings& f, std::string_view target, const Path& path) {
  for (std::string_view part : split(target, '/')) {
    if (part == "..") return f.invalid(path, target, "must not contain '..'");
  }
}

void descending_path(Findings& f, std::string_view target, const Path& path) {
  if (target.starts_with('/')) f.invalid(path, target, "must be a relative path");
  no_backsteps(f, target, path);
}

void unreserved_local_path(Findings& f, std::string_view target, const Path& path) {
  descending_path(f, target, path);
  if (target.starts_with("..") && !target.starts_with("../")) f.invalid(path, target, "must not start with '..'");
}

void file_mode(Findings& f, Value mode, const Path& path) {
  if (mode.is_null()) return;
  if (mode.as_int() < 0 || mode.as_int() > 0777)
    f.invalid(path, mode.as_int(), "must be a number between 0 and 0777 (octal), both inclusive");
}

void port_number_or_name(Findings& f, Value port, const Path& path) {
  if (port.is_string()) f.say(path, port.as_string(), names::port_name(port.as_string()));
  else f.say(path, port.as_int(), names::port_number(port.as_int()));
}

std::string_view address_fault(std::string_view ip) {
  if (names::ip_family(ip) == names::Family::none) return names::not_an_ip;
  if (leading_zeros(ip)) return "must not have leading 0s";
  return mapped(ip) ? "must not be an IPv4-mapped IPv6 address" : "";
}

void ip_address(Findings& f, std::string_view ip, const Path& path, const Kept& kept) {
  if (std::find(kept.begin(), kept.end(), ip) != kept.end()) return;
  if (std::string_view fault = address_fault(ip); !fault.empty()) f.invalid(path, ip, fault);
}

void cidr(Findings& f, std::string_view text, const Path& path, const Kept& kept) {
  if (std::find(kept.begin(), kept.end(), text) != kept.end()) return;
  std::string network = names::canonical_cidr(text);
  if (network.empty()) return f.invalid(path, text, names::not_a_cidr);
  std::size_t slash = text.find('/');
  std::string_view ip = text.substr(0, slash), bits = text.substr(slash + 1);
  if (leading_zeros(ip) || (bits.size() > 1 && bits[0] == '0')) f.invalid(path, text, "must not have leading 0s in IP or prefix length");
  else if (mapped(ip)) f.invalid(path, text, "must not have an IPv4-mapped IPv6 address");
  else if (names::canonical_ip(ip) != network.substr(0, network.find('/')))
    f.invalid(path, text, "must not have bits set beyond the prefix length");
}

void canonical_cidr(Findings& f, std::string_view text, const Path& path) {
  std::size_t before = f.size();
  cidr(f, text, path);
  std::string network = names::canonical_cidr(text);
  if (f.size() == before && network != text) f.invalid(path, text, fmt::format("must be in canonical form ({})", go_quote(network)));
}

void ordinary_ip(Findings& f, std::string_view ip, const Path& path) {
  std::string canonical = names::canonical_ip(ip);
  if (canonical.empty()) return f.invalid(path, ip, "must be a valid IP address");
  auto within = [&](std::string_view network, int bits) { return names::canonical_cidr(fmt::format("{}/{}", canonical, bits)) == network; };
  bool v4 = names::ip_family(ip) == names::Family::ipv4;
  if (canonical == "0.0.0.0" || canonical == "::") f.invalid(path, ip, fmt::format("may not be unspecified ({})", ip));
  if (v4 ? within("127.0.0.0/8", 8) : canonical == "::1") f.invalid(path, ip, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
  if (v4 ? within("169.254.0.0/16", 16) : within("fe80::/10", 10))
    f.invalid(path, ip, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
  if (v4 ? within("224.0.0.0/24", 24) : within("ff02::/16", 16))
    f.invalid(path, ip, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
}

void dns_label(Findings& f, std::string_view name, const Path& path) { f.say(path, name, names::dns1123_label(name)); }
void dns_subdomain(Findings& f, std::string_view name, const Path& path) { f.say(path, name, names::dns1123_subdomain(name)); }
void qualified(Findings& f, std::string_view name, const Path& path) { f.say(path, name, names::qualified_name(name)); }

bool dual_stack(const std::vector<std::string>& addresses) {
  bool v4 = false, v6 = false;
  for (const std::string& address : addresses) {
    names::Family family = address.find('/') == std::string::npos ? names::ip_family(address) : names::cidr_family(address);
    v4 |= family == names::Family::ipv4;
    v6 |= family == names::Family::ipv6;
  }
  return v4 && v6;
}

std::string changes(Value old, Value now) {
  std::string out;
  list_changes(old, now, "", out);
  return out;
}

}  // namespace kybern::rules
