// One version of a custom resource, made from its definition: the tables that the generic path walks, the schema (in the
// definition's own document), compiled rules, columns.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "apiserver/registry/served.h"
#include "base/time.h"
#include "machinery/custom/rules.h"

namespace kybern::apply {
class Place;
}

namespace kybern::apiserver {

struct Work;
class Converter;

class Custom {
 public:
  Custom(Document definition, Value version, std::string stored_api_version, std::shared_ptr<const Converter> converter);
  ~Custom();

  Value definition() const { return definition_.root(); }
  Value schema() const { return schema_; }
  const schema::Resource& resource() const { return resource_; }
  const schema::Type& list_type() const { return list_type_; }
  std::string_view list_kind() const { return list_kind_; }
  std::span<const std::string_view> selectable() const { return selectable_; }
  Value scale() const { return version_["subresources"]["scale"]; }
  const std::string& deprecation() const { return deprecation_; }  // a warning of every request; "" when current
  bool terminating() const { return definition_["metadata"]["deletionTimestamp"].exists(); }
  apply::Place place() const;

  // By a webhook where the definition says so (it is waited for then), and the Status of its failure (custom/converter.h).
  Document from_stored(Value stored) const;
  Document to_stored(Value object) const;
  // Of a list's page.
  ApiResult<std::vector<Document>> from_stored(std::span<const Value> stored) const;
  bool converts() const { return converter_ != nullptr; }
  Document renamed(Value stored) const;  // under this version's name, nothing else converted
  // `warnings`: of rules that do not hold and did not before either, of what has not changed.
  FieldErrors validate(Value object, Value before, std::vector<std::string>* warnings = nullptr) const;
  Draft columns() const;
  Draft cells(Value object, Time now) const;
  std::size_t memory() const;
  static std::size_t alive();  // how many there are: one for each served version, more only while requests hold older ones

 private:
  struct SchemaNode;
  Document definition_;
  Value version_, schema_;
  std::string api_version_, stored_api_version_, type_name_, list_type_name_, list_kind_, deprecation_;
  std::vector<std::string_view> short_names_, categories_;
  std::vector<std::string> selectable_texts_;
  std::vector<std::string_view> selectable_;
  std::vector<schema::Subresource> subresources_;
  schema::Type type_{}, list_type_{};
  schema::Resource resource_{};
  std::shared_ptr<const Converter> converter_;
  std::unique_ptr<const custom::Rules> rules_;
  mutable std::unique_ptr<SchemaNode> place_;
  mutable std::mutex place_mutex_;
};

// A served version of a definition, ready for the catalog. `prefix`: of the keys in the store.
std::vector<std::unique_ptr<Served>> serve_definition(const Document& definition, std::shared_ptr<const Converter> converter = nullptr);
// The objects that are stored in this version, served or not, as they are: nothing is converted. Empty: it has no such version.
ServedRef serve_as_stored(const Document& definition, std::string_view version);

// From a request's body to the object as the schema has it.
ApiResult<Document> custom_typed(Work& work, const Served& served, Document body);

}  // namespace kybern::apiserver
