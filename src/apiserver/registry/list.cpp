// Lists: options, selectors, pages. A list is a place in a snapshot, read while it is sent.
#include <fmt/format.h>

#include <algorithm>

#include "apiserver/custom/converter.h"
#include "apiserver/custom/custom.h"
#include "apiserver/registry/continue.h"
#include "apiserver/registry/registry.h"
#include "base/strings.h"
#include "document/json.h"
#include "document/prefetch.h"

namespace kybern::apiserver {

std::string encode_continue(store::Revision revision, std::string_view relative_key) {
  Draft token = Draft::object({{"v", "meta.k8s.io/v1"}, {"rv", revision}, {"start", std::string(relative_key) + std::string(1, '\0')}});
  return base64url_encode(to_json(token));
}

ApiResult<Continue> decode_continue(std::string_view text) {
  auto not_valid = [](std::string_view why) {
    return fail(bad_request(fmt::format("invalid continue token: continue key is not valid: {}", why)));
  };
  auto bytes = base64url_decode(text);
  if (!bytes) {
    std::size_t at = std::min(text.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), text.size());
    return not_valid(fmt::format("illegal base64 data at input byte {}", at));
  }
  auto token = parse_json(*bytes);
  if (!token) return not_valid(token.error().message);
  if (std::string_view version = (*token)["v"].as_string(); version != "meta.k8s.io/v1")
    return not_valid(fmt::format("server does not recognize this encoded version {}", version));
  Continue out{(*token)["rv"].as_int(), (*token)["start"].str()};
  if (out.revision == 0) return not_valid("incorrect encoded start resourceVersion (version meta.k8s.io/v1)");
  if (out.start.empty()) return not_valid("encoded start key empty (version meta.k8s.io/v1)");
  const std::string key = out.start.starts_with('/') ? out.start : "/" + out.start;
  for (std::string_view part : split(std::string_view(key).substr(1), '/'))
    if (part == "." || part == ".." || (part.empty() && key != "/")) return not_valid(out.start);
  out.start = key.substr(1);
  if (!out.start.empty() && out.start.back() == '\0') out.start.pop_back();
  return out;
}

Document expired_continue(const Status& status, std::string_view token) {
  Draft out(status.document());
  if (auto old = decode_continue(token)) out["metadata"]["continue"] = encode_continue(-1, old->start);
  return out.freeze();
}

