// The API as tables. Every built-in type comes from api/*.api through tools/apigen; a custom resource's type is built at
// run time from its CRD, of the same structs. JSON, YAML, protobuf, defaulting, pruning, validation, strategic merge,
// server-side apply, OpenAPI and discovery all walk these.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "document/document.h"

namespace kybern::schema {

enum class Scalar : std::uint8_t {
  boolean,
  int32,
  int64,
  float64,
  string,
  bytes,          // JSON base64, protobuf bytes
  time,           // meta/v1 Time
  micro_time,     // meta/v1 MicroTime
  duration,       // meta/v1 Duration
  quantity,       // resource.Quantity
  int_or_string,  // intstr.IntOrString
  raw,            // runtime.RawExtension: any JSON object, embedded
  fields_v1,      // meta/v1 FieldsV1
  json,           // apiextensions/v1 JSON: any JSON value
  json_or_array,
  json_or_bool,
  json_or_strings,  // apiextensions/v1 JSONSchemaPropsOrArray, OrBool, OrStringArray
  object,           // a struct: Field::type
};

enum class Shape : std::uint8_t { single, list, map };  // map: string keys
enum class ListType : std::uint8_t { unset, atomic, set, map };

struct Type;

// The members that every walk reads come first and share a cache line.
struct alignas(32) Field {
  Name name;
  Scalar scalar;
  Shape shape;
  std::uint16_t wire;  // protobuf field number (in its inline message, if it lies in one: Type::units); 0: not on the wire
  bool pointer;        // absent and zero differ
  bool omit_empty;     // left out of JSON when zero (false for most non-pointer structs, as Go's encoder does)
  bool required;
  bool inner_list;         // map[string][]string and the like (ExtraValue, Verbs): each element is itself a message {1: repeated string}
  bool patch_merge;        // strategic merge: merge this list or map
  bool patch_retain_keys;  // strategic merge: $retainKeys
  bool patch_replace;      // strategic merge: replace this struct as a whole
  bool atomic;             // mapType=atomic or structType=atomic, of the field or (unless it says granular) its type
  bool union_discriminator;
  bool enum_closed;  // values outside enum_values are invalid
  bool gated;        // feature_gate is set
  ListType list_type;
  const Type* type;            // of Scalar::object; of json_or_...: the schema's
  std::string_view patch_key;  // merge key, "" for a list of scalars
  std::span<const Name> list_keys;
  std::span<const std::string_view> enum_values;
  std::string_view default_json;  // declared default as JSON text, "" when none
  std::string_view feature_gate;  // not served unless on; "" for most
  std::string_view format;        // OpenAPI format when it is not implied by `scalar`
  std::string_view alias;         // upstream's name of a named string or map type, which messages show: "v1.RestartPolicy"
  std::string_view description;
};

// A field of a message as the wire has it: a field of the type, or an inline message, whose fields JSON shows as the type's own.
struct Unit {
  constexpr Unit(std::uint16_t n, const Field* f, const Type* t)
      : number(n),
        wire_type(!f || f->shape == Shape::map || f->scalar >= Scalar::string ? 2
                  : f->scalar == Scalar::float64                              ? 1
                                                                              : 0),
        zero_hidden(f && f->omit_empty && !f->pointer && f->shape == Shape::single && f->scalar != Scalar::object),
        name(f ? f->name : Name{0}),
        field(f),
        inlined(t) {}
  std::uint16_t number;
  std::uint8_t wire_type;  // as WireType numbers it; a list of numbers may come packed instead
  bool zero_hidden;        // when it is there and zero or empty, JSON leaves it out
  Name name;               // the field's
  const Field* field;      // null for an inline message
  const Type* inlined;
};

struct Type {
  std::string_view name;          // "io.k8s.api.core.v1.Pod", as in OpenAPI
  std::string_view short_name;    // "core.v1.Pod"
  std::span<const Field> fields;  // inline structs are flattened; in the order of the wire, where they lie
  std::string_view description;
  bool atomic;  // structType=atomic
  bool proto3;  // a message of CRI or etcd: zero scalars are not on the wire, lists of numbers are packed,
                // `bytes` are raw bytes in the Value (not base64), enums and unsigned numbers are integers
  std::span<const std::pair<std::uint32_t, std::uint16_t>> by_name;  // (Name::id, index into fields), sorted
  std::span<const std::uint8_t> always;                              // indices of the fields without omit_empty
  std::span<const Unit> units;                                       // the message, in ascending order of numbers
  std::span<const std::uint8_t> by_number;                           // field number -> index into units + 1; 0: no such field
  std::span<const std::uint8_t> always_units;                        // indices of the units without omit_empty, and of inline messages
  // Index into units + 1 by name: at (Name::id * slot_factor >> 16) modulo the size, a power of two, no two names share a slot.
  std::uint32_t slot_factor;
  std::span<const std::uint8_t> unit_slots;
  std::uint64_t written[2];  // a bit for each unit that is on the wire although JSON leaves it out

  // The unit of a field of the message itself (not of an inline one), or nullptr.
  const Unit* unit_of(Name field_name) const {
    if (unit_slots.empty()) return nullptr;
    std::size_t unit = unit_slots[(field_name.id * slot_factor >> 16) & (unit_slots.size() - 1)];
    return unit != 0 && units[unit - 1].name == field_name ? &units[unit - 1] : nullptr;
  }

  const Field* find(Name name) const;
  const Field* find(std::string_view name) const;
};

enum Verb : std::uint16_t {
  verb_create = 1,
  verb_delete = 2,
  verb_deletecollection = 4,
  verb_get = 8,
  verb_list = 16,
  verb_patch = 32,
  verb_update = 64,
  verb_watch = 128,
};

struct Column {  // a column of the printed table
  std::string_view name, type, format, description;
  int priority;  // 0: also without -o wide
};

struct Subresource {
  std::string_view name;                  // "status", "scale", "log", ...
  std::string_view group, version, kind;  // of its body; group and version empty when the resource's own
  std::uint16_t verbs;
  const Type* type;
};

struct Resource {
  std::string_view group;    // "" for core
  std::string_view version;  // "v1"
  std::string_view plural, singular, kind;
  bool namespaced;
  std::uint16_t verbs;
  std::span<const std::string_view> short_names, categories;
  std::span<const Subresource> subresources;
  std::span<const Column> columns;
  const Type* type;
};

std::span<const Resource> resources();  // stable ones, ordered by group, version, plural
std::span<const Type* const> types();   // every type of every group-version
const Resource* find_resource(std::string_view group, std::string_view version, std::string_view plural);
const Resource* find_kind(std::string_view group, std::string_view version, std::string_view kind);
const Type* find_type(std::string_view api_version, std::string_view kind);  // any kind with TypeMeta, lists and options too
const Type* find_type_named(std::string_view short_name);                    // "core.v1.Pod", "cri.runtime.v1.PodSandboxConfig"

}  // namespace kybern::schema
