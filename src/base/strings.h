// Small text helpers shared by all rooms.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kybern {

std::vector<std::string_view> split(std::string_view text, char separator);  // "a,,b" -> a, "", b; "" -> one empty piece
std::string join(const std::vector<std::string>& pieces, std::string_view separator);
std::string_view trim(std::string_view text);  // ASCII white space at both ends
std::string to_lower(std::string_view text);   // ASCII
bool equals_ignore_case(std::string_view a, std::string_view b);
std::optional<std::int64_t> parse_int(std::string_view text);  // decimal, whole text, in range

std::string base64_encode(std::string_view bytes);                // RFC 4648 with padding
std::optional<std::string> base64_decode(std::string_view text);  // strict; line breaks are allowed as in Go
std::string base64url_encode(std::string_view bytes);             // RFC 4648 section 5, no padding (JWT)
std::optional<std::string> base64url_decode(std::string_view text);
std::string hex_encode(std::string_view bytes);

std::string url_decode(std::string_view text, bool plus_is_space);
std::string url_encode(std::string_view text);  // a query or path component
std::string go_quote(std::string_view text);    // as Go's %q prints it: "a\"b\n"
bool valid_utf8(std::string_view text);
std::string edit_nearest(std::string_view wrong, const std::vector<std::string>& candidates);  // "" when none is near

}  // namespace kybern