namespace {

// Upstream has no kind of error for what is no number: it is a 500 without a reason (kubernetes/kubernetes#139485).
ApiResult<store::Revision> read_revision(std::string_view text) {
  const bool digits = !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
  if (auto value = parse_int(text); value && digits) return *value;
  Status status;
  status.code = 500;
  status.message = fmt::format("resourceVersion: Invalid value: {}: strconv.ParseUint: parsing {}: {}", go_quote(text), go_quote(text),
                               digits ? "value out of range" : "invalid syntax");
  return fail(std::move(status));
}

ApiResult<void> check_matches(const ListOptions& out) {
  FieldErrors errors;
  const std::string& match = out.resource_version_match;
  auto forbid = [&](std::string detail) { errors.push_back({FieldError::Type::forbidden, "resourceVersionMatch", "", std::move(detail)}); };
  const bool known = match == "NotOlderThan" || (match == "Exact" && !out.watch);
  if (out.watch) {
    if (out.has_send_initial_events && match != "NotOlderThan")
      forbid("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
    if (!match.empty() && !out.has_send_initial_events)
      forbid("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
  } else if (!match.empty() && out.resource_version.empty()) {
    forbid("resourceVersionMatch is forbidden unless resourceVersion is provided");
  }
  if (!match.empty()) {
    if (out.watch && !known)
      errors.push_back({FieldError::Type::not_supported, "resourceVersionMatch", go_quote(match), "supported values: \"NotOlderThan\""});
    if (!out.continue_token.empty()) forbid("resourceVersionMatch is forbidden when continue is provided");
    if (!out.watch && !known)
      errors.push_back({FieldError::Type::not_supported, "resourceVersionMatch", go_quote(match),
                        "supported values: \"Exact\", \"NotOlderThan\", \"\""});
    if (!out.watch && match == "Exact" && out.resource_version == "0")
      forbid("resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
  }
  if (out.has_send_initial_events && !out.watch)
    errors.push_back({FieldError::Type::forbidden, "sendInitialEvents", "", "sendInitialEvents is forbidden for list"});
  if (!errors.empty()) return fail(invalid("meta.k8s.io", "ListOptions", "", errors));
  return {};
}

}  // namespace

ApiResult<ListOptions> read_list_options(const Served& served, const Query& query) {
  ListOptions out;
  auto labels = LabelSelector::parse(query.get("labelSelector"));
  if (!labels) return fail(bad_request(labels.error().message));
  out.labels = std::move(*labels);
  auto fields = FieldSelector::parse(query.get("fieldSelector"));
  if (!fields) return fail(bad_request(fields.error().message));
  out.fields = std::move(*fields);
  std::vector<std::string> names;
  for (const FieldTerm& term : out.fields.terms()) names.push_back(term.field);
  if (auto ok = check_field_names(served, names); !ok) return fail(std::move(ok.error()));
  auto number = [&](std::string_view name, std::int64_t& into) -> ApiResult<void> {
    if (!query.has(name)) return {};
    std::string text = query.get(name);
    auto value = parse_int(text);
    if (!value) return fail(bad_request(fmt::format("strconv.ParseInt: parsing {}: invalid syntax", go_quote(text))));
    into = *value;
    return {};
  };
  if (auto ok = number("limit", out.limit); !ok) return fail(std::move(ok.error()));
  out.limit = std::max<std::int64_t>(out.limit, 0);
  if (auto ok = number("timeoutSeconds", out.timeout_seconds); !ok) return fail(std::move(ok.error()));
  out.continue_token = query.get("continue");
  out.resource_version = query.get("resourceVersion");
  out.resource_version_match = query.get("resourceVersionMatch");
  out.watch = query.flag("watch");
  out.bookmarks = query.flag("allowWatchBookmarks");
  out.has_send_initial_events = query.has("sendInitialEvents");
  out.send_initial_events = query.flag("sendInitialEvents");
  if (auto ok = check_matches(out); !ok) return fail(std::move(ok.error()));
  return out;
}

namespace {

// One predicate for labels and fields; empty when everything matches.
std::function<bool(Value)> predicate(const Registry& registry, const ServedRef& served, const ListOptions& options, std::string_view name) {
  bool by_field = !options.fields.empty(), by_label = !options.labels.empty();
  if (!by_field && !by_label && name.empty()) return {};
  // Names are the same in all versions.
  const bool converts = std::ranges::any_of(options.fields.terms(), [](const FieldTerm& t) { return !t.field.starts_with("metadata."); });
  return [&registry, served, labels = options.labels, fields = options.fields, by_field, by_label, converts,
          name = std::string(name)](Value stored) {
    Document held;
    Value object = stored;
    if (served->from_stored && converts) {
      held = registry.in_served_form(*served, stored);
      object = held.root();
      // Nothing is left out because of it: whoever converts what matches fails with it.
      if (served->custom && served->custom->converts() && conversion_failure(object)) return true;
    }
    if (!name.empty() && object["metadata"]["name"].as_string() != name) return false;
    if (by_label && !labels.matches(object["metadata"]["labels"])) return false;
    if (!by_field) return true;
    SelectableFields selectable = selectable_fields(*served);
    return fields.matches([&](std::string_view field) { return selectable.get(object, field); });
  };
}

std::string scope_prefix(const Served& served, std::string_view ns) {
  return served.namespaced() && !ns.empty() ? served.prefix + std::string(ns) + "/" : served.prefix;
}

Status too_large_version(store::Revision asked, store::Revision ours) {
  Status status = timeout(fmt::format("Too large resource version: {}, current: {}", asked, ours), 1);
  status.causes = {{"ResourceVersionTooLarge", "Too large resource version", ""}};
  return status;
}

}  // namespace

ApiResult<void> Registry::check_revision(std::string_view version) const {
  auto asked = read_revision(version);
  if (!asked) return fail(std::move(asked.error()));
  if (*asked > store_.revision()) return fail(too_large_version(*asked, store_.revision()));
  return {};
}

ApiResult<Listing> Registry::list(Work& work, const ListOptions& options) {
  const Served& served = *work.served;
  Listing out;
  out.served = work.served;
  out.prefix = scope_prefix(served, work.ns);
  out.limit = options.limit;
  out.selective = !options.labels.empty() || !options.fields.empty();
  out.matches = predicate(*this, work.served, options, work.name);
  if (!options.continue_token.empty()) {
    auto token = decode_continue(options.continue_token);
    if (!token) return fail(std::move(token.error()));
    if (!options.resource_version.empty() && options.resource_version != "0")
      return fail(bad_request("specifying resource version is not allowed when using continue"));
    out.after = out.prefix + token->start;
    if (token->revision > 0) {
      auto snapshot = store_.snapshot_at(token->revision, out.prefix);
      if (!snapshot) {
        Status status = gone(
            "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue "
            "parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided "
            "token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was "
            "returned and now may show up in the list.");
        status.code = 410;
        return fail(std::move(status));
      }
      out.snapshot = *snapshot;
    } else {
      out.snapshot = store_.snapshot();
    }
    out.resource_version = std::to_string(out.snapshot.revision());
    return out;
  }
  store::Revision asked = 0;
  if (!options.resource_version.empty()) {
    auto revision = read_revision(options.resource_version);
    if (!revision) return fail(std::move(revision.error()));
    asked = *revision;
  }
  // What any state may answer upstream's cache answers whole, whatever limit was asked for; it has no cache of events.
  if (asked == 0 && !options.resource_version.empty() && served.plural() != "events") out.limit = 0;
  bool exact = options.resource_version_match == "Exact" || (options.resource_version_match.empty() && options.limit > 0 && asked > 0);
  if (asked > store_.revision()) return fail(too_large_version(asked, store_.revision()));
  if (exact) {
    auto snapshot = store_.snapshot_at(asked, out.prefix);
    if (!snapshot) return fail(gone("The resourceVersion for the provided list is too old."));
    out.snapshot = *snapshot;
    out.resource_version = std::to_string(asked);
  } else {
    out.snapshot = store_.snapshot();
    out.resource_version = std::to_string(out.snapshot.revision());
  }
  // One name by field selector is one look-up, not a scan.
  return out;
}

// Some entries at once: the way down the tree is gone once for all of them, and their memory comes while others are worked on.
bool Listing::look_ahead() {
  constexpr std::int64_t most = 32;
  ahead_.clear();
  taken_ = 0;
  if (ended_) return false;
  auto wanted = static_cast<std::size_t>(limit == 0 || matches ? most : std::min(most, limit - given_));
  std::string start;
  if (after > prefix) start = after + '\0';
  ahead_.reserve(wanted);
  snapshot.scan(prefix, start, [&](const store::EntryPtr& entry) {
    ahead_.push_back(entry);
    prefetch_head(entry->value.root());
    return ahead_.size() < wanted;
  });
  ended_ = ahead_.size() < wanted;
  return !ahead_.empty();
}

store::EntryPtr Listing::next_entry() {
  while (limit == 0 || given_ < limit) {
    if (taken_ == ahead_.size() && !look_ahead()) return {};
    store::EntryPtr entry = std::move(ahead_[taken_++]);
    if (taken_ < ahead_.size()) kybern::prefetch(ahead_[taken_]->value.root());
    after = entry->key;
    if (matches && !matches(entry->value.root())) continue;
    ++given_;
    return entry;
  }
  return {};
}

Document Listing::next() {
  if (prefetched_) {
    if (fetched_.empty()) return {};
    Document object = std::move(fetched_.back());
    fetched_.pop_back();
    return object;
  }
  store::EntryPtr entry = next_entry();
  if (!entry) return {};
  if (unconverted && served->custom && served->custom->converts()) return served->custom->renamed(entry->value.root());
  return served->from_stored ? served->from_stored(entry->value.root()) : entry->value;
}

ApiResult<void> Listing::prefetch() {
  if (!served->custom || !served->custom->converts()) return {};
  std::vector<Document> stored;
  while (store::EntryPtr entry = next_entry()) stored.push_back(entry->value);
  std::vector<Value> values(stored.begin(), stored.end());
  auto converted = served->custom->from_stored(values);
  if (!converted) return fail(std::move(converted.error()));
  prefetched_ = true;
  fetched_ = std::move(*converted);
  std::ranges::reverse(fetched_);
  return {};
}

void Listing::sort(bool (*first)(Value, Value)) {
  std::vector<Document> page;
  while (Document object = next()) page.push_back(std::move(object));
  std::ranges::stable_sort(page, [first](const Document& a, const Document& b) { return first(b, a); });
  prefetched_ = true;
  fetched_ = std::move(page);  // last first
}

std::string Listing::continue_token() {
  if (limit == 0 || given_ < limit) return {};
  // Something that matches must be left, or the page was the last one.
  std::string at = after;
  while (store::EntryPtr entry = snapshot.next(prefix, at)) {
    at = entry->key;
    if (!matches || matches(entry->value.root()))
      return encode_continue(snapshot.revision(), std::string_view(after).substr(prefix.size()));
  }
  return {};
}

std::optional<std::int64_t> Listing::remaining() {
  if (selective || limit == 0) return std::nullopt;
  auto left = static_cast<std::int64_t>(snapshot.count_after(prefix, after));
  if (left == 0) return std::nullopt;
  return left;
}

ApiResult<WatchPlan> Registry::watch(Work& work, const ListOptions& options) {
  const Served& served = *work.served;
  WatchPlan plan;
  plan.prefix = scope_prefix(served, work.ns);
  plan.matches = predicate(*this, work.served, options, work.name);
  const std::string& version = options.resource_version;
  store::Revision asked = 0;
  if (!version.empty()) {
    auto revision = read_revision(version);
    if (!revision) return fail(std::move(revision.error()));
    asked = *revision;
  }
  const bool initial = options.has_send_initial_events ? options.send_initial_events : asked == 0;
  if (initial) {
    // Only what is told first must be as new as was asked for; a plain watch waits for what comes after that version.
    if (asked > store_.revision()) return fail(too_large_version(asked, store_.revision()));
    Listing listing;
    listing.served = work.served;
    listing.prefix = plan.prefix;
    listing.matches = plan.matches;
    listing.snapshot = store_.snapshot();
    plan.after = listing.snapshot.revision();
    plan.initial = std::move(listing);
    plan.initial_bookmark = options.has_send_initial_events && options.bookmarks;  // only with the objects that it ends
  } else {
    plan.after = asked > 0 ? asked : store_.revision();
  }
  return plan;
}

Document Registry::read(std::string_view group, std::string_view version, std::string_view plural, std::string_view ns,
                        std::string_view name) const {
  const ServedRef served = catalog_.find(group, version, plural);
  if (!served) return {};
  auto entry = store_.snapshot().get(served->key(ns, name));
  return entry ? in_served_form(*served, entry->value.root()) : Document();
}

void Registry::each(std::string_view group, std::string_view version, std::string_view plural, std::string_view ns,
                    const std::function<bool(Value)>& visit) const {
  const ServedRef served = catalog_.find(group, version, plural);
  if (!served) return;
  store_.snapshot().scan(scope_prefix(*served, ns), "", [&](const store::EntryPtr& entry) {
    if (!served->from_stored) return visit(entry->value.root());
    return visit(served->from_stored(entry->value.root()).root());
  });
}

}  // namespace kybern::apiserver
