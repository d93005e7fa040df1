// A resource as it is served: its tables, where it is stored, and the few ways in which it differs from all others.
// Built-in ones are made once from the tables; custom ones from their definitions (custom/custom.h).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "document/document.h"
#include "machinery/status.h"
#include "schema/schema.h"

namespace kybern::apiserver {

struct Work;
class Custom;
struct Served;

// How writes of one kind differ from the generic path. Every member may be left empty.
struct Traits {
  bool create_on_update = false;        // a PUT of a missing object creates it
  bool unconditional_update = true;     // a PUT without resourceVersion is allowed
  bool returns_deleted = false;         // DELETE answers with the object instead of a Status
  bool keeps_status_on_create = false;  // most drop it
  bool generation = false;              // metadata.generation counts changes of the spec
  bool short_lived = false;             // no finalizer or owner handling is needed: events
  ApiResult<void> (*prepare_create)(Work&, Draft& object) = nullptr;
  ApiResult<void> (*prepare_update)(Work&, Draft& object, Value before) = nullptr;  // of the main resource
  ApiResult<void> (*prepare_status)(Work&, Draft& object, Value before) = nullptr;  // of the status subresource
  void (*after_commit)(Work&, Value before,
                       Value now) = nullptr;  // either may be absent; also called with both absent when the write failed
  ApiResult<void> (*check_delete)(Work&, Value object) = nullptr;
};

struct Served {
  const schema::Resource* resource = nullptr;
  const Served* stored = nullptr;           // itself, or the version in whose form objects are stored
  std::span<const Served* const> versions;  // all, itself too, that serve the same stored objects
  std::string prefix;                       // of keys: "/pods/", "/apps/deployments/"
  std::string api_version;                  // "apps/v1"
  const Traits* traits = nullptr;
  Document empty_status;                       // what a status looks like before anything is known; empty when the kind has none
  Document empty_object;                       // what an object looks like of which nothing is said
  std::function<Document(Value)> from_stored;  // between this version and the stored one; empty when they are the same
  std::function<Document(Value)> to_stored;
  std::shared_ptr<const Custom> custom;  // of a custom resource

  std::string_view group() const { return resource->group; }
  std::string_view plural() const { return resource->plural; }
  std::string_view kind() const { return resource->kind; }
  bool namespaced() const { return resource->namespaced; }
  const schema::Subresource* subresource(std::string_view name) const;
  std::string key(std::string_view ns, std::string_view name) const;
};

// The versions of one definition, which come and go together.
class ServedVersions {
 public:
  explicit ServedVersions(std::vector<std::unique_ptr<Served>> owned);
  ServedVersions(const ServedVersions&) = delete;
  ServedVersions& operator=(const ServedVersions&) = delete;
  std::span<const Served* const> all() const { return all_; }

 private:
  std::vector<std::unique_ptr<Served>> owned_;
  std::vector<const Served*> all_;
};

// What is served, and kept as long as somebody works with it: a request or a watch goes on with the tables that it began
// with when their definition changes, and the last of them takes those away. A built-in resource is there for ever; holding
// one counts nothing.
class ServedRef {
 public:
  ServedRef() = default;
  ServedRef(std::nullptr_t) {}
  ServedRef(std::shared_ptr<const ServedVersions> owner, const Served* served) : held_(std::move(owner), served) {}
  // Of one that is built in, or that somebody holds longer than this.
  static ServedRef borrowed(const Served& served) { return ServedRef(nullptr, &served); }
  const Served* get() const { return held_.get(); }
  const Served* operator->() const { return held_.get(); }
  const Served& operator*() const { return *held_; }
  explicit operator bool() const& { return held_ != nullptr; }
  explicit operator bool() && { return held_ != nullptr; }
  operator const Served*() const& { return held_.get(); }
  operator const Served*() && = delete;  // it would be gone with the reference

 private:
  std::shared_ptr<const Served> held_;
};

class Catalog {
 public:
  Catalog();
  ServedRef find(std::string_view group, std::string_view version, std::string_view plural) const;
  ServedRef find_kind(std::string_view group, std::string_view version, std::string_view kind) const;
  // What is served at one moment: the built-in resources, then the custom ones, by group and plural. It is all valid as long
  // as the list is held.
  class All {
   public:
    struct List {
      std::vector<const Served*> served;
      std::vector<std::shared_ptr<const ServedVersions>> kept;
    };
    explicit All(std::shared_ptr<const List> list) : list_(std::move(list)) {}
    auto begin() const { return list_->served.begin(); }
    auto end() const { return list_->served.end(); }
    std::size_t size() const { return list_->served.size(); }

   private:
    std::shared_ptr<const List> list_;
  };
  All all() const;
  All of_group(std::string_view group) const;

  // The versions that a definition ("widgets.example.com") serves from now on, in place of those before; none: it is gone.
  void replace_custom(std::string_view definition, std::vector<std::unique_ptr<Served>> versions);

 private:
  using ByPlural = std::map<std::string, std::shared_ptr<const ServedVersions>, std::less<>>;
  std::vector<std::unique_ptr<Served>> served_;                                // built-in
  std::unordered_map<std::string_view, std::vector<const Served*>> built_in_;  // by plural
  std::map<std::string_view, std::vector<const Served*>> same_objects_;        // built-in, by prefix
  mutable std::mutex mutex_;
  std::map<std::string, ByPlural, std::less<>> custom_;  // by group
  mutable std::shared_ptr<const All::List> all_;         // null: to be made when it is asked for
};

const Traits& traits_of(std::string_view group, std::string_view plural);  // registry/traits.cpp

// What `fieldSelector=` may name, and its value in an object. An unknown field is a 400 with upstream's wording.
struct SelectableFields {
  std::span<const std::string_view> names;
  std::string get(Value object, std::string_view field) const;
};
SelectableFields selectable_fields(const Served& served);
ApiResult<void> check_field_names(const Served& served, const std::vector<std::string>& names);

}  // namespace kybern::apiserver
