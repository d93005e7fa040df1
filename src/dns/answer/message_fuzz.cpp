// Every message from the network goes through these: a query is read and answered, and taken for an upstream's answer.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "dns/answer/answer.h"
#include "dns/answer/message.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kybern::dns;
  const std::string_view message(reinterpret_cast<const char*>(data), size);
  static const Index index;
  static const Zone zone = make_zone("cluster.local");
  static const Query asked = *parse_query(*write_query(1, "example.com", Type::a));
  static const std::string question = *write_query(1, "example.com", Type::a);
  if (const auto query = parse_query(message)) {
    Answer found = answer(index, zone, query->question, size);
    const std::string bytes = write_answer(*query, found, udp_limit(*query));
    if (bytes.size() > udp_limit(*query)) __builtin_trap();
  }
  (void)answers_query(message, 1, question);
  (void)write_chased(asked, Answer{}, message, max_udp_bytes);
  return 0;
}
