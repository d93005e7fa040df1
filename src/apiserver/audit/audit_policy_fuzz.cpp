// The audit policy's parser, with any bytes.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "apiserver/audit/policy.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kybern::apiserver;
  auto policy = audit::Policy::parse({reinterpret_cast<const char*>(data), size});
  RequestInfo info;
  info.is_resource = true;
  info.verb = "get";
  info.resource = "pods";
  if (policy) (void)policy->judge({"u", "", {"g"}, {}}, info);
  return 0;
}
