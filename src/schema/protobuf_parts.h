// A protobuf object written in parts, by those who do not have it in memory as a whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "schema/schema.h"

namespace kybern::schema {

// Appends a field of another message: its number, the length, the message.
void encode_field(const Type& type, std::uint32_t number, Value value, std::string& out);

// What stands before and behind the `bytes` bytes of an object's message in its envelope (protobuf.h).
std::string envelope_head(std::string_view api_version, std::string_view kind, std::size_t bytes);
std::string envelope_tail();

}  // namespace kybern::schema
