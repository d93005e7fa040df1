// FieldsV1 as a client writes it into metadata.managedFields: never a crash, and what is read is written as it was read.
#include "document/json.h"
#include "machinery/apply/field_set.h"

#include "base/check.h"

using namespace kybern;

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  auto parsed = parse_json({reinterpret_cast<const char*>(data), size}, {.max_depth = 600});
  if (!parsed) return 0;
  apply::FieldTexts texts;
  auto set = apply::parse_fields_v1(parsed->root(), texts, false);
  if (!set) return 0;
  Document written = apply::fields_v1(*set);
  auto again = apply::parse_fields_v1(written.root(), texts, true);
  KYBERN_CHECK(again && *again == *set, "a set that was written is read as it was");
  KYBERN_CHECK(apply::subtract(*set, *again).empty() && apply::unite(*set, *again) == *set, "a set is itself");
  set->each([](std::span<const std::string_view> path) { (void)apply::path_text(path); });
  return 0;
}
