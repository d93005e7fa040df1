#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <vector>

#include "base/strings.h"
#include "document/json.h"
#include "machinery/patch/patch.h"

namespace kybern {
namespace {

// RFC 6901: ~1 is a slash, ~0 a tilde.
std::string unescape_token(std::string_view token) {
  std::string out;
  for (std::size_t i = 0; i < token.size(); ++i) {
    bool escape = token[i] == '~' && i + 1 < token.size() && (token[i + 1] == '0' || token[i + 1] == '1');
    out.push_back(!escape ? token[i] : token[i + 1] == '0' ? '~' : '/');
    if (escape) ++i;
  }
  return out;
}

std::optional<std::int64_t> parse_index(std::string_view text) {
  std::int64_t index = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return index;
}

// The place of an existing item; negative indices count from the end.
std::optional<std::size_t> existing(std::string_view token, std::size_t size) {
  auto index = parse_index(token);
  auto length = static_cast<std::int64_t>(size);
  if (!index || *index < -length || *index >= length) return std::nullopt;
  return static_cast<std::size_t>(*index < 0 ? *index + length : *index);
}

class JsonPatch {
 public:
  explicit JsonPatch(Value original) : root_(original) {}

  bool apply(Value operation) {
    op_ = operation["op"].as_string();
    std::string_view op = op_, path = operation["path"].as_string(), from = operation["from"].as_string();
    Value value = operation["value"];
    if (!operation["path"].is_string()) return no("{} operation failed to decode path: missing value", op);
    if (op == "test") return test(path, value);
    if (op == "remove") return remove(path);
    if (op == "add") return value.exists() && add(path, Draft(value), path);
    if (op == "replace") return value.exists() && replace(path, Draft(value));
    if (op != "move" && op != "copy") return no("Unexpected kind: {}", op);
    if (!operation["from"].is_string()) return no("{} operation failed to decode from: missing value", op);
    return move_or_copy(from, path);
  }

  Draft take() { return std::move(root_); }
  // Why the last operation did not apply, as upstream's library says it.
  const std::string& why() const { return why_; }

 private:
  struct Place {
    Draft* container;
    std::string token;
    std::size_t depth;  // of what lies there
  };

  template <class... Args>
  bool no(fmt::format_string<Args...> text, Args&&... args) {
    why_ = fmt::format(text, std::forward<Args>(args)...);
    return false;
  }

  // The container that holds (or would hold) the last token of a path. The whole document is no place.
  std::optional<Place> place(std::string_view path) {
    if (path.empty()) return std::nullopt;
    std::vector<std::string_view> tokens = split(path, '/');
    if (tokens.size() > json_patch_max_depth) return std::nullopt;
    Draft* at = &root_;
    for (std::size_t i = 1; i + 1 < tokens.size(); ++i) {
      at = child(*at, unescape_token(tokens[i]));
      if (at == nullptr) return std::nullopt;
    }
    if (tokens.size() < 2 || (!at->is_object() && !at->is_array())) return std::nullopt;
    return Place{at, unescape_token(tokens.back()), tokens.size() - 1};
  }

  static Draft* child(Draft& container, const std::string& token) {
    if (container.is_object()) return container.find(token);
    if (!container.is_array()) return nullptr;
    auto index = existing(token, container.size());
    return index ? &container.items()[*index] : nullptr;
  }

  // What is wrong with a token that a container has no item for.
  static std::string absence(const Place& at, std::string_view missing_key) {
    if (at.container->is_object()) return fmt::format("{}: {}: missing value", missing_key, at.token);
    if (!parse_index(at.token)) return fmt::format("strconv.Atoi: parsing {}: invalid syntax", go_quote(at.token));
    return fmt::format("Unable to access invalid index: {}: invalid index referenced", at.token);
  }

  bool add(std::string_view path, Draft value, std::string_view shown) {
    auto at = place(path);
    if (!at) {
      if (op_ == "add") return no("add operation does not apply: doc is missing path: \"{}\": missing value", path);
      return no("{} operation does not apply: doc is missing destination path: {}: missing value", op_, path);
    }
    if (!fits(value, at->depth)) return too_much();
    if (at->container->is_object()) {
      (*at->container)[at->token] = std::move(value);
      return true;
    }
    auto& items = at->container->items();
    auto length = static_cast<std::int64_t>(items.size());
    auto index = at->token == "-" ? std::optional(length) : parse_index(at->token);
    if (!index)
      return no("error in {} for path: '{}': value was not a proper array index: '{}': strconv.Atoi: parsing {}: invalid syntax", op_,
                shown, at->token, go_quote(at->token));
    std::int64_t given = *index;
    if (*index < 0) *index += length + 1;
    if (*index < 0 || *index > length)
      return no("error in {} for path: '{}': Unable to access invalid index: {}: invalid index referenced", op_, shown, given);
    if (!spend(static_cast<std::size_t>(length - *index))) return too_much();
    items.insert(items.begin() + *index, std::move(value));
    return true;
  }

