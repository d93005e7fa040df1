#include <fmt/format.h>
#include <yaml.h>

#include <cmath>
#include <unordered_map>
#include <unordered_set>

#include "base/strings.h"
#include "document/json.h"
#include "document/yaml.h"
#include "document/yaml_scalar.h"

namespace kybern {
namespace {

// A node of one document. Nodes refer to each other by number; an alias stands for the node that it names.
struct Node {
  enum class Type : std::uint8_t { scalar, sequence, mapping, alias };
  static constexpr std::uint32_t none = 0xffffffff;
  Type type = Type::scalar;
  bool plain = false;   // a scalar whose text may be a number, a boolean or null
  bool binary = false;  // its text is base64
  bool open = false;    // being written: an alias to it would never end
  std::uint32_t line = 0;
  std::uint32_t first = none;  // of its items; in a mapping key, value, key, value. Of an alias: the node
  std::uint32_t next = none;   // item of the same collection
  std::uint32_t text_at = 0, text_bytes = 0;
};

struct Tree {
  std::vector<Node> nodes;
  std::string texts;
  std::string_view text_of(const Node& node) const { return std::string_view(texts).substr(node.text_at, node.text_bytes); }
};

// Makes a tree of what libyaml's parser tells. (Its own loader looks each anchor up in a list, which a hostile text makes long.)
class Composer {
 public:
  Composer(yaml_parser_t& parser, const YamlOptions& options) : parser_(parser), options_(options) {}

  // The next document; false at the end of the stream.
  Result<bool> next() {
    tree.nodes.clear();
    tree.texts.clear();
    anchors_.clear();
    while (true) {
      Event event;
      if (!yaml_parser_parse(&parser_, &event.is)) return fail(Code::invalid, problem());
      switch (event.is.type) {
        case YAML_STREAM_END_EVENT:
        case YAML_NO_EVENT: return false;
        case YAML_DOCUMENT_END_EVENT: return true;
        case YAML_ALIAS_EVENT:
        case YAML_SCALAR_EVENT:
        case YAML_SEQUENCE_START_EVENT:
        case YAML_MAPPING_START_EVENT:
          if (!add(event.is)) return fail(Code::invalid, std::move(error_));
          break;
        case YAML_SEQUENCE_END_EVENT:
        case YAML_MAPPING_END_EVENT: open_.pop_back(); break;
        default: break;
      }
    }
  }

  Tree tree;

 private:
  struct Event {
    yaml_event_t is;
    ~Event() { yaml_event_delete(&is); }
  };
  struct Open {
    std::uint32_t node, last;
  };

  bool error(const yaml_event_t& event, std::string_view text) {
    error_ = fmt::format("yaml: line {}: {}", event.start_mark.line + 1, text);
    return false;
  }

  bool add(const yaml_event_t& event) {
    auto number = static_cast<std::uint32_t>(tree.nodes.size());
    if (number >= options_.max_values) return error(event, "too many values");
    Node& node = tree.nodes.emplace_back();
    node.line = static_cast<std::uint32_t>(event.start_mark.line + 1);
    if (open_.empty()) {
    } else if (Open& in = open_.back(); in.last == Node::none) {
      tree.nodes[in.node].first = in.last = number;
    } else {
      tree.nodes[in.last].next = number;
      in.last = number;
    }
    const yaml_char_t* anchor = nullptr;
    switch (event.type) {
      case YAML_ALIAS_EVENT: {
        std::string_view name(reinterpret_cast<const char*>(event.data.alias.anchor));
        auto found = anchors_.find(name);
        if (found == anchors_.end()) {
          error_ = fmt::format("yaml: unknown anchor '{}' referenced", name);
          return false;
        }
        node.type = Node::Type::alias;
        node.first = found->second;
        keep(node, name);
        return true;
      }
      case YAML_SCALAR_EVENT: {
        const auto& scalar = event.data.scalar;
        std::string_view tag(scalar.tag ? reinterpret_cast<const char*>(scalar.tag) : "");
        node.plain = scalar.style == YAML_PLAIN_SCALAR_STYLE && tag != "tag:yaml.org,2002:str";
        node.binary = tag == "tag:yaml.org,2002:binary";
        keep(node, {reinterpret_cast<const char*>(scalar.value), scalar.length});
        anchor = scalar.anchor;
        break;
      }
      case YAML_SEQUENCE_START_EVENT:
      case YAML_MAPPING_START_EVENT:
        if (open_.size() > options_.max_depth) return error(event, "exceeded max depth");
        node.type = event.type == YAML_MAPPING_START_EVENT ? Node::Type::mapping : Node::Type::sequence;
        anchor = event.type == YAML_MAPPING_START_EVENT ? event.data.mapping_start.anchor : event.data.sequence_start.anchor;
        open_.push_back({number, Node::none});
        break;
      default: break;
    }
    if (anchor) anchors_.insert_or_assign(std::string(reinterpret_cast<const char*>(anchor)), number);
    return true;
  }

