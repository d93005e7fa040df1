#include "cli/apply_plan.h"

#include "cli/output.h"
#include "document/json.h"
#include "machinery/patch/patch.h"
#include "schema/schema.h"

namespace kybern::cli {
namespace {

std::string html_escaped(std::string_view json) {  // Go's encoder escapes these three inside texts, and they occur nowhere else
  std::string out;
  for (char c : json) {
    switch (c) {
      case '<': out += "\\u003c"; break;
      case '>': out += "\\u003e"; break;
      case '&': out += "\\u0026"; break;
      default: out += c;
    }
  }
  return out;
}

}  // namespace

Document with_last_applied(Value manifest) {
  Draft object(manifest);
  if (!object.find("metadata") || !object.find("metadata")->is_object()) object["metadata"] = Draft::object();
  Draft& meta = object["metadata"];
  if (!meta.find("annotations") || !meta.find("annotations")->is_object()) meta["annotations"] = Draft::object();
  meta["annotations"].erase(last_applied);
  const Document plain = sorted(object.freeze());
  object["metadata"]["annotations"][last_applied] = html_escaped(to_json(plain.root())) + "\n";
  return object.freeze();
}

Result<ApplyPatch> plan_apply(Value wanted, Value current) {
  ApplyPatch out;
  const Value text = current["metadata"]["annotations"][last_applied];
  Document original = Draft::object().freeze();
  if (text.is_string() && !text.as_string().empty()) {
    auto parsed = parse_json(text.as_string());
    if (!parsed || !parsed->root().is_object())
      return fail(Code::invalid, "the annotation " + std::string(last_applied) + " of the object is not readable");
    original = *std::move(parsed);
  } else {
    out.lost_annotation = true;
  }
  const schema::Type* type = schema::find_type(wanted["apiVersion"].as_string(), wanted["kind"].as_string());
  if (type != nullptr) {
    auto patch = create_three_way_strategic_patch(original, wanted, current, *type);
    if (!patch) return std::unexpected(patch.error());
    out.patch = patch->freeze();
    out.strategic = true;
  } else {
    out.patch = create_three_way_merge_patch(original, wanted, current).freeze();
  }
  return out;
}

}  // namespace kybern::cli
