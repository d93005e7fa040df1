#include <yaml.h>

#include <algorithm>

#include "base/check.h"
#include "base/strings.h"
#include "document/json.h"
#include "document/yaml.h"
#include "document/yaml_scalar.h"

namespace kybern {
namespace {

class Emitter {
 public:
  explicit Emitter(std::string& out) {
    yaml_emitter_initialize(&emitter_);
    yaml_emitter_set_output(&emitter_, append, &out);
    yaml_emitter_set_unicode(&emitter_, 1);
    yaml_emitter_set_width(&emitter_, -1);
    yaml_emitter_set_indent(&emitter_, 2);
  }
  ~Emitter() { yaml_emitter_delete(&emitter_); }

  void run(Value value) {
    yaml_event_t e;
    yaml_stream_start_event_initialize(&e, YAML_UTF8_ENCODING);
    emit(e);
    yaml_document_start_event_initialize(&e, nullptr, nullptr, nullptr, 1);
    emit(e);
    write(value);
    yaml_document_end_event_initialize(&e, 1);
    emit(e);
    yaml_stream_end_event_initialize(&e);
    emit(e);
  }

 private:
  static int append(void* data, unsigned char* buffer, std::size_t size) {
    static_cast<std::string*>(data)->append(reinterpret_cast<const char*>(buffer), size);
    return 1;
  }

  void emit(yaml_event_t& e) { KYBERN_CHECK(yaml_emitter_emit(&emitter_, &e), "libyaml emits what a document holds"); }

  void scalar(std::string_view text, yaml_scalar_style_t style) {
    yaml_event_t e;
    yaml_scalar_event_initialize(&e, nullptr, nullptr, reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()),
                                 1, 1, style);
    emit(e);
  }

  void string(std::string_view text) {
    yaml_scalar_style_t style = YAML_PLAIN_SCALAR_STYLE;
    if (resolve_yaml_scalar(text).kind != Kind::string || looks_like_time(text) || text == "<<" || text == "=")
      style = YAML_DOUBLE_QUOTED_SCALAR_STYLE;
    else if (text.find('\n') != std::string_view::npos) style = YAML_LITERAL_SCALAR_STYLE;
    scalar(text, style);
  }

  // Dates are strings to us but not to every YAML reader: they are quoted.
  static bool looks_like_time(std::string_view text) {
    if (text.size() < 8 || text[4] != '-') return false;
    for (int i = 0; i < 4; ++i)
      if (text[static_cast<std::size_t>(i)] < '0' || text[static_cast<std::size_t>(i)] > '9') return false;
    return text.find_first_not_of("0123456789-:.TtZz+ ") == std::string_view::npos;
  }

  void write(Value value) {
    yaml_event_t e;
    if (value.is_array()) {
      yaml_sequence_start_event_initialize(&e, nullptr, nullptr, 1, value.empty() ? YAML_FLOW_SEQUENCE_STYLE : YAML_BLOCK_SEQUENCE_STYLE);
      emit(e);
      for (Value item : value.items()) write(item);
      yaml_sequence_end_event_initialize(&e);
      emit(e);
    } else if (value.is_object()) {
      yaml_mapping_start_event_initialize(&e, nullptr, nullptr, 1, value.empty() ? YAML_FLOW_MAPPING_STYLE : YAML_BLOCK_MAPPING_STYLE);
      emit(e);
      std::vector<Member> members;
      members.reserve(value.size());
      for (Member m : value.members()) members.push_back(m);
      std::sort(members.begin(), members.end(), [](const Member& a, const Member& b) { return a.key < b.key; });
      for (const Member& m : members) {
        string(m.key);
        write(m.value);
      }
      yaml_mapping_end_event_initialize(&e);
      emit(e);
    } else if (value.is_string()) {
      string(value.as_string());
    } else {
      scalar(to_json(value), YAML_PLAIN_SCALAR_STYLE);
    }
  }

  yaml_emitter_t emitter_;
};

}  // namespace

void write_yaml(Value value, std::string& out) { Emitter(out).run(value); }

}  // namespace kybern
