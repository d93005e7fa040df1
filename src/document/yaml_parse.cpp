#include <fmt/format.h>
#include <yaml.h>

#include <charconv>
#include <cmath>
#include <unordered_set>

#include "base/strings.h"
#include "document/json.h"
#include "document/yaml.h"
#include "document/yaml_scalar.h"

namespace kybern {
namespace {

std::string_view text_of(const yaml_node_t* node) {
  return {reinterpret_cast<const char*>(node->data.scalar.value), node->data.scalar.length};
}

std::string_view tag_of(const yaml_node_t* node) { return node->tag ? reinterpret_cast<const char*>(node->tag) : ""; }

class Converter {
 public:
  Converter(yaml_document_t& document, const YamlOptions& options) : document_(document), options_(options) {}

  Result<Document> run(yaml_node_t* root) {
    if (!write(root, 0)) return fail(Code::invalid, std::move(error_));
    return writer_.finish();
  }

 private:
  bool error(const yaml_node_t* node, std::string text) {
    error_ = fmt::format("yaml: line {}: {}", node->start_mark.line + 1, text);
    return false;
  }

  bool write(yaml_node_t* node, std::size_t depth) {
    if (depth > options_.max_depth) return error(node, "exceeded max depth");
    if (++values_ > options_.max_values) {
      error_ = "yaml: document contains excessive aliasing";
      return false;
    }
    switch (node->type) {
      case YAML_SCALAR_NODE: return scalar(node);
      case YAML_SEQUENCE_NODE:
        writer_.begin_array();
        for (auto* item = node->data.sequence.items.start; item != node->data.sequence.items.top; ++item)
          if (!write(yaml_document_get_node(&document_, *item), depth + 1)) return false;
        writer_.end_array();
        return true;
      case YAML_MAPPING_NODE: {
        writer_.begin_object();
        std::unordered_set<std::string> keys;
        if (!mapping(node, depth, keys, false)) return false;
        writer_.end_object();
        return true;
      }
      default: writer_.null(); return true;
    }
  }

  // A mapping's own keys first, then those of its merges ("<<") that it does not have.
  bool mapping(yaml_node_t* node, std::size_t depth, std::unordered_set<std::string>& keys, bool merging) {
    std::vector<yaml_node_t*> merges;
    for (auto* pair = node->data.mapping.pairs.start; pair != node->data.mapping.pairs.top; ++pair) {
      yaml_node_t* key = yaml_document_get_node(&document_, pair->key);
      yaml_node_t* value = yaml_document_get_node(&document_, pair->value);
      if (key->type != YAML_SCALAR_NODE) return error(key, "invalid map key: a key must be a scalar");
      std::string text = key_text(key);
      if (text == "<<" && key->data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
        merges.push_back(value);
        continue;
      }
      if (!keys.insert(text).second) {
        if (merging) continue;
        if (options_.duplicates)
          options_.duplicates->push_back(fmt::format("line {}: key {} already set in map", key->start_mark.line + 1, go_quote(text)));
      }
      writer_.key(text);
      if (!write(value, depth + 1)) return false;
    }
    for (yaml_node_t* merge : merges)
      if (!merge_into(merge, depth, keys)) return false;
    return true;
  }

  bool merge_into(yaml_node_t* merge, std::size_t depth, std::unordered_set<std::string>& keys) {
    if (depth > options_.max_depth) return error(merge, "exceeded max depth");
    if (merge->type == YAML_MAPPING_NODE) return mapping(merge, depth + 1, keys, true);
    if (merge->type != YAML_SEQUENCE_NODE) return error(merge, "map merge requires map or sequence of maps as the value");
    for (auto* item = merge->data.sequence.items.start; item != merge->data.sequence.items.top; ++item) {
      yaml_node_t* one = yaml_document_get_node(&document_, *item);
      if (one->type != YAML_MAPPING_NODE) return error(one, "map merge requires map or sequence of maps as the value");
      if (!mapping(one, depth + 1, keys, true)) return false;
    }
    return true;
  }

