#include "machinery/apply/apply.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/strings.h"
#include "document/json.h"
#include "machinery/apply/merge.h"
#include "machinery/apply/ownership.h"
#include "machinery/metadata.h"

namespace kybern::apply {
namespace {

constexpr std::string_view before_first_apply = "before-first-apply";
constexpr std::string_view kubectl = "kubectl";  // whose client-side applies are taken over
constexpr std::string_view last_applied = "kubectl.kubernetes.io/last-applied-configuration";

constexpr std::size_t conflicts_max_bytes = 1 << 20;  // of what is told of them: a long key may have many members

// A failure that upstream answers without a reason.
Status plain_failure(std::string message) {
  Status status;
  status.message = std::move(message);
  return status;
}

struct Conflict {
  std::string manager;  // as printed
  std::vector<std::string_view> path;
};

Status conflict_status(std::vector<Conflict> conflicts) {
  std::stable_sort(conflicts.begin(), conflicts.end(), [](const Conflict& a, const Conflict& b) { return a.manager < b.manager; });
  std::vector<StatusCause> causes;
  std::string message =
      conflicts.size() == 1 ? "Apply failed with 1 conflict: " : fmt::format("Apply failed with {} conflicts: ", conflicts.size());
  for (std::size_t i = 0; i < conflicts.size() && message.size() < conflicts_max_bytes; ++i) {
    const Conflict& c = conflicts[i];
    std::string path = path_text(c.path);
    causes.push_back({"FieldManagerConflict", "conflict with " + c.manager, path});
    if (conflicts.size() == 1) message += fmt::format("conflict with {}: {}", c.manager, path);
    else if (i == 0 || conflicts[i - 1].manager != c.manager)
      message += fmt::format("{}conflicts with {}:\n- {}", i ? "\n" : "", c.manager, path);
    else message += "\n- " + path;
  }
  return apply_conflict(std::move(causes), std::move(message));
}

class Applier {
 public:
  Applier(const Write& write, Value live, Value config, bool force)
      : write_(write),
        exists_(live.exists()),
        config_(config),
        force_(force),
        root_(write.versions.root(write.api_version)),
        managed_(texts_) {
    live_ = exists_ ? live.document() : write.empty.exists() ? write.empty.document() : Draft::object().freeze();
  }

  ApiResult<Applied> run() {
    if (auto ok = begin(); !ok) return fail(std::move(ok.error()));
    auto merged = merge(root_, live_, config_);
    if (!merged) return fail(plain_failure("failed to merge config: " + merged.error().message));
    auto set = fields_of(root_, config_, texts_);
    if (!set) return fail(plain_failure("failed to get field set: " + set.error().message));
    *set = subtract_deep(*set, write_.reset);
    Manager self = self_of(write_, true, write_.manager);
    Manager* before = managed_.find(self);
    std::optional<FieldSet> last;
    if (before) {
      last = managed_.fields(*before);
      last_version_ = before->api_version;
      self.time = before->time;
    }
    Manager* entry = before ? before : &managed_.entries.emplace_back(self);
    entry->api_version = write_.api_version;
    entry->decoded = *set;
    Document object = merged->freeze();
    if (last) object = prune(std::move(object), *last, *set);
    if (auto ok = settle(object, self); !ok) return fail(std::move(ok.error()));
    bool changed = !same_value(live_.root(), object.root());
    if (Manager* mine = managed_.find(self)) {
      mine->decoded = subtract(managed_.fields(*mine), stripped_fields());
      if (changed || !last) mine->time = write_.now;
    }
    managed_.drop_empty();
    if (!changed) object = live_;
    return Applied{updated_annotation(object), managed_.document()};
  }

