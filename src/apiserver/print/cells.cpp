#include "apiserver/print/cells.h"

#include "machinery/duration_text.h"

namespace kybern::apiserver {
namespace {

std::string age_of(Value time, Time now) {
  auto then = parse_rfc3339(time.as_string());
  return then ? human_age(*then, now) : "<unknown>";
}

}  // namespace

Draft cells_of(const Served& served, Value object, Time now) {
  Draft cells = Draft::array();
  if (served.resource->columns.empty()) {
    cells.push_back(object["metadata"]["name"]);
    cells.push_back(object["metadata"]["creationTimestamp"]);
    return cells;
  }
  for (const schema::Column& column : served.resource->columns) {
    if (column.name == "Name") cells.push_back(object["metadata"]["name"]);
    else if (column.name == "Age") cells.push_back(age_of(object["metadata"]["creationTimestamp"], now));
    else cells.push_back("");
  }
  return cells;
}

}  // namespace kybern::apiserver
