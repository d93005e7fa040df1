// Any bytes, cut anywhere, as a stream of gRPC messages: whatever is accepted must frame back to the bytes that were read.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "net/client/grpc_message.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::size_t step = data[0] % 16 + 1;
  std::string_view wire(reinterpret_cast<const char*>(data + 1), size - 1);
  kybern::net::GrpcAssembler assembler;
  std::string again;
  auto sink = [&again](std::string message) { again += *kybern::net::frame_grpc_message(message); };
  for (std::size_t i = 0; i < wire.size(); i += step)
    if (!assembler.feed(wire.substr(i, step), sink)) break;
  if (!wire.starts_with(again)) std::abort();
  kybern::net::decode_grpc_message(wire);
  return 0;
}