  void keep(Node& node, std::string_view text) {
    node.text_at = static_cast<std::uint32_t>(tree.texts.size());
    node.text_bytes = static_cast<std::uint32_t>(text.size());
    tree.texts += text;
  }

  std::string problem() const {
    // The numbers are upstream's: of a parser's error the 0-based line, of a scanner's one more, of the first line none.
    std::size_t line = parser_.context_mark.line ? parser_.context_mark.line : parser_.problem_mark.line;
    if (line && parser_.error == YAML_SCANNER_ERROR) ++line;
    const char* problem = parser_.problem ? parser_.problem : "unknown problem parsing YAML content";
    if (line == 0) return fmt::format("yaml: {}", problem);
    return fmt::format("yaml: line {}: {}", line, problem);
  }

  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };

  yaml_parser_t& parser_;
  const YamlOptions& options_;
  std::vector<Open> open_;
  std::unordered_map<std::string, std::uint32_t, Hash, std::equal_to<>> anchors_;
  std::string error_;
};

// How much of what is written may come out of aliases: nearly all of a small document, a tenth of a large one.
double alias_share(std::size_t values) {
  constexpr double few = 400'000, many = 4'000'000;
  auto count = static_cast<double>(values);
  return count <= few ? 0.99 : count >= many ? 0.10 : 0.99 - 0.89 * (count - few) / (many - few);
}

class Converter {
 public:
  Converter(Tree& tree, const YamlOptions& options) : tree_(tree), options_(options) {}

  Result<Document> run() {
    if (!write(0, 0)) return fail(Code::invalid, std::move(error_));
    return writer_.finish();
  }

 private:
  bool error(const Node& node, std::string_view text) {
    error_ = fmt::format("yaml: line {}: {}", node.line, text);
    return false;
  }

  // One more value, of so many bytes. A small text can stand for a huge value, and for many steps to no value at all.
  bool count(std::size_t bytes) {
    constexpr std::size_t few_aliased = 100, few_values = 1000;
    ++values_;
    bytes_ += bytes;
    if (aliases_ > 0) ++aliased_;
    bool excessive = aliased_ > few_aliased && values_ > few_values &&
                     static_cast<double>(aliased_) / static_cast<double>(values_) > alias_share(values_);
    if (!excessive && values_ <= options_.max_values && bytes_ <= options_.max_bytes + tree_.texts.size()) return true;
    error_ = "yaml: document contains excessive aliasing";
    return false;
  }

  // The node that an alias stands for, entered; null when it holds the alias.
  Node* enter(Node& alias) {
    Node& node = tree_.nodes[alias.first];
    if (node.open) {
      error_ = fmt::format("yaml: anchor '{}' value contains itself", tree_.text_of(alias));
      return nullptr;
    }
    ++aliases_;
    return &node;
  }

  bool write(std::uint32_t number, std::size_t depth) {
    Node& node = tree_.nodes[number];
    if (depth > options_.max_depth) return error(node, "exceeded max depth");
    switch (node.type) {
      case Node::Type::alias: {
        if (!enter(node)) return false;
        bool good = write(node.first, depth);
        --aliases_;
        return good;
      }
      case Node::Type::scalar: return count(node.text_bytes) && scalar(node);
      case Node::Type::sequence:
        if (!count(0)) return false;
        node.open = true;
        writer_.begin_array();
        for (std::uint32_t item = node.first; item != Node::none; item = tree_.nodes[item].next)
          if (!write(item, depth + 1)) return false;
        writer_.end_array();
        node.open = false;
        return true;
      case Node::Type::mapping: {
        if (!count(0)) return false;
        writer_.begin_object();
        std::unordered_set<std::string> keys;
        if (!mapping(node, depth, keys, false)) return false;
        writer_.end_object();
        return true;
      }
    }
    return true;
  }

