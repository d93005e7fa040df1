// A patch and the object it is for, both JSON, with a line between them: nothing may be broken by any of the three kinds.
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "document/json.h"
#include "machinery/patch/patch.h"
#include "schema/schema.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace kybern;
  if (size > 16384) return 0;
  std::string_view text(reinterpret_cast<const char*>(data), size);
  std::size_t line = text.find('\n');
  if (line == std::string_view::npos) return 0;
  auto patch = parse_json(text.substr(0, line)), object = parse_json(text.substr(line + 1));
  if (!patch || !object) return 0;
  (void)json_patch(*object, *patch);
  const schema::Resource* pods = schema::find_resource("", "v1", "pods");
  if (patch->root().is_object() && object->root().is_object()) {
    (void)strategic_merge(*object, *patch, *pods->type);
    auto merged = merge_patch(*object, *patch);
    if (!merged) return 0;
    // What was merged is what the difference says.
    Document now = merged->freeze();
    Draft difference = create_merge_patch(*object, now);
    auto again = merge_patch(*object, difference.freeze());
    KYBERN_CHECK(again && again->freeze().root() == now.root(), "applying a difference gives what it was made from");
  }
  return 0;
}
