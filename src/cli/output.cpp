#include "cli/output.h"

#include <algorithm>

#include "base/strings.h"
#include "cli/config.h"
#include "cli/jsonpath.h"
#include "cli/table.h"
#include "document/json.h"
#include "document/yaml.h"

namespace kybern::cli {
namespace {

Draft sorted_draft(Value value) {
  if (value.is_array()) {
    Draft out = Draft::array();
    for (Value item : value.items()) out.push_back(sorted_draft(item));
    return out;
  }
  if (!value.is_object()) return Draft(value);
  std::vector<std::pair<std::string_view, Value>> members;
  for (Member member : value.members()) members.emplace_back(member.key, member.value);
  std::sort(members.begin(), members.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  Draft out = Draft::object();
  for (const auto& [key, item] : members) out[key] = sorted_draft(item);
  return out;
}

struct Column {
  std::string name;
  JsonPath path;
};

Result<std::vector<Column>> read_columns(std::string_view text) {
  std::vector<Column> out;
  for (std::string_view piece : split(text, ',')) {
    const std::size_t colon = piece.find(':');
    if (colon == std::string_view::npos)
      return fail(Code::invalid, "error: unexpected custom-columns spec: " + std::string(piece) + ", expected <header>:<json-path-expr>");
    auto path = JsonPath::parse_relaxed(piece.substr(colon + 1));
    if (!path) return fail(Code::invalid, "error: " + path.error().message);
    out.push_back({std::string(piece.substr(0, colon)), *std::move(path)});
  }
  return out;
}

Result<std::string> print_columns(const Output& output, const std::vector<Document>& objects) {
  auto columns = read_columns(output.argument);
  if (!columns) return std::unexpected(columns.error());
  TableWriter table;
  std::vector<std::string> names;
  for (const Column& column : *columns) names.push_back(column.name);
  if (output.headers) table.head(names);
  for (const Document& object : objects) {
    std::vector<std::string> cells;
    for (const Column& column : *columns) {
      std::vector<std::string> values;
      for (Value value : column.path.find(object)) values.push_back(value.is_null() ? "<nil>" : plain_text(value));
      cells.push_back(values.empty() ? "<none>" : join(values, ","));
    }
    table.row(std::move(cells));
  }
  return table.flush();
}

Document as_list(const std::vector<Document>& objects) {
  Draft items = Draft::array();
  for (const Document& object : objects) items.push_back(Draft(object));
  return Draft::object(
             {{"apiVersion", "v1"}, {"items", std::move(items)}, {"kind", "List"}, {"metadata", Draft::object({{"resourceVersion", ""}})}})
      .freeze();
}

}  // namespace

Result<Output> Output::parse(std::string_view text) {
  Output out;
  const std::size_t equals = text.find('=');
  const std::string_view name = text.substr(0, equals);
  if (equals != std::string_view::npos) out.argument = std::string(text.substr(equals + 1));
  if (text.empty()) return out;
  if (name == "wide") return out.type = Type::wide, out;
  if (name == "json") return out.type = Type::json, out;
  if (name == "yaml") return out.type = Type::yaml, out;
  if (name == "name") return out.type = Type::name, out;
  const bool from_file = name == "jsonpath-file" || name == "custom-columns-file";
  if (name == "jsonpath" || name == "jsonpath-as-json" || name == "jsonpath-file") out.type = Type::jsonpath;
  else if (name == "custom-columns" || name == "custom-columns-file") out.type = Type::columns;
  else
    return fail(Code::invalid, "error: unable to match a printer suitable for the output format " + go_quote(text) +
                                   ", allowed formats are: "
                                   "custom-columns,custom-columns-file,go-template,go-template-file,json,jsonpath,jsonpath-as-json,"
                                   "jsonpath-file,name,template,templatefile,wide,yaml");
  out.values_as_json = name == "jsonpath-as-json";
  if (out.argument.empty())
    return fail(Code::invalid, out.type == Type::columns ? "error: custom-columns format specified but no custom columns given"
                                                         : "error: template format specified but no template given");
  if (from_file) {
    auto file = read_whole_file(out.argument);
    if (!file) return std::unexpected(file.error());
    out.argument = *std::move(file);
    if (out.type == Type::columns) {  // two lines: names, paths
      const auto lines = split(out.argument, '\n');
      std::vector<std::string> names, paths, joined;
      const auto words = [](std::string_view line, std::vector<std::string>& into) {
        for (std::string_view word : split(line, ' '))
          if (!trim(word).empty()) into.emplace_back(trim(word));
      };
      words(lines[0], names);
      if (lines.size() > 1) words(lines[1], paths);
      if (names.size() != paths.size()) return fail(Code::invalid, "error: number of titles and paths in the custom-columns file differ");
      for (std::size_t i = 0; i < names.size(); ++i) joined.push_back(names[i] + ":" + paths[i]);
      out.argument = join(joined, ",");
    }
  }
  return out;
}

Result<std::string> Output::print(const std::vector<Document>& all, bool list, const Discovery* discovery) const {
  std::vector<Document> objects;
  for (const Document& object : all) objects.push_back(managed_fields ? object : without_managed_fields(object));
  switch (type) {
    case Type::name: {
      std::string out;
      for (const Document& object : objects) out += object_name(object, discovery) + "\n";
      return out;
    }
    case Type::columns: return print_columns(*this, objects);
    case Type::jsonpath: {
      auto path = JsonPath::parse_relaxed(argument);
      if (!path || argument.find('{') != std::string::npos) path = JsonPath::parse(argument);
      if (!path) return fail(Code::invalid, "error: error parsing jsonpath " + argument + ", " + path.error().message);
      const Document whole = list || objects.size() != 1 ? as_list(objects) : objects[0];
      if (!values_as_json) return path->print(whole);
      Draft values = Draft::array();
      for (Value value : path->find(whole)) values.push_back(sorted_draft(value));
      return pretty_json(values.freeze());
    }
    case Type::yaml: {
      std::string out;
      if (list) {
        write_yaml(as_list(objects), out);
        return out;
      }
      for (std::size_t i = 0; i < objects.size(); ++i) {
        if (i > 0) out += "---\n";
        write_yaml(objects[i], out);
      }
      return out;
    }
    default: {
      if (list) return pretty_json(as_list(objects));
      std::string out;
      for (const Document& object : objects) out += pretty_json(object);
      return out;
    }
  }
}

Document sorted(Value value) { return sorted_draft(value).freeze(); }

std::string pretty_json(Value value) {
  std::string out;
  const Document ordered = sorted(value);
  write_json_indented(ordered, out);
  return out + "\n";
}

Document without_managed_fields(Value object) {
  if (!object["metadata"]["managedFields"].exists()) return object.document();
  Draft out(object);
  out["metadata"].erase("managedFields");
  return out.freeze();
}

std::string object_name(Value object, const Discovery*) {
  const std::string_view api_version = object["apiVersion"].as_string();
  const std::size_t slash = api_version.find('/');
  const std::string kind = to_lower(object["kind"].as_string());
  return kind + (slash == std::string_view::npos ? "" : "." + std::string(api_version.substr(0, slash))) + "/" +
         object["metadata"]["name"].str();
}

}  // namespace kybern::cli
