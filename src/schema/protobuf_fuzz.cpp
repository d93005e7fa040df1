// What decodes must encode, and the bytes must then come back as they are.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "schema/convert.h"
#include "schema/protobuf.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kybern;
  std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (auto document = schema::decode_protobuf(bytes)) {
    auto encoded = schema::encode_protobuf(*document);
    auto again = schema::decode_protobuf(*encoded);
    if (!again || *schema::encode_protobuf(*again) != *encoded) { std::abort(); }
  }
  for (const char* name : {"core.v1.Pod", "cri.runtime.v1.ContainerStatusResponse", "etcd.v3.WatchResponse"}) {
    const schema::Type& type = *schema::find_type_named(name);
    if (auto document = schema::decode_message(type, bytes)) {
      std::string out;
      schema::encode_message(type, *document, out);
    }
  }
  return 0;
}