 private:
  ApiResult<void> begin() {
    Value m = config_["metadata"];
    if (Value given = m["managedFields"]; given.exists() && !given.is_null())
      return fail(bad_request("metadata.managedFields must be nil"));
    if (auto ok = managed_.read(live_["metadata"]["managedFields"], true); !ok)
      return fail(plain_failure("failed to decode managed fields: " + ok.error().message));
    if (managed_.entries.empty() && exists_)
      if (auto ok = own_everything(write_, live_, managed_, before_first_apply); !ok)
        return fail(plain_failure("failed to create manager for existing fields: " + ok.error().message));
    if (auto ok = check(root_, config_); !ok) {
      // A group-version as Go prints it: /v1, apps/v1.
      bool core = write_.api_version.find('/') == std::string_view::npos;
      return fail(plain_failure(fmt::format("failed to create typed patch object ({}/{}; {}{}, Kind={}): {}", m["namespace"].as_string(),
                                            m["name"].as_string(), core ? "/" : "", write_.api_version, config_["kind"].as_string(),
                                            ok.error().message)));
    }
    for (Manager& entry : managed_.entries)
      if (write_.versions.has(entry.api_version))
        entry.decoded = reconciled(managed_.fields(entry), write_.versions.root(entry.api_version));
    return {};
  }

  Document convert(const Document& object, std::string_view from, std::string_view to) const {
    return from == to ? object : write_.versions.convert(object.root(), from, to);
  }

  FieldSet set_of(const Document& object, std::string_view version) {
    Place root = write_.versions.root(version);
    auto set = fields_of(root, object.root(), texts_);
    return set ? with_named_fields(*set, root) : FieldSet();
  }

  // Removes what this manager applied the last time and does not now, unless somebody else owns it too.
  Document prune(Document merged, const FieldSet& last, const FieldSet& now) {
    if (!write_.versions.has(last_version_)) return merged;
    if (last_version_ == write_.api_version && subtract(last, now).empty()) return merged;
    Place root = write_.versions.root(last_version_);
    Document whole = convert(merged, write_.api_version, last_version_);
    FieldSet gone = with_named_fields(last, root);
    Document pruned = remove(root, whole.root(), gone, texts_).freeze();
    pruned = with_owned(whole, std::move(pruned));
    FieldSet removed = subtract(set_of(whole, last_version_), set_of(pruned, last_version_));
    pruned = remove(root, whole.root(), intersect(removed, gone), texts_).freeze();
    return convert(pruned, last_version_, write_.api_version);
  }

  // What was removed and is owned by anybody, in any version, is put back.
  Document with_owned(const Document& whole, Document pruned) {
    std::map<std::string, FieldSet> owned;
    for (Manager& entry : managed_.entries) {
      FieldSet& set = owned[entry.api_version];
      set = unite(set, managed_.fields(entry));
    }
    std::string at = last_version_;
    auto in_version = [&](const std::string& version, const FieldSet& set) {
      if (!write_.versions.has(version)) return;
      Place root = write_.versions.root(version);
      Document all = convert(whole, last_version_, version);
      pruned = convert(pruned, at, version);
      at = version;
      FieldSet gone = subtract(set_of(all, version), unite(set_of(pruned, version), with_named_fields(set, root)));
      pruned = remove(root, all.root(), gone, texts_).freeze();
    };
    if (auto first = owned.find(last_version_); first != owned.end()) {
      in_version(first->first, first->second);
      owned.erase(first);
    }
    for (const auto& [version, set] : owned) in_version(version, set);
    return convert(pruned, at, last_version_);
  }

