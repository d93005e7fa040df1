// explain: what the fields of a kind mean, from the server's OpenAPI v3.
#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "cli/command.h"
#include "document/json.h"

namespace kybern::cli {
namespace {

constexpr std::size_t line_width = 80;
constexpr int deepest = 24;  // of --recursive

struct Explain {
  Value schemas;

  Value follow(Value schema) const {  // through $ref, also inside allOf
    for (int i = 0; i < 8; ++i) {
      Value reference = schema["$ref"];
      if (!reference.exists() && schema["allOf"].size() == 1) reference = schema["allOf"][0]["$ref"];
      if (!reference.exists()) break;
      const std::string_view text = reference.as_string();
      schema = schemas[text.substr(text.rfind('/') + 1)];
    }
    return schema;
  }
  Value inside(Value schema) const {  // the object that a list or map holds
    schema = follow(schema);
    if (schema["items"].exists()) return inside(schema["items"]);
    if (schema["additionalProperties"].is_object()) return inside(schema["additionalProperties"]);
    return schema;
  }
  std::string type(Value schema) const {
    Value reference = schema["$ref"];
    if (!reference.exists() && schema["allOf"].size() == 1) reference = schema["allOf"][0]["$ref"];
    if (reference.exists()) {
      const Value target = follow(schema);
      const std::string_view text = reference.as_string();
      if (target["properties"].exists() || target["type"].as_string() == "object") return std::string(text.substr(text.rfind('.') + 1));
      return target["type"].exists() ? target["type"].str() : std::string(text.substr(text.rfind('.') + 1));
    }
    if (schema["type"].as_string() == "array") return "[]" + type(schema["items"]);
    if (schema["additionalProperties"].is_object()) return "map[string]" + type(schema["additionalProperties"]);
    if (schema["type"].as_string() == "object") return "Object";
    return schema["type"].as_string().empty() ? "<no type>" : schema["type"].str();
  }
  std::string fields(Value schema, int indent, bool recursive, int depth) const;
};

std::string wrapped(std::string_view text, std::size_t indent) {
  std::string out;
  for (std::string_view paragraph : split(text, '\n')) {
    std::string line(indent, ' ');
    for (std::string_view word : split(paragraph, ' ')) {
      if (word.empty()) continue;
      if (line.size() + word.size() > line_width && line.size() > indent) {
        out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
        line.assign(indent, ' ');
      }
      line += std::string(word) + " ";
    }
    out += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return out;
}

std::string Explain::fields(Value schema, int indent, bool recursive, int depth) const {
  std::string out;
  std::vector<Member> members;
  for (Member m : schema["properties"].members()) members.push_back(m);
  std::sort(members.begin(), members.end(), [](const Member& a, const Member& b) { return a.key < b.key; });
  for (const Member& m : members) {
    bool required = false;
    for (Value name : schema["required"].items()) required = required || name.as_string() == m.key;
    out += fmt::format("{}{}\t<{}>{}\n", std::string(static_cast<std::size_t>(indent), ' '), m.key, type(m.value),
                       required ? " -required-" : "");
    if (recursive) {
      const Value target = inside(m.value);
      if (depth < deepest && target["properties"].exists() && !(target == schema)) out += fields(target, indent + 2, true, depth + 1);
      continue;
    }
    std::string_view text = m.value["description"].as_string();
    if (text.empty()) text = follow(m.value)["description"].as_string();
    out += text.empty() ? "    <no description>\n\n" : wrapped(text, static_cast<std::size_t>(indent) + 2) + "\n";
  }
  return out;
}

Result<int> explain(Session& session, const Arguments& arguments) {
  if (arguments.words.size() > 1) return refuse("We accept only this format: explain RESOURCE");
  if (const std::string format = arguments.text("output"); format != "plaintext" && format != "plaintext-openapiv2")
    return refuse("unrecognized format: " + format);
  if (arguments.words.empty())
    return refuse(
        "You must specify the type of resource to explain. Use \"kubectl api-resources\" for a complete list of supported resources.");
  std::vector<std::string_view> path = split(arguments.words[0], '.');
  auto discovery = session.discovery();
  if (!discovery) return std::unexpected(discovery.error());
  auto type = (*discovery)->find(path[0]);
  std::size_t used = 1;
  for (std::size_t n = path.size(); n > 1; --n) {  // deployments.apps.spec: the longest beginning that is a type
    std::vector<std::string> pieces(path.begin(), path.begin() + static_cast<std::ptrdiff_t>(n));
    if (auto longer = (*discovery)->find(join(pieces, ".")); longer && (*longer)->full_plural().find('.') != std::string::npos &&
                                                             pieces.back() != "spec" && pieces.back() != "status" &&
                                                             pieces.back() != "metadata") {
      type = longer;
      used = n;
      break;
    }
  }
  if (const std::string wanted = arguments.text("api-version"); type && !wanted.empty()) {
    const ApiResource* other = (*discovery)->find_kind(wanted, (*type)->kind);
    if (other == nullptr) return refuse(fmt::format("couldn't find resource for \"{}, Resource={}\"", wanted, (*type)->plural));
    type = other;
  }
  if (!type) return fail(Code::not_found, type.error().message.substr(std::string_view("error: ").size()));
  const ApiResource& resource = **type;
  auto document = session.call("GET", "/openapi/v3/" + std::string(resource.group.empty() ? "api/" : "apis/") + resource.api_version());
  if (!document) return std::unexpected(shown(document.error(), "the server has no OpenAPI v3 for " + resource.api_version() + ": "));
  const Explain page{(*document)["components"]["schemas"]};
  Value schema;
  for (Member m : page.schemas.members())
    for (Value gvk : m.value["x-kubernetes-group-version-kind"].items())
      if (gvk["kind"].as_string() == resource.kind && gvk["group"].as_string() == resource.group &&
          gvk["version"].as_string() == resource.version)
        schema = m.value;
  if (!schema.exists()) return refuse("couldn't find resource for " + go_quote(resource.api_version() + ", Kind=" + resource.kind));
  std::string head;
  if (!resource.group.empty()) head += "GROUP:      " + resource.group + "\n";
  head += "KIND:       " + resource.kind + "\nVERSION:    " + resource.version + "\n\n";
  std::string description = schema["description"].str();
  for (std::size_t i = used; i < path.size(); ++i) {
    const Value object = page.inside(schema);
    const Value field = object["properties"][path[i]];
    if (!field.exists()) {
      fmt::print("{}", head);
      return refuse(fmt::format("field {} does not exist", go_quote(path[i])));
    }
    schema = field;
    description = field["description"].str();
    if (i + 1 == path.size()) head += fmt::format("FIELD: {} <{}>\n\n", path[i], page.type(field));
  }
  const Value object = page.inside(schema);
  if (description.empty()) description = object["description"].str();
  fmt::print("{}DESCRIPTION:\n{}\n", head, wrapped(description.empty() ? "<empty>" : description, 4));
  if (object["properties"].exists()) fmt::print("FIELDS:\n{}\n", page.fields(object, 2, arguments.on("recursive"), 0));
  return 0;
}

}  // namespace

Command explain_command() {
  using namespace flags;
  return {"explain",
          "what a kind's fields mean",
          "TYPE[.FIELD...]",
          {boolean("recursive", "the names of all fields inside"), text("api-version", "of this group/version"),
           text("output", "accepted for compatibility", "plaintext", 'o')},
          explain};
}

}  // namespace kybern::cli
