// The verbs that the tables of defaults are written in. Not for other rooms.
#pragma once

#include <string_view>

#include "document/document.h"

namespace kybern::defaults {

// Absent and null are the same; an empty text, a zero and false count as absent where a field has no "not set".
inline void put(Draft& object, FieldKey key, Draft value) {
  const Draft* old = object.find(key);
  if (old == nullptr || old->is_null()) object[key] = std::move(value);
}
inline void put_text(Draft& object, FieldKey key, std::string_view value) {
  const Draft* old = object.find(key);
  if (old == nullptr || old->is_null() || (old->is_string() && old->as_string().empty())) object[key] = value;
}
inline void put_number(Draft& object, FieldKey key, int value) {
  const Draft* old = object.find(key);
  if (old == nullptr || old->is_null() || (old->kind() == Kind::integer && old->as_int() == 0)) object[key] = value;
}

inline std::string_view text(const Draft& object, FieldKey key) {
  const Draft* value = object.find(key);
  return value == nullptr ? std::string_view() : value->as_string();
}
inline bool has(const Draft& object, FieldKey key) {
  const Draft* value = object.find(key);
  return value != nullptr && !value->is_null();
}

// The object at `key`, if there is one.
inline Draft* inner(Draft& object, FieldKey key) {
  Draft* value = object.find(key);
  return value != nullptr && value->is_object() ? value : nullptr;
}
// The object at `key`, made when it is missing; nullptr when something else is there.
inline Draft* open(Draft& object, FieldKey key) {
  put(object, key, Draft::object());
  return inner(object, key);
}

template <class Visit>
void each(Draft& object, FieldKey key, Visit visit) {
  Draft* list = object.find(key);
  if (list == nullptr || !list->is_array()) return;
  for (Draft& item : list->items()) {
    if (item.is_object()) visit(item);
  }
}

// Resource amounts are kept to thousandths.
void round_resources(Draft& object, FieldKey key);

void secret(Draft& object);
void service(Draft& object);
void namespace_(Draft& object);
void node(Draft& object);
void persistent_volume(Draft& object);
void persistent_volume_claim(Draft& object);
void claim_spec(Draft& spec);
void endpoints(Draft& object);
void limit_range(Draft& object);
void resource_quota(Draft& object);
void replication_controller(Draft& object);
void pod(Draft& object);
void pod_template_object(Draft& object);

void deployment(Draft& object);
void replica_set(Draft& object);
void stateful_set(Draft& object);
void daemon_set(Draft& object);
void job(Draft& object);
void cron_job(Draft& object);
void autoscaler_v1(Draft& object);
void autoscaler_v2(Draft& object);

void volume(Draft& volume);
void persistent_source(Draft& spec);
void image_pull_policy(Draft& object, FieldKey key, std::string_view image);

}  // namespace kybern::defaults