  bool replace(std::string_view path, Draft value) {
    if (path.empty()) {
      if (!value.is_object()) return no("replace operation value must be object or array");  // and no object is an array
      if (!fits(value, 0)) return too_much();
      root_ = std::move(value);
      return true;
    }
    auto at = place(path);
    if (!at) return no("replace operation does not apply: doc is missing path: {}: missing value", path);
    Draft* old = child(*at->container, at->token);
    if (old == nullptr) return no("replace operation does not apply: doc is missing key: {}: missing value", path);
    if (!fits(value, at->depth)) return too_much();
    *old = std::move(value);
    return true;
  }

  bool remove(std::string_view path) {
    auto at = place(path);
    if (!at) return no("remove operation does not apply: doc is missing path: \"{}\": missing value", path);
    if (!take_away(*at)) return no("error in remove for path: '{}': {}", path, absence(*at, "Unable to remove nonexistent key"));
    return true;
  }

  bool take_away(const Place& at) {
    if (at.container->is_object()) return at.container->erase(at.token);
    auto index = existing(at.token, at.container->size());
    if (!index || !spend(at.container->size() - *index)) return false;
    at.container->items().erase(at.container->items().begin() + static_cast<std::ptrdiff_t>(*index));
    return true;
  }

  bool move_or_copy(std::string_view from, std::string_view path) {
    auto at = place(from);
    if (!at) return no("{} operation does not apply: doc is missing from path: {}: missing value", op_, from);
    Draft* source = child(*at->container, at->token);
    if (source == nullptr) {
      std::string why = absence(*at, "unable to get nonexistent key");
      return op_ == "move" ? no("error in move for path: '{}': {}", at->token, why) : no("error in copy for from: '{}': {}", from, why);
    }
    if (op_ == "move") {
      Draft moved = std::move(*source);
      return (take_away(*at) || too_much()) && add(path, std::move(moved), path);
    }
    copied_ += to_json(*source).size();
    if (copied_ > json_patch_max_copied_bytes)
      return no("Unable to complete the copy, the accumulated size increase of copy is {}, exceeding the limit {}", copied_,
                json_patch_max_copied_bytes);
    return add(path, Draft(*source), path);
  }

  bool test(std::string_view path, Value expected) {
    if (path.empty()) return root_ == Draft(expected) || no("testing value {} failed: test failed", path);
    auto at = place(path);
    if (!at) return no("test operation does not apply: is missing path: {}: missing value", path);
    Draft* found = child(*at->container, at->token);
    if (found == nullptr) {
      if (!at->container->is_object()) return no("error in test for path: '{}': {}", path, absence(*at, ""));
      return expected.is_null() || no("testing path {} failed: test failed", path);
    }
    if (*found == Draft(expected)) return true;
    return no("testing {} {} failed: test failed", expected.is_null() || found->is_null() ? "path" : "value", path);
  }

  bool spend(std::size_t steps) {
    steps_ += steps;
    return steps_ <= json_patch_max_steps;
  }
  bool too_much() { return no("{} operation makes more of the object than is allowed", op_); }

  // Whether a value may lie so deep: a few operations could nest a value in itself until nothing that walks it has stack
  // enough.
  bool fits(const Draft& value, std::size_t depth) {
    if (depth > json_patch_max_depth || !spend(1)) return false;
    if (value.is_object())
      return std::all_of(value.fields().begin(), value.fields().end(), [&](const auto& field) { return fits(field.value, depth + 1); });
    if (value.is_array())
      return std::all_of(value.items().begin(), value.items().end(), [&](const Draft& item) { return fits(item, depth + 1); });
    return true;
  }

  Draft root_;
  std::size_t copied_ = 0, steps_ = 0;
  std::string_view op_;
  std::string why_;
};

}  // namespace

ApiResult<Draft> json_patch(Value original, Value patch, std::string* why) {
  if (!patch.is_array()) {
    std::string_view kind = patch.is_object() ? "object" : patch.is_string() ? "string" : patch.is_bool() ? "bool" : "number";
    return fail(bad_request(fmt::format("json: cannot unmarshal {} into Go value of type jsonpatch.Patch", kind)));
  }
  if (patch.size() > json_patch_max_operations) {
    return fail(
        too_large(fmt::format("The allowed maximum operations in a JSON patch is {}, got {}", json_patch_max_operations, patch.size())));
  }
  JsonPatch work(original);
  for (Value operation : patch.items()) {
    if (!operation.is_object()) return fail(bad_request("json: cannot unmarshal into Go value of type jsonpatch.Operation"));
    if (work.apply(operation)) continue;
    if (why) *why = work.why();
    return fail(generic_unprocessable());
  }
  return work.take();
}

}  // namespace kybern
