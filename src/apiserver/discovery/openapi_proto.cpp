// OpenAPI documents in protobuf: the messages of gnostic's OpenAPIv2.proto and OpenAPIv3.proto, as tables that say which
// field a JSON member becomes. The messages wrap what JSON says by its shape: a schema that may be a reference is a
// message with the one or the other, a map is a message that repeats pairs of name and value.
#include <span>

#include "apiserver/discovery/openapi_text.h"
#include "document/json.h"

namespace kybern::apiserver {
namespace {

enum class How : std::uint8_t {
  text,
  boolean,
  texts,           // repeated string
  message,         // one message
  messages,        // repeated: one for each item
  pairs,           // a message whose field `inner` repeats {name = 1, value = 2}
  open_pairs,      // the pairs lie in the message itself
  any,             // Any: field 2, the YAML of the value
  anys,            // repeated Any
  types,           // v2: a message that repeats the text
  items,           // a message whose field 1 is the schema
  string_lists,    // security: each item a map of names to lists of texts
  number_or_text,  // v3's DefaultType: number = 1, boolean = 2, string = 3
};

struct Message;
struct Key {
  std::string_view key;
  std::uint8_t number;
  How how;
  const Message* inner = nullptr;
  std::uint8_t inner_number = 1;
};
// `one_of`: the message stands in a wrapper: in its field 1, or 2 when it is a $ref. `by_in`: v2's parameters, which are
// wrapped by what their `in` says.
struct Message {
  std::span<const Key> keys;
  std::uint8_t extensions;
  bool one_of = false;
  bool by_in = false;
};

class Wire {
 public:
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) out_ += static_cast<char>(value | 0x80);
    out_ += static_cast<char>(value);
  }
  void bytes(std::uint8_t number, std::string_view value) {
    varint(static_cast<std::uint64_t>(number) << 3 | 2);
    varint(value.size());
    out_ += value;
  }
  void boolean(std::uint8_t number, bool value) {
    if (!value) return;
    varint(static_cast<std::uint64_t>(number) << 3);
    varint(1);
  }
  std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

std::string any_of(Value value) {
  Wire any;
  any.bytes(2, to_json(value) + "\n");  // JSON is YAML
  return any.take();
}

std::string pair_of(std::string_view name, std::string_view value) {
  Wire pair;
  pair.bytes(1, name);
  pair.bytes(2, value);
  return pair.take();
}

std::string encode(const Message& message, Value object);
std::string encode_v2_parameter(Value parameter);

void add(Wire& out, const Key& key, Value value) {
  switch (key.how) {
    case How::text: out.bytes(key.number, value.as_string()); break;
    case How::boolean: out.boolean(key.number, value.as_bool()); break;
    case How::texts:
      for (Value item : value.items()) out.bytes(key.number, item.as_string());
      break;
    case How::message: out.bytes(key.number, encode(*key.inner, value)); break;
    case How::messages:
      for (Value item : value.items()) out.bytes(key.number, encode(*key.inner, item));
      break;
    case How::pairs: {
      Wire all;
      for (Member m : value.members()) all.bytes(key.inner_number, pair_of(m.key, encode(*key.inner, m.value)));
      out.bytes(key.number, all.take());
      break;
    }
    case How::open_pairs: break;  // handled by encode(): every member is one
    case How::any: out.bytes(key.number, any_of(value)); break;
    case How::anys:
      for (Value item : value.items()) out.bytes(key.number, any_of(item));
      break;
    case How::types: {
      Wire types;
      types.bytes(1, value.as_string());
      out.bytes(key.number, types.take());
      break;
    }
    case How::items: {
      Wire items;
      items.bytes(1, encode(*key.inner, value));
      out.bytes(key.number, items.take());
      break;
    }
    case How::string_lists:
      for (Value item : value.items()) {
        Wire requirement;
        for (Member m : item.members()) {
          Wire list;
          for (Value text : m.value.items()) list.bytes(1, text.as_string());
          requirement.bytes(1, pair_of(m.key, list.take()));
        }
        out.bytes(key.number, requirement.take());
      }
      break;
    case How::number_or_text: {
      Wire choice;
      if (value.is_bool()) {
        choice.varint(2 << 3);
        choice.varint(value.as_bool() ? 1 : 0);
      } else if (value.is_string()) {
        choice.bytes(3, value.as_string());
      } else if (value.is_int() || value.kind() == Kind::number) {
        double number = value.as_double();
        std::string raw(reinterpret_cast<const char*>(&number), sizeof number);
        choice.varint(1 << 3 | 1);
        out.bytes(key.number, choice.take() + raw);
        break;
      } else {
        break;  // an object has no form here
      }
      out.bytes(key.number, choice.take());
      break;
    }
  }
}

std::string encode(const Message& message, Value object) {
  if (message.by_in) return encode_v2_parameter(object);
  Wire out;
  bool reference = message.one_of && object["$ref"].exists();
  if (reference) {
    out.bytes(1, object["$ref"].as_string());
    if (object["description"].exists()) out.bytes(2, object["description"].as_string());
  } else {
    for (Member m : object.members()) {
      const Key* found = nullptr;
      for (const Key& key : message.keys)
        if (key.key == m.key || (key.how == How::open_pairs && !m.key.starts_with("x-"))) found = &key;
      if (found && found->how == How::open_pairs) out.bytes(found->number, pair_of(m.key, encode(*found->inner, m.value)));
      else if (found) add(out, *found, m.value);
      else if (message.extensions != 0 && m.key.starts_with("x-")) out.bytes(message.extensions, pair_of(m.key, any_of(m.value)));
    }
  }
  if (!message.one_of) return out.take();
  Wire wrapper;
  wrapper.bytes(reference ? 2 : 1, out.take());
  return wrapper.take();
}

// Version 2.
extern const Message v2_schema;
constexpr Key v2_schema_keys[] = {
    {"$ref", 1, How::text},
    {"format", 2, How::text},
    {"title", 3, How::text},
    {"description", 4, How::text},
    {"default", 5, How::any},
    {"uniqueItems", 16, How::boolean},
    {"required", 19, How::texts},
    {"enum", 20, How::anys},
    {"additionalProperties", 21, How::items, &v2_schema},
    {"type", 22, How::types},
    {"items", 23, How::items, &v2_schema},
    {"properties", 25, How::pairs, &v2_schema},
};
const Message v2_schema{v2_schema_keys, 31};
constexpr Key info_keys[] = {{"title", 1, How::text}, {"version", 2, How::text}};
const Message v2_info{info_keys, 0};
constexpr Key v2_body_keys[] = {{"description", 1, How::text},
                                {"name", 2, How::text},
                                {"in", 3, How::text},
                                {"required", 4, How::boolean},
                                {"schema", 5, How::message, &v2_schema}};
const Message v2_body{v2_body_keys, 6};
constexpr Key v2_query_keys[] = {{"required", 1, How::boolean}, {"in", 2, How::text},   {"description", 3, How::text},
                                 {"name", 4, How::text},        {"type", 6, How::text}, {"uniqueItems", 20, How::boolean}};
const Message v2_query{v2_query_keys, 0};
constexpr Key v2_path_keys[] = {{"required", 1, How::boolean}, {"in", 2, How::text},   {"description", 3, How::text},
                                {"name", 4, How::text},        {"type", 5, How::text}, {"uniqueItems", 19, How::boolean}};
const Message v2_path_parameter{v2_path_keys, 0};
const Message v2_parameter{{}, 0, false, true};
constexpr Key v2_response_keys[] = {{"description", 1, How::text}, {"schema", 2, How::items, &v2_schema}};
const Message v2_response{v2_response_keys, 0, true};
constexpr Key v2_responses_keys[] = {{"", 1, How::open_pairs, &v2_response}};
const Message v2_responses{v2_responses_keys, 2};
constexpr Key v2_operation_keys[] = {
    {"tags", 1, How::texts},
    {"summary", 2, How::text},
    {"description", 3, How::text},
    {"operationId", 5, How::text},
    {"produces", 6, How::texts},
    {"consumes", 7, How::texts},
    {"parameters", 8, How::messages, &v2_parameter},
    {"responses", 9, How::message, &v2_responses},
    {"schemes", 10, How::texts},
    {"deprecated", 11, How::boolean},
};
const Message v2_operation{v2_operation_keys, 13};
constexpr Key v2_item_keys[] = {
    {"get", 2, How::message, &v2_operation},    {"put", 3, How::message, &v2_operation},         {"post", 4, How::message, &v2_operation},
    {"delete", 5, How::message, &v2_operation}, {"options", 6, How::message, &v2_operation},     {"head", 7, How::message, &v2_operation},
    {"patch", 8, How::message, &v2_operation},  {"parameters", 9, How::messages, &v2_parameter},
};
const Message v2_item{v2_item_keys, 10};
constexpr Key v2_paths_keys[] = {{"", 2, How::open_pairs, &v2_item}};
const Message v2_paths{v2_paths_keys, 1};
constexpr Key v2_document_keys[] = {
    {"swagger", 1, How::text},
    {"info", 2, How::message, &v2_info},
    {"paths", 8, How::message, &v2_paths},
    {"definitions", 9, How::pairs, &v2_schema},
    {"security", 12, How::string_lists},
};
const Message v2_message{v2_document_keys, 16};

// ParametersItem{parameter = 1: Parameter{body_parameter = 1 | non_body_parameter = 2: {query = 3 | path = 4}}}.
std::string encode_v2_parameter(Value parameter) {
  std::string_view in = parameter["in"].as_string();
  Wire item, choice, plain;
  if (in == "body") {
    choice.bytes(1, encode(v2_body, parameter));
  } else {
    plain.bytes(in == "path" ? 4 : 3, encode(in == "path" ? v2_path_parameter : v2_query, parameter));
    choice.bytes(2, plain.take());
  }
  item.bytes(1, choice.take());
  return item.take();
}

// Version 3.
extern const Message v3_schema;
constexpr Key v3_schema_keys[] = {
    {"uniqueItems", 20, How::boolean},
    {"required", 23, How::texts},
    {"enum", 24, How::anys},
    {"type", 25, How::text},
    {"allOf", 26, How::messages, &v3_schema},
    {"oneOf", 27, How::messages, &v3_schema},
    {"items", 30, How::items, &v3_schema},
    {"properties", 31, How::pairs, &v3_schema},
    {"additionalProperties", 32, How::items, &v3_schema},
    {"default", 33, How::number_or_text},
    {"description", 34, How::text},
    {"format", 35, How::text},
};
const Message v3_schema{v3_schema_keys, 36, true};
constexpr Key v3_info_keys[] = {{"title", 1, How::text}, {"version", 6, How::text}};
const Message v3_info{v3_info_keys, 0};
constexpr Key v3_parameter_keys[] = {{"name", 1, How::text},
                                     {"in", 2, How::text},
                                     {"description", 3, How::text},
                                     {"required", 4, How::boolean},
                                     {"schema", 10, How::message, &v3_schema}};
const Message v3_parameter{v3_parameter_keys, 13, true};
constexpr Key v3_media_keys[] = {{"schema", 1, How::message, &v3_schema}};
const Message v3_media{v3_media_keys, 5};
constexpr Key v3_body_keys[] = {{"description", 1, How::text}, {"content", 2, How::pairs, &v3_media}, {"required", 3, How::boolean}};
const Message v3_body{v3_body_keys, 4, true};
constexpr Key v3_response_keys[] = {{"description", 1, How::text}, {"content", 3, How::pairs, &v3_media}};
const Message v3_response{v3_response_keys, 5, true};
constexpr Key v3_responses_keys[] = {{"", 2, How::open_pairs, &v3_response}};
const Message v3_responses{v3_responses_keys, 3};
constexpr Key v3_operation_keys[] = {
    {"tags", 1, How::texts},
    {"description", 3, How::text},
    {"operationId", 5, How::text},
    {"parameters", 6, How::messages, &v3_parameter},
    {"requestBody", 7, How::message, &v3_body},
    {"responses", 8, How::message, &v3_responses},
};
const Message v3_operation{v3_operation_keys, 13};
constexpr Key v3_item_keys[] = {
    {"get", 4, How::message, &v3_operation},    {"put", 5, How::message, &v3_operation},          {"post", 6, How::message, &v3_operation},
    {"delete", 7, How::message, &v3_operation}, {"options", 8, How::message, &v3_operation},      {"head", 9, How::message, &v3_operation},
    {"patch", 10, How::message, &v3_operation}, {"parameters", 13, How::messages, &v3_parameter},
};
const Message v3_item{v3_item_keys, 14};
constexpr Key v3_paths_keys[] = {{"", 1, How::open_pairs, &v3_item}};
const Message v3_paths{v3_paths_keys, 2};
constexpr Key v3_components_keys[] = {{"schemas", 1, How::pairs, &v3_schema}};
const Message v3_components{v3_components_keys, 10};
constexpr Key v3_document_keys[] = {
    {"openapi", 1, How::text},
    {"info", 2, How::message, &v3_info},
    {"paths", 4, How::message, &v3_paths},
    {"components", 5, How::message, &v3_components},
};
const Message v3_message{v3_document_keys, 9};

}  // namespace

std::string openapi_protobuf(OpenapiVersion version, Value document) {
  return encode(version == OpenapiVersion::v2 ? v2_message : v3_message, document);
}

}  // namespace kybern::apiserver
