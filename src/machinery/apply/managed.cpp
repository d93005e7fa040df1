#include "machinery/apply/managed.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "base/strings.h"
#include "document/names.h"

namespace kybern::apply {
namespace {

// Entries are told apart by a text upstream; where only an order is needed, this is it.
auto identity(const Manager& m) { return std::tie(m.name, m.api_version, m.subresource); }

}  // namespace

std::string Manager::printed() const {
  std::string out = go_quote(name);
  if (!subresource.empty()) out += fmt::format(" with subresource {}", go_quote(subresource));
  if (!applies) out += fmt::format(" using {}", api_version);
  return out;
}

bool Managed::is_reset(Value entries) {
  if (!entries.is_array()) return false;
  return entries.empty() || (entries.size() == 1 && entries[0].is_object() && entries[0].empty());
}

Result<void> Managed::read(Value list, bool trusted) {
  entries.reserve(list.size() + 1);
  for (std::size_t i = 0; i < list.size(); ++i) {
    Value from = list[i];
    std::string_view operation = from[names::operation].as_string();
    if (operation != "Apply" && operation != "Update") return fail(Code::invalid, "operation must be `Apply` or `Update`");
    Manager entry{from[names::manager].str(),
                  operation == "Apply",
                  from[names::apiVersion].str(),
                  from[names::subresource].str(),
                  from[names::time].str(),
                  from[names::fieldsV1],
                  {}};
    if (entry.api_version.empty()) return fail(Code::invalid, "apiVersion must not be empty");
    std::string_view type = from[names::fieldsType].as_string();
    if (type.empty()) return fail(Code::invalid, fmt::format("missing fieldsType in managed fields entry {}", i));
    if (type != "FieldsV1") return fail(Code::invalid, fmt::format("invalid fieldsType {} in managed fields entry {}", go_quote(type), i));
    if (!trusted) {
      auto set = parse_fields_v1(entry.stored, texts_, false);
      if (!set) return fail(Code::invalid, fmt::format("error decoding set: {}", set.error().message));
      entry.decoded = std::move(*set);
    }
    if (Manager* there = find(entry)) *there = std::move(entry);
    else entries.push_back(std::move(entry));
  }
  return {};
}

Manager* Managed::find(const Manager& id) {
  for (Manager& entry : entries)
    if (entry.is(id)) return &entry;
  return nullptr;
}

FieldSet& Managed::fields(Manager& entry) {
  if (!entry.decoded) {
    auto set = parse_fields_v1(entry.stored, texts_, true);
    entry.decoded = set ? std::move(*set) : FieldSet();
  }
  return *entry.decoded;
}

void Managed::drop_empty() {
  std::erase_if(entries, [](const Manager& entry) { return entry.decoded && entry.decoded->empty(); });
}

void Managed::cap() {
  std::size_t updates = 0;
  for (const Manager& entry : entries) updates += !entry.applies;
  if (updates <= update_managers_max) return;
  std::vector<Manager> oldest;
  for (Manager& entry : entries)
    if (!entry.applies) oldest.push_back(std::move(entry));
  std::erase_if(entries, [](const Manager& entry) { return !entry.applies; });
  std::sort(oldest.begin(), oldest.end(),
            [](const Manager& a, const Manager& b) { return a.time != b.time ? a.time < b.time : identity(a) < identity(b); });
  // The first of each version waits for a second one to be merged with.
  std::vector<Manager> firsts;
  for (Manager& entry : oldest) {
    auto same_version = [&](const Manager& other) { return other.api_version == entry.api_version; };
    auto first = std::find_if(firsts.begin(), firsts.end(), same_version);
    if (updates <= update_managers_max) {
      entries.push_back(std::move(entry));
    } else if (first == firsts.end()) {
      firsts.push_back(std::move(entry));
    } else {
      FieldSet both = unite(fields(*first), fields(entry));
      *first = Manager{std::string(ancient_changes), false, entry.api_version, "", entry.time, {}, std::move(both)};
      --updates;
    }
  }
  for (Manager& entry : firsts) {
    // A bucket from before takes the new one in.
    if (Manager* there = find(entry)) {
      there->decoded = unite(fields(*there), fields(entry));
      there->time = std::max(there->time, entry.time);
    } else {
      entries.push_back(std::move(entry));
    }
  }
}

Document Managed::document() const {
  if (entries.empty()) return {};
  std::vector<const Manager*> order;
  for (const Manager& entry : entries) order.push_back(&entry);
  std::stable_sort(order.begin(), order.end(), [](const Manager* a, const Manager* b) {
    if (a->applies != b->applies) return a->applies;
    if (a->time != b->time) return a->time < b->time;
    return identity(*a) < identity(*b);
  });
  BlockWriter out(1024);
  out.begin_array();
  for (const Manager* entry : order) {
    out.begin_object();
    auto text = [&](Name name, std::string_view value) {
      if (value.empty()) return;
      out.key(name);
      out.string(value);
    };
    text(names::manager, entry->name);
    text(names::operation, entry->applies ? "Apply" : "Update");
    text(names::apiVersion, entry->api_version);
    text(names::time, entry->time);
    text(names::fieldsType, "FieldsV1");
    out.key(names::fieldsV1);
    if (entry->decoded) {
      write_fields_v1(*entry->decoded, out);
    } else if (entry->stored.is_object()) {
      out.copy(entry->stored);
    } else {
      out.begin_object();
      out.end_object();
    }
    text(names::subresource, entry->subresource);
    out.end_object();
  }
  out.end_array();
  return out.finish();
}

bool same_but_times(Value a, Value b) {
  if (a.size() != b.size()) return false;
  auto equal = [](Value x, Value y) {
    for (Name field : {names::manager, names::operation, names::apiVersion, names::subresource})
      if (x[field].as_string() != y[field].as_string()) return false;
    return x[names::fieldsV1] == y[names::fieldsV1];
  };
  // Another time may put an entry at another place.
  for (Value x : a.items()) {
    bool found = false;
    for (Value y : b.items()) found = found || equal(x, y);
    if (!found) return false;
  }
  return true;
}

}  // namespace kybern::apply
