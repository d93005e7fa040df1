// Label selectors: the text of `-l`/labelSelector=, and meta/v1 LabelSelector objects.
//
//   app=web,tier!=db,env in (a,b),!canary,size>3    (requirements are kept and printed sorted by key)
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "document/document.h"
#include "machinery/field.h"

namespace kybern {

enum class LabelOperator : unsigned char { equals, double_equals, not_equals, in, not_in, exists, does_not_exist, greater, less };

struct LabelRequirement {
  std::string key;
  LabelOperator op;
  std::vector<std::string> values;

  bool matches(Value labels) const;                           // labels: an object of texts; absent is empty
  bool matches(std::optional<std::string_view> value) const;  // the value of `key`, when there is one
  std::string str() const;                                    // "app=web", "env in (a,b)", "!canary"
};

class LabelSelector {
 public:
  LabelSelector() = default;  // matches everything
  static LabelSelector nothing();

  // Code::invalid; the message is what a 400 says: "unable to parse requirement: found 'x', expected: ...".
  static Result<LabelSelector> parse(std::string_view text);
  // Of a LabelSelector object: absent or null selects nothing, {} everything.
  static Result<LabelSelector> from(Value selector);
  // Of a plain map, as Service and ReplicationController have: an empty one selects everything, as upstream; callers
  // that must not select everything then check empty().
  static LabelSelector from_map(Value labels);

  bool matches(Value labels) const;
  bool empty() const { return !nothing_ && requirements_.empty(); }
  bool matches_nothing() const { return nothing_; }
  const std::vector<LabelRequirement>& requirements() const { return requirements_; }
  void add(LabelRequirement requirement);
  // The one value that the selector demands of a label, for an index.
  std::optional<std::string_view> exact(std::string_view key) const;
  std::string str() const;

 private:
  std::vector<LabelRequirement> requirements_;
  bool nothing_ = false;
};

// The errors of a requirement as upstream words them; `path` is of the requirement itself (the root for selector texts).
FieldErrors check_requirement(const LabelRequirement& requirement, const Path& path);

// Validation of the objects (meta/v1 validation).
FieldErrors validate_labels(Value labels, const Path& path);
FieldErrors validate_label_name(std::string_view name, const Path& path);
FieldErrors validate_label_selector(Value selector, const Path& path);

}  // namespace kybern