  // Who else owns what changed? Conflicts, or the fields change hands.
  ApiResult<void> settle(const Document& object, const Manager& self) {
    Changes changes(write_, live_.root(), object.root(), texts_);
    if (!changes.in(write_.api_version))
      return fail(plain_failure("failed to compare objects: " + (changes.status() ? std::string() : changes.status().error().message)));
    std::vector<Conflict> conflicts;
    std::vector<Manager> kept;
    for (Manager& entry : managed_.entries) {
      if (entry.is(self)) {
        kept.push_back(entry);
        continue;
      }
      const Comparison* found = changes.in(entry.api_version);
      if (!changes.status()) return fail(plain_failure("failed to compare objects: " + changes.status().error().message));
      if (!found) continue;
      FieldSet& fields = managed_.fields(entry);
      FieldSet taken = intersect(fields, unite(found->modified, found->added));
      taken.each([&](std::span<const std::string_view> path) { conflicts.push_back({entry.printed(), {path.begin(), path.end()}}); });
      Manager left = entry;
      left.decoded = subtract(subtract(fields, taken), found->removed);
      if (!left.decoded->empty()) kept.push_back(std::move(left));
    }
    if (!force_ && !conflicts.empty())
      if (auto ok = allow(conflicts); !ok) return ok;
    managed_.entries = std::move(kept);
    return {};
  }

  // kubectl may take over what its own client-side apply wrote: what the annotation says, where the object still says so.
  ApiResult<void> allow(std::vector<Conflict>& conflicts) {
    auto refused = [&] { return fail(conflict_status(std::move(conflicts))); };
    if (write_.manager != kubectl) return refused();
    std::string_view text = live_["metadata"]["annotations"][last_applied].as_string();
    if (text.empty()) return refused();
    auto before = parse_json(text);
    if (!before || before->root()["apiVersion"].as_string() != write_.api_version || !check(root_, before->root())) return refused();
    auto set = fields_of(root_, before->root(), texts_);
    auto difference = compare(root_, before->root(), live_.root(), texts_);
    if (!set || !difference) return refused();
    FieldSet allowed = subtract(subtract(subtract(*set, difference->modified), difference->added), difference->removed);
    std::erase_if(conflicts, [&](const Conflict& c) { return allowed.has(c.path); });
    return conflicts.empty() ? ApiResult<void>() : refused();
  }

  // Keeps the annotation of client-side apply true, so that one can go back to it.
  Document updated_annotation(const Document& object) const {
    if (write_.manager != kubectl || object["metadata"]["annotations"][last_applied].as_string().empty()) return object;
    Draft config(config_);
    if (Draft* annotations = config.find_path({"metadata", "annotations"})) annotations->erase(last_applied);
    Draft out(object);
    Draft& annotations = out["metadata"]["annotations"];
    annotations[last_applied] = sorted_json(config.freeze().root()) + "\n";
    std::size_t bytes = 0;
    for (const Draft::Field& f : annotations.fields()) bytes += f.key.size() + f.value.as_string().size();
    if (bytes > annotations_max_bytes) annotations.erase(last_applied);
    return out.freeze();
  }

  // As Go's encoder writes a map: keys in order, and of HTML's characters the codes.
  static std::string sorted_json(Value value) {
    if (value.is_array()) {
      std::string out = "[";
      for (Value item : value.items()) out += (out.size() > 1 ? "," : "") + sorted_json(item);
      return out + "]";
    }
    if (value.is_object()) {
      std::map<std::string_view, Value> members;
      for (Member m : value.members()) members[m.key] = m.value;
      std::string out = "{";
      for (const auto& [key, inner] : members) out += (out.size() > 1 ? "," : "") + escaped(to_json(Draft(key))) + ":" + sorted_json(inner);
      return out + "}";
    }
    return escaped(to_json(value));
  }

  static std::string escaped(std::string_view json) {
    std::string out;
    for (char c : json) {
      if (c == '<') out += "\\u003c";
      else if (c == '>') out += "\\u003e";
      else if (c == '&') out += "\\u0026";
      else out += c;
    }
    return out;
  }

  const Write& write_;
  bool exists_;
  Document live_;
  Value config_;
  bool force_;
  Place root_;
  FieldTexts texts_;
  Managed managed_;
  std::string last_version_;
};

}  // namespace

ApiResult<Applied> apply(const Write& write, Value live, Value config, bool force) { return Applier(write, live, config, force).run(); }

}  // namespace kybern::apply
