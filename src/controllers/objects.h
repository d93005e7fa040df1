// What several controllers ask of objects. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "document/document.h"

namespace kybern::controllers {

// metadata
std::string_view name_of(Value object);
std::string_view namespace_of(Value object);
std::string_view uid_of(Value object);
bool is_deleting(Value object);           // has a deletionTimestamp
std::optional<Time> time_of(Value text);  // nothing when absent or malformed
Value controller_of(Value object);        // the ownerReference with controller=true; absent when none
bool has_finalizer(Value object, std::string_view finalizer);
Draft controller_reference(Value owner);  // {apiVersion, kind, name, uid, controller: true, blockOwnerDeletion: true}

// Orders by creationTimestamp, then name.
bool created_before(Value a, Value b);

// Conditions: the entry of `conditions` of that type; absent when none.
Value condition(Value conditions, std::string_view type);
Draft* find_condition(Draft& conditions, std::string_view type);
void remove_condition(Draft& conditions, std::string_view type);

// Pods.
bool is_active(Value pod);                   // not Succeeded, not Failed, not being deleted
bool is_terminal(Value pod);                 // Succeeded or Failed
bool is_ready(Value pod);                    // condition Ready is True
std::optional<Time> ready_since(Value pod);  // when is_ready
// Ready for `min_ready` at least. When it is only a matter of time, *matures is the time when it will be (the earliest
// of what is there and this one).
bool is_available(Value pod, Duration min_ready, Time now, std::optional<Time>* matures = nullptr);

// An int-or-string: a number, or a percentage of `total`, rounded up or down. A malformed one is 0.
std::int64_t scaled(Value int_or_percent, std::int64_t total, bool round_up);

// A hash of the content, the same for any order of members: FNV-1a, in the letters of generated names.
std::string content_hash(Value value, std::optional<std::int64_t> collision_count = {});
std::uint64_t content_hash64(Value value);

// Adopting and releasing (owner references by selector, as every controller that owns by label does it).
Document adoption_patch(Value object, Value owner);
Document release_patch(Value object, Value owner);

}  // namespace kybern::controllers
