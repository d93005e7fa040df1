// Tables as kubectl prints them: the columns come from api/, the cells of a row from print/cells*.cpp.
#include <fmt/format.h>

#include "apiserver/custom/custom.h"
#include "apiserver/discovery/discovery.h"
#include "apiserver/print/cells.h"
#include "apiserver/print/row.h"

namespace kybern::apiserver {

Draft table_columns(const Served& served) {
  if (served.custom) return served.custom->columns();
  Draft out = Draft::array();
  auto add = [&](const schema::Column& c) {
    out.push_back(Draft::object(
        {{"name", c.name}, {"type", c.type}, {"format", c.format}, {"description", c.description}, {"priority", c.priority}}));
  };
  for (const schema::Column& c : served.resource->columns) add(c);
  if (served.resource->columns.empty()) {
    add({"Name", "string", "name", "Name of the object.", 0});
    add({"Created At", "date", "", "When the object was created.", 0});
  }
  return out;
}

Draft scale_columns(const Served& served) {
  Draft out = Draft::array();
  auto add = [&](std::string_view name, std::string_view type, std::string_view format, std::string_view description) {
    out.push_back(Draft::object({{"name", name}, {"type", type}, {"format", format}, {"description", description}, {"priority", 0}}));
  };
  add("Name", "string", served.custom ? "name" : "", "Name of the object.");
  add("Desired", "integer", "", "Number of replicas that are wanted.");
  add("Available", "integer", "", "Number of replicas that are there.");
  add("Age", served.custom ? "date" : "string", "", "Time since it was made.");
  return out;
}

Draft partial_metadata(Value object, std::string_view api_version) {
  return Draft::object({{"kind", "PartialObjectMetadata"}, {"apiVersion", api_version}, {"metadata", object["metadata"]}});
}

namespace {

// A pod that is done is told apart from those that run: kubectl leaves such rows out when asked for live ones.
Draft row_conditions(const Served& served, Value object) {
  Draft out = Draft::array();
  if (served.plural() != "pods" || !served.group().empty()) return out;
  std::string_view phase = object["status"]["phase"].as_string();
  if (phase != "Succeeded" && phase != "Failed") return out;
  std::string_view message = phase == "Failed" ? "The pod failed." : "The pod has completed successfully.";
  out.push_back(Draft::object({{"type", "Completed"}, {"status", "True"}, {"reason", phase}, {"message", message}}));
  return out;
}

void add_object(Draft& row, Value object, std::string_view kind, std::string_view api_version, const TableOptions& options) {
  if (options.include_full_object) {
    row["object"] = Draft(object);
    row["object"]["kind"] = kind;
    row["object"]["apiVersion"] = api_version;
  } else if (!options.include_none) {
    row["object"] = partial_metadata(object, options.api_version);
  }
}

}  // namespace

Draft table_row(const Served& served, Value object, const TableOptions& options) {
  Draft row = Draft::object();
  row["cells"] = served.custom ? served.custom->cells(object, options.now) : cells_of(served, object, options.now);
  if (Draft conditions = row_conditions(served, object); conditions.size() > 0) row["conditions"] = std::move(conditions);
  add_object(row, object, served.kind(), served.api_version, options);
  return row;
}

Draft scale_row(Value scale, const TableOptions& options) {
  Row cells{scale, options.now};
  cells.add_all(cells.name(), cells.spec()["replicas"].as_int(), cells.status()["replicas"].as_int(), cells.age());
  Draft row = Draft::object({{"cells", std::move(cells.cells)}});
  add_object(row, scale, "Scale", "autoscaling/v1", options);
  return row;
}

}  // namespace kybern::apiserver
