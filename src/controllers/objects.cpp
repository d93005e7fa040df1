#include "controllers/objects.h"

#include <algorithm>
#include <cmath>

#include "base/strings.h"
#include "document/names.h"

namespace kybern::controllers {

std::string_view name_of(Value object) { return object[names::metadata][names::name].as_string(); }
std::string_view namespace_of(Value object) { return object[names::metadata][names::namespace_].as_string(); }
std::string_view uid_of(Value object) { return object[names::metadata][names::uid].as_string(); }
bool is_deleting(Value object) { return !object[names::metadata][names::deletionTimestamp].is_null(); }

std::optional<Time> time_of(Value text) {
  if (!text.is_string()) return {};
  return parse_rfc3339(text.as_string());
}

Value controller_of(Value object) {
  for (Value reference : object[names::metadata][names::ownerReferences].items())
    if (reference[names::controller].as_bool()) return reference;
  return {};
}

bool has_finalizer(Value object, std::string_view finalizer) {
  for (Value entry : object[names::metadata][names::finalizers].items())
    if (entry.as_string() == finalizer) return true;
  return false;
}

Draft controller_reference(Value owner) {
  return Draft::object({{"apiVersion", owner["apiVersion"]},
                        {"kind", owner["kind"]},
                        {"name", owner["metadata"]["name"]},
                        {"uid", owner["metadata"]["uid"]},
                        {"controller", true},
                        {"blockOwnerDeletion", true}});
}

bool created_before(Value a, Value b) {
  const std::string_view ta = a["metadata"]["creationTimestamp"].as_string(), tb = b["metadata"]["creationTimestamp"].as_string();
  if (ta != tb) return ta < tb;  // whole seconds in UTC: the order of the texts is the order of the times
  return name_of(a) < name_of(b);
}

Value condition(Value conditions, std::string_view type) {
  for (Value entry : conditions.items())
    if (entry[names::type].as_string() == type) return entry;
  return {};
}

Draft* find_condition(Draft& conditions, std::string_view type) {
  if (!conditions.is_array()) return nullptr;
  for (Draft& entry : conditions.items()) {
    const Draft* found = entry.find("type");
    if (found && found->as_string() == type) return &entry;
  }
  return nullptr;
}

void remove_condition(Draft& conditions, std::string_view type) {
  if (!conditions.is_array()) return;
  std::erase_if(conditions.items(), [&](Draft& entry) {
    const Draft* found = entry.find("type");
    return found && found->as_string() == type;
  });
}

bool is_terminal(Value pod) {
  const std::string_view phase = pod[names::status][names::phase].as_string();
  return phase == "Succeeded" || phase == "Failed";
}

bool is_active(Value pod) { return !is_terminal(pod) && !is_deleting(pod); }

bool is_ready(Value pod) { return condition(pod[names::status][names::conditions], "Ready")[names::status].as_string() == "True"; }

std::optional<Time> ready_since(Value pod) {
  const Value ready = condition(pod[names::status][names::conditions], "Ready");
  if (ready[names::status].as_string() != "True") return {};
  return time_of(ready[names::lastTransitionTime]);
}

bool is_available(Value pod, Duration min_ready, Time now, std::optional<Time>* matures) {
  if (!is_ready(pod)) return false;
  if (min_ready <= Duration::zero()) return true;
  const std::optional<Time> since = ready_since(pod);
  if (!since) return false;
  const Time due = *since + min_ready;
  if (due <= now) return true;
  if (matures && (!*matures || due < **matures)) *matures = due;
  return false;
}

std::int64_t scaled(Value int_or_percent, std::int64_t total, bool round_up) {
  if (int_or_percent.is_int()) return int_or_percent.as_int();
  std::string_view text = int_or_percent.as_string();
  if (!text.ends_with('%')) return 0;
  text.remove_suffix(1);
  const std::optional<std::int64_t> percent = parse_int(text);
  if (!percent) return 0;
  const double exact = static_cast<double>(*percent) * static_cast<double>(total) / 100;
  return static_cast<std::int64_t>(round_up ? std::ceil(exact) : std::floor(exact));
}

namespace {

constexpr std::uint64_t fnv_offset = 14695981039346656037ull, fnv_prime = 1099511628211ull;

struct Fnv {
  std::uint64_t state = fnv_offset;
  void byte(unsigned char b) { state = (state ^ b) * fnv_prime; }
  void text(std::string_view t) {
    for (char c : t) byte(static_cast<unsigned char>(c));
    byte(0xff);  // no UTF-8 text has it: "a","bc" and "ab","c" differ
  }
};

void hash_into(Fnv& hash, Value value) {
  switch (value.kind()) {
    case Kind::null: hash.byte('n'); break;
    case Kind::boolean: hash.byte(value.as_bool() ? 't' : 'f'); break;
    case Kind::integer:
      hash.byte('i');
      hash.text(std::to_string(value.as_int()));
      break;
    case Kind::number:
      hash.byte('d');
      hash.text(std::to_string(value.as_double()));
      break;
    case Kind::string:
      hash.byte('s');
      hash.text(value.as_string());
      break;
    case Kind::array:
      hash.byte('[');
      for (Value item : value.items()) hash_into(hash, item);
      hash.byte(']');
      break;
    case Kind::object: {
      std::vector<Member> members;
      for (Member m : value.members()) members.push_back(m);
      std::sort(members.begin(), members.end(), [](const Member& a, const Member& b) { return a.key < b.key; });
      hash.byte('{');
      for (const Member& m : members) {
        hash.text(m.key);
        hash_into(hash, m.value);
      }
      hash.byte('}');
      break;
    }
  }
}

}  // namespace

std::uint64_t content_hash64(Value value) {
  Fnv hash;
  hash_into(hash, value);
  return hash.state;
}

std::string content_hash(Value value, std::optional<std::int64_t> collision_count) {
  Fnv hash;
  hash_into(hash, value);
  if (collision_count) hash.text(std::to_string(*collision_count));
  const std::uint32_t folded = static_cast<std::uint32_t>(hash.state ^ (hash.state >> 32));
  constexpr std::string_view letters = "bcdfghjklmnpqrstvwxz2456789";  // no vowels: no words
  std::string out = std::to_string(folded);
  for (char& c : out) c = letters[static_cast<unsigned char>(c) % letters.size()];
  return out;
}

Document adoption_patch(Value object, Value owner) {
  Draft meta = Draft::object({{"ownerReferences", Draft::array({controller_reference(owner)})}, {"uid", object["metadata"]["uid"]}});
  return Draft::object({{"metadata", std::move(meta)}}).freeze();
}

Document release_patch(Value object, Value owner) {
  Draft reference = Draft::object({{"$patch", "delete"}, {"uid", owner["metadata"]["uid"]}});
  Draft meta = Draft::object({{"uid", object["metadata"]["uid"]}, {"ownerReferences", Draft::array({std::move(reference)})}});
  return Draft::object({{"metadata", std::move(meta)}}).freeze();
}

}  // namespace kybern::controllers
