// How many seats a request takes: lists by what they read, writes by how many watch what they change (KEP-1040, "width of
// the request").
#pragma once

#include <cstdint>
#include <string_view>

#include "base/time.h"
#include "machinery/fields.h"

namespace kybern::apiserver {

struct Width {
  int seats = 1;
  Duration afterwards{};  // they stay taken for so long after the answer
};

// `objects`: stored of the resource; `limit`: of the list, 0 for none; `max_width`: of the level, 0 when it says nothing.
Width width_of_list(std::int64_t objects, std::int64_t object_bytes, std::int64_t limit, int max_width);
// `watchers`: that may be told of the write.
Width width_of_write(int watchers, int max_width);

// A kubelet's watch of its own pods, anybody's of one Secret: hardly a write concerns it, so it is not counted among those that
// are told of each. By the fields that upstream goes by.
bool hears_of_few(std::string_view group, std::string_view plural, const FieldSelector& fields);

}  // namespace kybern::apiserver
