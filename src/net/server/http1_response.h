// Response heads of HTTP/1.1 as the server writes them.
#pragma once

#include <string>
#include <string_view>

#include "net/http.h"

namespace kybern::net {

void append_status_line(std::string& out, int status);
// The name in the usual form (content-type: Content-Type); line breaks in the value become spaces.
void append_field(std::string& out, std::string_view name, std::string_view value);
std::string_view http_date();  // of now; valid in this thread until the next call

}  // namespace kybern::net
