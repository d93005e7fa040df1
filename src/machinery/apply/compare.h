// What a write changed, as sets of fields; and the set of the fields that a configuration names.
#pragma once

#include "machinery/apply/place.h"

namespace kybern::apply {

// No field is in two of the three. A field is added or removed together with everything in it.
struct Comparison {
  FieldSet removed, modified, added;
  bool same() const { return removed.empty() && modified.empty() && added.empty(); }
};

// Code::invalid when an item of a list cannot be told apart from others.
Result<Comparison> compare(const Place& root, Value before, Value after, FieldTexts& texts);

// The leaves of a configuration, and the items of its lists and the keys of its maps.
Result<FieldSet> fields_of(const Place& root, Value object, FieldTexts& texts);

// Structs that lead to members become members themselves: spec of spec.replicas, but not a map of its key.
FieldSet with_named_fields(const FieldSet& set, const Place& root);

// A set that was written when the schema had parts where it now has one value holds that value instead.
FieldSet reconciled(const FieldSet& set, const Place& root);

// Everything in `config` fits the schema and no item of a list is there twice. The failure lists what is wrong, in
// upstream's wording: ".spec.foo: field not declared in schema".
Result<void> check(const Place& root, Value config);

// Equal as upstream's values are: 1 and 1.0 are.
bool same_value(Value a, Value b);

}  // namespace kybern::apply