  // A mapping's own keys first, then those of its merges ("<<") that it does not have.
  bool mapping(Node& node, std::size_t depth, std::unordered_set<std::string>& keys, bool merging) {
    std::vector<std::uint32_t> merges;
    node.open = true;
    for (std::uint32_t at = node.first; at != Node::none;) {
      const Node* key = &tree_.nodes[at];
      std::uint32_t value = key->next;
      at = tree_.nodes[value].next;
      if (key->type == Node::Type::alias) key = &tree_.nodes[key->first];
      if (key->type != Node::Type::scalar) return error(*key, "invalid map key: a key must be a scalar");
      if (!count(key->text_bytes)) return false;
      if (key->plain && tree_.text_of(*key) == "<<") {
        merges.push_back(value);
        continue;
      }
      std::string text = key_text(*key);
      if (!keys.insert(text).second) {
        if (merging) continue;
        if (options_.duplicates && options_.duplicates->size() < duplicates_max)
          options_.duplicates->push_back(fmt::format("line {}: key {} already set in map", key->line, go_quote(text)));
      }
      writer_.key(text);
      if (!write(value, depth + 1)) return false;
    }
    for (std::uint32_t merge : merges)
      if (!merge_into(merge, depth, keys, true)) return false;
    node.open = false;
    return true;
  }

  bool merge_into(std::uint32_t number, std::size_t depth, std::unordered_set<std::string>& keys, bool lists) {
    Node& merge = tree_.nodes[number];
    if (depth > options_.max_depth) return error(merge, "exceeded max depth");
    if (!count(0)) return false;
    if (merge.type == Node::Type::alias) {
      if (!enter(merge)) return false;
      bool good = merge_into(merge.first, depth, keys, lists);
      --aliases_;
      return good;
    }
    if (merge.type == Node::Type::mapping) return mapping(merge, depth + 1, keys, true);
    if (merge.type != Node::Type::sequence || !lists) return error(merge, "map merge requires map or sequence of maps as the value");
    for (std::uint32_t item = merge.first; item != Node::none; item = tree_.nodes[item].next)
      if (!merge_into(item, depth, keys, false)) return false;
    return true;
  }

  // Keys that are no strings take their JSON text: 80: x is "80": x.
  std::string key_text(const Node& key) {
    std::string_view text = tree_.text_of(key);
    if (!key.plain) return std::string(text);
    YamlScalar s = resolve_yaml_scalar(text);
    switch (s.kind) {
      case Kind::boolean: return s.boolean ? "true" : "false";
      case Kind::integer: return std::to_string(s.integer);
      case Kind::number: return to_json(Draft(s.number));
      case Kind::null: return "null";
      default: return std::string(text);
    }
  }

  bool scalar(const Node& node) {
    std::string_view text = tree_.text_of(node);
    if (node.binary) {
      auto bytes = base64_decode(text);
      if (!bytes || !valid_utf8(*bytes)) return error(node, "!!binary value contains invalid base64 data");
      writer_.string(*bytes);
      return true;
    }
    if (!node.plain) {
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

  static constexpr std::size_t duplicates_max = 100;

  Tree& tree_;
  const YamlOptions& options_;
  BlockWriter writer_;
  std::size_t values_ = 0, aliased_ = 0, bytes_ = 0;
  std::size_t aliases_ = 0;  // that are being written, one within the other
  std::string error_;
};

struct ParserHolder {
  yaml_parser_t parser;
  ParserHolder() { yaml_parser_initialize(&parser); }
  ~ParserHolder() { yaml_parser_delete(&parser); }
};

}  // namespace

Result<std::vector<Document>> parse_yaml(std::string_view text, const YamlOptions& options) {
  ParserHolder holder;
  if (text.data() == nullptr) text = "";  // which libyaml takes for the caller's mistake, and ends the process
  yaml_parser_set_input_string(&holder.parser, reinterpret_cast<const unsigned char*>(text.data()), text.size());
  yaml_parser_set_encoding(&holder.parser, YAML_UTF8_ENCODING);
  Composer composer(holder.parser, options);
  std::vector<Document> out;
  while (true) {
    auto more = composer.next();
    if (!more) return std::unexpected(std::move(more.error()));
    if (!*more) return out;
    if (composer.tree.nodes.empty()) continue;
    auto converted = Converter(composer.tree, options).run();
    if (!converted) return std::unexpected(std::move(converted.error()));
    if (options.first_only) return std::vector<Document>{std::move(*converted)};
    if (!converted->root().is_null()) out.push_back(std::move(*converted));
  }
}

}  // namespace kybern