  // Keys that are no strings take their JSON text: 80: x is "80": x.
  std::string key_text(const yaml_node_t* key) {
    std::string_view text = text_of(key);
    if (key->data.scalar.style != YAML_PLAIN_SCALAR_STYLE) return std::string(text);
    YamlScalar s = resolve_yaml_scalar(text);
    switch (s.kind) {
      case Kind::boolean: return s.boolean ? "true" : "false";
      case Kind::integer: return std::to_string(s.integer);
      case Kind::number: return to_json(Draft(s.number));
      case Kind::null: return "null";
      default: return std::string(text);
    }
  }

  bool scalar(const yaml_node_t* node) {
    std::string_view text = text_of(node), tag = tag_of(node);
    bool plain = node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    if (tag == "tag:yaml.org,2002:binary") {
      auto bytes = base64_decode(text);
      if (!bytes || !valid_utf8(*bytes)) return error(node, "!!binary value contains invalid base64 data");
      writer_.string(*bytes);
      return true;
    }
    // libyaml gives an untagged scalar the string tag; an explicit one on a plain scalar cannot be told apart, except here
    // by its place: the scalar's mark covers the tag.
    bool explicit_string = plain && tag == "tag:yaml.org,2002:str" && node->end_mark.index - node->start_mark.index > text.size() + 4;
    if (!plain || explicit_string) {
      writer_.string(text);
      return true;
    }
    YamlScalar s = resolve_yaml_scalar(text);
    switch (s.kind) {
      case Kind::null: writer_.null(); break;
      case Kind::boolean: writer_.boolean(s.boolean); break;
      case Kind::integer: writer_.integer(s.integer); break;
      case Kind::number:
        if (!std::isfinite(s.number)) return error(node, fmt::format("json: unsupported value: {}", text));
        writer_.number(s.number);
        break;
      default: writer_.string(text);
    }
    return true;
  }

  yaml_document_t& document_;
  const YamlOptions& options_;
  BlockWriter writer_;
  std::size_t values_ = 0;
  std::string error_;
};

struct ParserHolder {
  yaml_parser_t parser;
  ParserHolder() { yaml_parser_initialize(&parser); }
  ~ParserHolder() { yaml_parser_delete(&parser); }
};

std::string problem_text(const yaml_parser_t& parser) {
  // The numbers are upstream's: of a parser's error the 0-based line, of a scanner's one more, of the first line none.
  std::size_t line = parser.context_mark.line ? parser.context_mark.line : parser.problem_mark.line;
  if (line && parser.error == YAML_SCANNER_ERROR) ++line;
  const char* problem = parser.problem ? parser.problem : "unknown problem parsing YAML content";
  if (line == 0) return fmt::format("yaml: {}", problem);
  return fmt::format("yaml: line {}: {}", line, problem);
}

}  // namespace

Result<std::vector<Document>> parse_yaml(std::string_view text, const YamlOptions& options) {
  ParserHolder holder;
  if (text.data() == nullptr) text = "";  // which libyaml takes for the caller's mistake, and ends the process
  yaml_parser_set_input_string(&holder.parser, reinterpret_cast<const unsigned char*>(text.data()), text.size());
  yaml_parser_set_encoding(&holder.parser, YAML_UTF8_ENCODING);
  std::vector<Document> out;
  while (true) {
    yaml_document_t document;
    if (!yaml_parser_load(&holder.parser, &document)) return fail(Code::invalid, problem_text(holder.parser));
    yaml_node_t* root = yaml_document_get_root_node(&document);
    if (!root) {
      yaml_document_delete(&document);
      return out;
    }
    auto converted = Converter(document, options).run(root);
    yaml_document_delete(&document);
    if (!converted) return std::unexpected(converted.error());
    if (!converted->root().is_null()) out.push_back(std::move(*converted));
  }
}

}  // namespace kybern
