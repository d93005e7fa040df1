#include "proxy/rules/ruleset.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>

#include "base/strings.h"
#include "proxy/rules/elements.h"

namespace kybern::proxy {
namespace {

constexpr std::size_t line_elements = 1000;  // of one add or delete command

// Elements by family and set, in the order in which commands are written.
using Grouped = std::map<std::pair<bool, SetId>, std::vector<const Element*>>;

void write_commands(std::string_view verb, bool with_values, const std::vector<Element>& elements, std::string& out) {
  Grouped groups;
  for (const Element& element : elements) groups[{element.v6, element.set}].push_back(&element);
  for (const auto& [where, group] : groups) {
    for (std::size_t i = 0; i < group.size(); ++i) {
      if (i % line_elements == 0) {
        fmt::format_to(std::back_inserter(out), "{}{} element {} kybern {} {{ ", i == 0 ? "" : " }\n", verb, where.first ? "ip6" : "ip",
                       set_name(where.second));
      } else {
        out += ", ";
      }
      out += group[i]->key;
      if (with_values && !group[i]->value.empty()) {
        out += " : ";
        out += group[i]->value;
      }
    }
    out += " }\n";
  }
}

struct SharedKey {
  SetId set;
  bool v6;
  std::string key;
  friend auto operator<=>(const SharedKey&, const SharedKey&) = default;
};

bool lost_a_target(const Frontend& before, const Frontend* now) {
  for (const Targets* targets : {&before.inside, &before.outside}) {
    for (const Target& target : **targets) {
      if (now == nullptr || !now->reaches(target.ip, target.port)) return true;
    }
  }
  return false;
}

bool has_targets(const Frontend* frontend) { return frontend != nullptr && !(frontend->inside->empty() && frontend->outside->empty()); }

}  // namespace

struct Ruleset::State {
  struct Claim {
    std::string service;
    Frontend frontend;
  };

  NodeInfo node;
  std::unordered_map<std::string, std::vector<FrontendKey>> services;
  std::map<FrontendKey, std::vector<Claim>> frontends;     // claims by name of service; the first one holds
  std::map<FrontendKey, std::optional<Frontend>> touched;  // as the kernel knows them, for those set since
  std::map<SharedKey, std::size_t> shared;                 // how many frontends in the kernel have it
  std::set<std::pair<bool, std::string>> objects;          // in the kernel
  Chains chains;                                           // in the kernel

  const Frontend* find(const FrontendKey& key) const {
    auto found = frontends.find(key);
    return found == frontends.end() ? nullptr : &found->second.front().frontend;
  }

  void touch(const FrontendKey& key) {
    if (touched.contains(key)) return;
    const Frontend* now = find(key);
    touched.emplace(key, now == nullptr ? std::nullopt : std::optional<Frontend>(*now));
  }

  void put(const std::string& service, const FrontendKey& key, Frontend frontend) {
    touch(key);
    std::vector<Claim>& claims = frontends[key];
    auto place = std::ranges::lower_bound(claims, service, {}, &Claim::service);
    if (place != claims.end() && place->service == service) place->frontend = std::move(frontend);
    else claims.insert(place, {service, std::move(frontend)});
  }

  void remove(const std::string& service, const FrontendKey& key) {
    auto found = frontends.find(key);
    if (found == frontends.end()) return;
    touch(key);
    std::erase_if(found->second, [&](const Claim& claim) { return claim.service == service; });
    if (found->second.empty()) frontends.erase(found);
  }

  bool holds(const std::string& service, const FrontendKey& key, const Frontend& frontend) const {
    auto found = frontends.find(key);
    if (found == frontends.end()) return false;
    auto place = std::ranges::lower_bound(found->second, service, {}, &Claim::service);
    return place != found->second.end() && place->service == service && place->frontend == frontend;
  }

  void make_objects(const FrontendKey& key, const Frontend& frontend, std::string& out) {
    std::vector<Object> wanted;
    objects_of(key, frontend, wanted);
    for (Object& object : wanted) {
      if (objects.emplace(object.v6, std::move(object.name)).second) out += object.commands;
    }
  }

