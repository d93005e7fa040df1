// Small rules about paths, ports, addresses and names that many kinds share.
#include <fmt/format.h>

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

void ip_address(Findings& f, std::string_view ip, const Path& path) {
  if (names::ip_family(ip) == names::Family::none) f.invalid(path, ip, names::not_an_ip);
}

void cidr(Findings& f, std::string_view text, const Path& path) {
  if (names::cidr_family(text) == names::Family::none) f.invalid(path, text, names::not_a_cidr);
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
