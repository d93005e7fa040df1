// One request on its way through the registry.
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "apiserver/http/query.h"
#include "apiserver/registry/served.h"
#include "apiserver/user.h"
#include "base/time.h"
#include "base/world.h"

namespace kybern::apiserver {

class Registry;

enum class FieldValidation { ignore, warn, strict };

struct Work {
  Registry& registry;
  World world;
  User user;
  ServedRef served{};
  std::string ns{}, name{}, subresource{};
  Query query{};
  bool dry_run = false;
  FieldValidation field_validation = FieldValidation::warn;
  std::vector<std::string> duplicates{};  // duplicate fields of the body, found while it was decoded
  std::vector<std::string> warnings{};    // sent as Warning headers
  std::map<std::string, std::string>
      audit_annotations{};  // what admission notes of the request: "pod-security.kubernetes.io/enforce-policy"
  std::string field_manager{};
  std::optional<std::string> user_agent{};  // empty for components in this process
  std::string managed_as{};                 // the subresource that fields are owned through, when it is not `subresource`
  bool forget_managers = false;             // the body has an empty list of managers, which its typed form cannot show
  bool untracked = false;                   // a write of the server itself, in which nobody gains or loses fields
  std::optional<Document> managed{};        // metadata.managedFields as an apply made it; an empty document: none

  bool wants_json = false;                      // the answer is sent as JSON
  std::string verb{};                           // create update patch delete ...: for admission
  bool dynamic = false;                         // webhooks and policies have a say: requests, not what the server writes by itself
  bool admitted = false;                        // they had it, about another form of the object (a Scale, an Eviction)
  std::string generated_from{};                 // generateName, while the name is still to be made
  Document options{};                           // of a deletion, as the request gave them
  std::optional<Instant> admission_deadline{};  // of all webhooks together; set by the first
  void warn(std::string text) {                 // once, however often the write is tried
    if (std::find(warnings.begin(), warnings.end(), text) == warnings.end()) warnings.push_back(std::move(text));
  }
  bool is(std::string_view group, std::string_view plural) const {
    return served && served->resource->plural == plural && served->resource->group == group;
  }
};

struct Answer {
  int code = 200;
  Document object;
  std::string json{};  // of the object, when it was asked for and is at hand
};

}  // namespace kybern::apiserver
