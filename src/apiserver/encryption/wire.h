// Protocol buffers of the key service, written and read by field number: small messages of strings and bytes.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace kybern::apiserver::encryption {

class Message {
 public:
  Message& text(unsigned field, std::string_view bytes);
  Message& number(unsigned field, std::uint64_t value);
  const std::string& bytes() const { return bytes_; }

 private:
  void varint(std::uint64_t value);
  std::string bytes_;
};

struct Fields {
  std::map<unsigned, std::vector<std::string>> texts;
  std::map<unsigned, std::uint64_t> numbers;
  std::string text(unsigned field) const;  // "" when absent, the last when repeated
};
std::optional<Fields> read_message(std::string_view bytes);  // nothing: malformed

}  // namespace kybern::apiserver::encryption
