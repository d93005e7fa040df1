// How the OpenAPI documents are made: as JSON text, written front to back from the tables. A document of the core group
// is some megabytes; a tree of it would be ten times that.
#pragma once

#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "apiserver/registry/served.h"

namespace kybern::apiserver {

enum class OpenapiVersion { v2, v3 };

// JSON as it is written: a comma where one is due. Members of an object each begin with key().
class JsonText {
 public:
  explicit JsonText(std::string& out) : out_(out) {}
  void begin_object() { open('{'); }
  void end_object() { close('}'); }
  void begin_array() { open('['); }
  void end_array() { close(']'); }
  JsonText& key(std::string_view name);
  void text(std::string_view value);
  void boolean(bool value) { raw(value ? "true" : "false"); }
  void raw(std::string_view json);  // one value
  void member(std::string_view name, std::string_view value) { key(name).text(value); }
  void texts(std::string_view name, const std::vector<std::string_view>& values);

 private:
  void open(char bracket);
  void close(char bracket);
  void before();
  void write_text(std::string_view text);
  std::string& out_;
  bool comma_ = false;
};

struct GroupVersionKind {
  std::string_view group, version, kind;
};
void write_kind(JsonText& json, const GroupVersionKind& kind);

// The named schemas that a document refers to; each is written once, with what it refers to in its turn.
class SchemaSet {
 public:
  // `about`: what the document is about; of all others it only says that they are there.
  SchemaSet(OpenapiVersion version, const Catalog::All& all, std::span<const Served* const> about);
  bool has(std::string_view name) const { return types_.contains(name) || well_known_.contains(name); }
  void add(const schema::Type* type);
  void add_well_known(std::string_view name) { well_known_.insert(std::string(name)); }
  // {"$ref": ...} of a type's schema, which is then part of the set.
  void refer(JsonText& json, const schema::Type* type);
  void refer(JsonText& json, std::string_view name);
  // The members: name to schema, sorted by name. `after`: called after each, when given.
  void write(JsonText& json, const std::function<void()>& after = {});

 private:
  void write_type(JsonText& json, const schema::Type& type);
  void write_custom(JsonText& json, const schema::Type& type, Value schema);
  void write_custom_list(JsonText& json, const schema::Type& type, const schema::Type& item);
  void write_field(JsonText& json, const schema::Field& field);
  void write_value(JsonText& json, const schema::Field& field, bool element);
  void write_default(JsonText& json, const schema::Field& field, bool element);
  void write_reference(JsonText& json, std::string_view name, bool others);
  std::string_view referred(const schema::Field& field);

  OpenapiVersion version_;
  std::map<std::string_view, const schema::Type*> types_;
  std::set<std::string, std::less<>> well_known_;
  std::map<const schema::Type*, std::vector<GroupVersionKind>> kinds_;
  std::map<const schema::Type*, Value> custom_;                      // types of custom resources, and their schemas
  std::map<const schema::Type*, const schema::Type*> custom_lists_;  // and those of their lists
};

// The paths of a group-version: one member for each path.
void write_paths(JsonText& json, SchemaSet& schemas, OpenapiVersion version, std::span<const Served* const> about, std::string_view group,
                 std::string_view group_version);
// One path with one GET that answers with `type`: discovery.
void write_discovery_path(JsonText& json, SchemaSet& schemas, OpenapiVersion version, std::string_view path, std::string_view operation,
                          std::string_view tag, std::string_view description, std::string_view type);
std::string group_words(std::string_view group, bool capital);  // "rbac.authorization.k8s.io" -> "RbacAuthorization", "rbacAuthorization"

// The protobuf form of a document (gnostic's OpenAPIv2.proto, OpenAPIv3.proto), which older clients ask for.
std::string openapi_protobuf(OpenapiVersion version, Value document);

}  // namespace kybern::apiserver