  // Whether the frontends touched can be served by the chains that are in the kernel.
  bool fits() const {
    Chains wanted = chains;
    for (const auto& [key, before] : touched) {
      if (const Frontend* now = find(key)) need_chains(key, *now, wanted);
    }
    return wanted == chains && objects.size() <= max_spare_objects;
  }

  // The counts of shared elements move by `step`; those that come or go are noted with their change.
  void count_shared(const FrontendKey& key, const Frontend& frontend, int step, std::map<SharedKey, int>& moved) {
    std::vector<Element> elements;
    shared_elements_of(key, frontend, elements);
    for (Element& element : elements) {
      SharedKey shared_key{element.set, element.v6, std::move(element.key)};
      auto place = shared.try_emplace(shared_key, 0).first;
      const bool was = place->second != 0;
      place->second += static_cast<std::size_t>(step);
      const bool is = place->second != 0;
      if (was != is) moved[shared_key] += is ? 1 : -1;
      if (!is) shared.erase(place);
    }
  }
};

Ruleset::Ruleset(NodeInfo node) : state_(std::make_unique<State>()) { state_->node = std::move(node); }
Ruleset::~Ruleset() = default;
Ruleset::Ruleset(Ruleset&&) noexcept = default;

void Ruleset::set_service(const std::string& service, ServiceRules rules) {
  State& state = *state_;
  std::vector<FrontendKey> keys;
  keys.reserve(rules.frontends.size());
  for (const auto& [key, frontend] : rules.frontends) keys.push_back(key);
  std::ranges::sort(keys);
  if (auto before = state.services.find(service); before != state.services.end()) {
    for (const FrontendKey& key : before->second) {
      if (!std::ranges::binary_search(keys, key)) state.remove(service, key);
    }
  }
  for (auto& [key, frontend] : rules.frontends) {
    if (!state.holds(service, key, frontend)) state.put(service, key, std::move(frontend));
  }
  if (keys.empty()) state.services.erase(service);
  else state.services[service] = std::move(keys);
}

Transaction Ruleset::full() {
  State& state = *state_;
  Transaction out;
  out.full = true;
  state.chains = Chains();
  for (const auto& [key, claims] : state.frontends) need_chains(key, claims.front().frontend, state.chains);
  out.script = tables(state.node, state.chains);
  state.touched.clear();
  state.shared.clear();
  state.objects.clear();
  std::vector<Element> elements;
  std::map<SharedKey, int> ignored;
  std::string* part = &out.script;
  for (const auto& [key, claims] : state.frontends) {
    const Frontend& frontend = claims.front().frontend;
    state.make_objects(key, frontend, *part);
    state.count_shared(key, frontend, 1, ignored);
    elements_of(key, frontend, elements);
    if (key.protocol == Protocol::udp) out.stale_udp.push_back(key);
    if (elements.size() >= part_elements) {
      write_commands("add", true, elements, *part);
      elements.clear();
      part = &out.more.emplace_back();
    }
  }
  for (const auto& [key, count] : state.shared) elements.push_back({key.set, key.v6, key.key, {}});
  write_commands("add", true, elements, *part);
  if (!out.more.empty() && out.more.back().empty()) out.more.pop_back();
  return out;
}

Transaction Ruleset::changes() {
  State& state = *state_;
  if (!state.fits()) return full();
  Transaction out;
  std::vector<Element> gone, come;
  std::map<SharedKey, int> moved;
  for (const auto& [key, before] : state.touched) {
    const Frontend* now = state.find(key);
    if (before ? now != nullptr && *before == *now : now == nullptr) continue;
    std::vector<Element> old_elements, new_elements;
    if (now != nullptr) {
      state.make_objects(key, *now, out.script);
      elements_of(key, *now, new_elements);
      state.count_shared(key, *now, 1, moved);  // first, so that what stays never counts zero
    }
    if (before) {
      elements_of(key, *before, old_elements);
      state.count_shared(key, *before, -1, moved);
    }
    // Affinity that begins may find clients remembered by an earlier frontend with this key.
    const bool had_affinity = before && before->affinity_seconds > 0;
    const bool affinity_begins = !had_affinity && now != nullptr && now->affinity_seconds > 0;
    if (affinity_begins || (had_affinity && lost_a_target(*before, now))) out.stale_affinity.push_back(key);
    const bool first_targets = has_targets(now) && !has_targets(before ? &*before : nullptr);
    if (key.protocol == Protocol::udp && (first_targets || (before && lost_a_target(*before, now)))) out.stale_udp.push_back(key);
    std::ranges::sort(old_elements);
    std::ranges::sort(new_elements);
    std::ranges::set_difference(old_elements, new_elements, std::back_inserter(gone));
    std::ranges::set_difference(new_elements, old_elements, std::back_inserter(come));
  }
  state.touched.clear();
  for (const auto& [key, change] : moved) {
    if (change < 0) gone.push_back({key.set, key.v6, key.key, {}});
    if (change > 0) come.push_back({key.set, key.v6, key.key, {}});
  }
  // Of an element whose value changes both are written: the old one goes before the new one comes.
  write_commands("delete", false, gone, out.script);
  write_commands("add", true, come, out.script);
  return out;
}

const Frontend* Ruleset::find(const FrontendKey& key) const { return state_->find(key); }
std::size_t Ruleset::services() const { return state_->services.size(); }
std::size_t Ruleset::frontends() const { return state_->frontends.size(); }

std::string Ruleset::affinity_map(const FrontendKey& key) {
  return key.ip.v6 ? "ip6 kybern address-" + affinity_name(key) : "ip kybern affinity";
}

// Elements are listed as "10.244.0.9 . 10.96.0.1 . tcp . 80 timeout 10s expires 4s : 10.244.0.5 . 8080" (IPv6: "fd00::9
// timeout 10s expires 4s : fd00::5"), separated by commas.
std::string Ruleset::forget_affinity(const FrontendKey& key, std::string_view listing) const {
  const Frontend* frontend = find(key);
  const std::size_t begin = listing.find("elements = {");
  if (begin == listing.npos) return {};
  listing.remove_prefix(begin + std::string_view("elements = {").size());
  listing = listing.substr(0, listing.find('}'));
  std::string wanted;
  append_key(key, wanted);
  std::string out;
  for (std::string_view entry : split(listing, ',')) {
    const std::size_t colon = entry.find(" : ");
    if (colon == entry.npos) continue;
    std::string_view left = trim(entry.substr(0, entry.find(" timeout ")));
    left = left.substr(0, left.find(" : "));
    const std::string_view right = trim(entry.substr(colon + 3));
    const std::optional<Address> ip = parse_address(right.substr(0, right.find(' ')));
    if (!ip) continue;
    if (!key.ip.v6) {
      const std::size_t dot = left.find(" . ");
      if (dot == left.npos || left.substr(dot + 3) != wanted) continue;
      const std::int64_t port = parse_int(right.substr(right.rfind(' ') + 1)).value_or(0);
      if (frontend != nullptr && frontend->affinity_seconds > 0 && frontend->reaches(*ip, static_cast<std::uint16_t>(port))) continue;
      out += fmt::format("delete element ip kybern affinity {{ {} }}\n", left);
    } else {
      auto has = [&](const Targets& targets) { return std::ranges::any_of(*targets, [&](const Target& t) { return t.ip == *ip; }); };
      if (frontend != nullptr && frontend->affinity_seconds > 0 && (has(frontend->inside) || has(frontend->outside))) continue;
      const std::string name = affinity_name(key);
      out += fmt::format("delete element ip6 kybern address-{0} {{ {1} }}\ndelete element ip6 kybern port-{0} {{ {1} }}\n", name, left);
    }
  }
  return out;
}

}  // namespace kybern::proxy
