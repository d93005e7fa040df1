// The grammars of names: what is wrong with a text, in the words clients see. An empty answer: nothing is.
//
//   names::dns1123_label("My_App") -> {"a lowercase RFC 1123 label must consist of lower case ..."}
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kybern::names {

using Messages = std::vector<std::string>;

Messages dns1123_label(std::string_view text);      // [a-z0-9]([-a-z0-9]*[a-z0-9])?, at most 63 bytes
Messages dns1123_subdomain(std::string_view text);  // labels joined by dots, at most 253 bytes
Messages dns1123_subdomain_with_underscore(std::string_view text);
Messages dns1035_label(std::string_view text);                // as a DNS-1123 label, but begins with a letter
Messages wildcard_dns1123_subdomain(std::string_view text);   // *.example.com
Messages fully_qualified_name(std::string_view text);         // a subdomain of at least three labels
Messages fully_qualified_domain_name(std::string_view text);  // of at least two, a dot at the end is allowed
Messages qualified_name(std::string_view text);               // a label key: [subdomain/]name
Messages label_value(std::string_view text);
Messages domain_prefixed_path(std::string_view text);  // acme.io/foo
Messages c_identifier(std::string_view text);
Messages port_number(std::int64_t number);  // 1..65535
Messages port_name(std::string_view text);  // IANA service name, at most 15 bytes
Messages percent(std::string_view text);    // "10%"
Messages http_header(std::string_view text);
Messages env_var(std::string_view text);  // printable ASCII without '='
Messages config_map_key(std::string_view text);
Messages path_segment(std::string_view text);         // a name that is only ever a part of a URL: not ".", "..", no / or %
Messages path_segment_prefix(std::string_view text);  // of a generated name: no / or %
Messages user_id(std::int64_t id);
Messages group_id(std::int64_t id);
Messages in_range(std::int64_t value, std::int64_t low, std::int64_t high);
Messages condition_reason(std::string_view text);
Messages http_path_part(std::string_view text);

// IP addresses as upstream parses them: leading zeros in IPv4 are tolerated, zones are not.
enum class Family { none, ipv4, ipv6 };
Family ip_family(std::string_view text);            // none: not an address. ::ffff:1.2.3.4 counts as ipv4
std::string canonical_ip(std::string_view text);    // RFC 5952; "" when it is not an address
Family cidr_family(std::string_view text);          // none: not a CIDR
std::string canonical_cidr(std::string_view text);  // the network, host bits cleared; "" when it is not one
inline constexpr std::string_view not_an_ip = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
inline constexpr std::string_view not_a_cidr = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";

// A prefix of a generated name may end in a dash.
std::string_view without_trailing_dash(std::string_view prefix);

std::string max_length_error(std::size_t bytes);
std::string range_error(std::int64_t low, std::int64_t high);

}  // namespace kybern::names
