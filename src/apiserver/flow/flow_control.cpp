#include "apiserver/flow/flow_control.h"

#include <algorithm>

#include "apiserver/flow/width.h"
#include "base/log.h"
#include "base/strings.h"

namespace kybern::apiserver {
namespace {

constexpr std::string_view schema_prefix = "/flowcontrol.apiserver.k8s.io/flowschemas/",
                           level_prefix = "/flowcontrol.apiserver.k8s.io/prioritylevelconfigurations/";
constexpr std::size_t changes_per_take = 256;

metrics::CounterFamily dispatched("apiserver_flowcontrol_dispatched_requests_total",
                                  "Number of requests executed by API Priority and Fairness.", {"priority_level", "flow_schema"});
metrics::CounterFamily rejected("apiserver_flowcontrol_rejected_requests_total",
                                "Number of requests rejected by API Priority and Fairness.", {"priority_level", "flow_schema", "reason"});
metrics::HistogramFamily waited("apiserver_flowcontrol_request_wait_duration_seconds",
                                "Length of time a request spent waiting in its queue.",
                                {0, 0.005, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30}, {"priority_level", "flow_schema", "execute"});

bool holds(Value list, std::string_view text) {
  for (Value v : list.items())
    if (v.as_string() == "*" || v.as_string() == text) return true;
  return false;
}

bool is_subject(Value subject, const User& user) {
  std::string_view kind = subject["kind"].as_string();
  if (kind == "User") {
    std::string_view name = subject["user"]["name"].as_string();
    return name == "*" || name == user.name;
  }
  if (kind == "Group") {
    std::string_view name = subject["group"]["name"].as_string();
    return name == "*" || user.in_group(name);
  }
  constexpr std::string_view prefix = "system:serviceaccount:";
  if (kind != "ServiceAccount" || !user.name.starts_with(prefix)) return false;
  auto parts = split(std::string_view(user.name).substr(prefix.size()), ':');
  if (parts.size() != 2 || parts[0] != subject["serviceAccount"]["namespace"].as_string()) return false;
  std::string_view name = subject["serviceAccount"]["name"].as_string();
  return name == "*" || name == parts[1];
}

bool covers_resource(Value rule, const RequestInfo& info) {
  if (!holds(rule["verbs"], info.verb) || !holds(rule["apiGroups"], info.group)) return false;
  std::string whole = info.subresource.empty() ? info.resource : info.resource + "/" + info.subresource;
  if (!holds(rule["resources"], whole)) return false;
  if (info.ns.empty() || (info.resource == "namespaces" && info.group.empty())) return rule["clusterScope"].as_bool();
  return holds(rule["namespaces"], info.ns);
}

bool covers_path(Value rule, const RequestInfo& info) {
  if (!holds(rule["verbs"], info.verb)) return false;
  for (Value v : rule["nonResourceURLs"].items()) {
    std::string_view path = v.as_string();
    if (path == "*" || path == info.path) return true;
    if (path.ends_with("/*") && std::string_view(info.path).starts_with(path.substr(0, path.size() - 1))) return true;
  }
  return false;
}

bool matches(Value schema, const User& user, const RequestInfo& info) {
  for (Value rule : schema["spec"]["rules"].items()) {
    bool subject = false;
    for (Value s : rule["subjects"].items()) subject = subject || is_subject(s, user);
    if (!subject) continue;
    for (Value r : rule[info.is_resource ? "resourceRules" : "nonResourceRules"].items())
      if (info.is_resource ? covers_resource(r, info) : covers_path(r, info)) return true;
  }
  return false;
}

std::string_view told_apart_by(std::string_view method, const Asker& asker) {
  if (method == "ByUser") return asker.user.name;
  if (method == "ByNamespace") return asker.info.ns;
  return {};
}

LevelSettings settings_of(Value level) {
  LevelSettings out;
  out.name = level["metadata"]["name"].str();
  out.uid = level["metadata"]["uid"].str();
  Value spec = level["spec"];
  out.exempt = spec["type"].as_string() == "Exempt";
  Value limits = spec[out.exempt ? "exempt" : "limited"];
  out.shares = static_cast<int>(limits["nominalConcurrencyShares"].as_int(out.exempt ? 0 : 30));
  out.lendable_percent = static_cast<int>(limits["lendablePercent"].as_int());
  out.borrowing_limit_percent = static_cast<int>(limits["borrowingLimitPercent"].as_int(-1));
  Value response = limits["limitResponse"];
  out.queues_requests = response["type"].as_string() == "Queue";
  Value queuing = response["queuing"];
  out.queues = static_cast<int>(queuing["queues"].as_int(64));
  out.hand_size = static_cast<int>(queuing["handSize"].as_int(8));
  out.queue_length_limit = static_cast<int>(queuing["queueLengthLimit"].as_int(50));
  return out;
}

}  // namespace

struct FlowControl::Schema {
  Document object;
  std::int64_t precedence;
  std::string name, uid, distinguisher;
  std::shared_ptr<Level> level;
};

FlowControl::FlowControl(Registry& registry, int seats)
    : registry_(registry), levels_(std::make_shared<Levels>(seats)), collector_([this](std::string& out) { write_metrics(out); }) {
  store::Revision from = registry.store().revision();
  auto changed = [this] { stale_ = true; };
  if (auto watch = registry.store().watch(schema_prefix, from, changed)) schema_changes_ = std::move(*watch);
  if (auto watch = registry.store().watch(level_prefix, from, changed)) level_changes_ = std::move(*watch);
}
FlowControl::~FlowControl() = default;

void FlowControl::reload() {
  // Taking what changed arms the watches again; what it was does not matter.
  for (auto* watch : {&schema_changes_, &level_changes_}) {
    std::vector<store::ChangePtr> changes;
    do {
      changes.clear();
      if (*watch && !(*watch)->take(changes, changes_per_take)) {
        auto again = registry_.store().watch(watch == &schema_changes_ ? schema_prefix : level_prefix, registry_.store().revision(),
                                             [this] { stale_ = true; });
        *watch = again ? std::move(*again) : nullptr;
      }
    } while (changes.size() == changes_per_take);
  }
  std::vector<LevelSettings> settings;
  registry_.each(flow_group, "v1", "prioritylevelconfigurations", "", [&](Value level) {
    settings.push_back(settings_of(level));
    return true;
  });
  levels_->configure(settings);
  auto schemas = std::make_shared<std::vector<Schema>>();
  registry_.each(flow_group, "v1", "flowschemas", "", [&](Value schema) {
    auto level = levels_->find(schema["spec"]["priorityLevelConfiguration"]["name"].as_string());
    if (!level) return true;  // dangling: it catches nothing
    schemas->push_back({schema.document(), schema["spec"]["matchingPrecedence"].as_int(1000), schema["metadata"]["name"].str(),
                        schema["metadata"]["uid"].str(), schema["spec"]["distinguisherMethod"]["type"].str(), std::move(level)});
    return true;
  });
  std::sort(schemas->begin(), schemas->end(),
            [](const Schema& a, const Schema& b) { return a.precedence != b.precedence ? a.precedence < b.precedence : a.name < b.name; });
  schemas_ = std::move(schemas);
}

FlowControl::Schemas FlowControl::schemas() {
  std::lock_guard lock(mutex_);
  if (stale_.exchange(false)) reload();
  return schemas_;
}

Flow FlowControl::classify(const User& user, const RequestInfo& info) {
  Flow flow;
  Schemas all = schemas();
  flow.schemas = all;
  for (const Schema& schema : *all) {
    if (!matches(schema.object.root(), user, info)) continue;
    flow.schema = schema.name;
    flow.schema_uid = schema.uid;
    flow.seat.level = schema.level;
    flow.distinguisher = schema.distinguisher;
    std::string_view apart = told_apart_by(schema.distinguisher, {user, info});
    flow.hash = std::hash<std::string_view>()(schema.name) * 0x9e3779b97f4a7c15u ^ std::hash<std::string_view>()(apart);
    break;
  }
  return flow;
}

void FlowControl::measure(Flow& flow, const RequestInfo& info, const Query& query) const {
  if (!flow.seat.level || flow.seat.level->exempt() || !info.is_resource) return;
  const bool reads = info.verb == "list" || (info.verb == "watch" && query.flag("sendInitialEvents"));
  if (!reads && (info.verb == "get" || info.verb == "watch")) return;
  const auto served = registry_.catalog().find(info.group, info.version, info.resource);
  if (!served) return;
  const int most = flow.seat.level->max_width();
  Width width;
  if (reads) {
    if (!info.selected_name.empty() || !info.name.empty()) return;
    store::Snapshot snapshot = registry_.store().snapshot();
    const std::string prefix = served->namespaced() && !info.ns.empty() ? served->prefix + info.ns + "/" : served->prefix;
    const auto count = static_cast<std::int64_t>(snapshot.count(prefix));
    auto first = snapshot.next(prefix, "");  // the others are hardly larger
    const std::int64_t bytes = first ? static_cast<std::int64_t>(first->value.memory()) : 0;
    width = width_of_list(count, bytes, parse_int(query.get("limit")).value_or(0), most);
  } else {
    // Nobody hears of a token; leases are written all the time by those whose life hangs on it.
    if (info.group == "coordination.k8s.io" && info.resource == "leases") return;
    if (info.resource == "serviceaccounts" && info.subresource == "token") return;
    width = width_of_write(watchers(served->prefix), most);
  }
  flow.seat.width = width.seats;
  flow.seat.afterwards = width.afterwards;
}

Levels::Entry FlowControl::enter(Flow& flow, const Asker& asker, const std::function<Later()>& make_later) {
  World world = registry_.world();
  std::shared_ptr<Waiter> queued;
  auto make_waiter = [&] {
    Instant begun = world.clock.steady();
    queued = std::make_shared<Waiter>();
    const RequestInfo& info = asker.info;
    queued->schema = flow.schema;
    queued->distinguisher = told_apart_by(flow.distinguisher, asker);
    queued->arrived = world.clock.now();
    queued->details = {asker.user.name, info.verb, info.path, info.ns, info.name, info.group_version(), info.resource, info.subresource};
    queued->go = [later = make_later(), begun, world, waiter = std::weak_ptr(queued), level = flow.seat.level->name(),
                  schema = flow.schema](bool turn) {
      waited.with({level, schema, turn ? "true" : "false"}).observe(std::chrono::duration<double>(world.clock.steady() - begun).count());
      if (turn) dispatched.with({level, schema}).add();
      else rejected.with({level, schema, "time-out"}).add();
      auto self = waiter.lock();  // whoever calls this holds it
      later(turn && self ? std::optional(self->seat) : std::nullopt);
    };
    return queued;
  };
  Levels::Entry entry = levels_->enter(flow.seat, flow.hash, std::ref(make_waiter));
  const std::string& level = flow.seat.level->name();
  if (entry == Levels::Entry::go) dispatched.with({level, flow.schema}).add();
  if (entry == Levels::Entry::refused) rejected.with({level, flow.schema, flow.seat.queue < 0 ? "concurrency-limit" : "queue-full"}).add();
  if (entry == Levels::Entry::queued) {
    std::weak_ptr<Waiter> weak = queued;
    world.executor.post_after(longest_wait, [levels = levels_, weak] {
      if (auto waiter = weak.lock()) levels->give_up(waiter);  // gone: its turn came long ago
    });
  }
  return entry;
}

bool FlowControl::enter_now(const Flow& flow) {
  if (!levels_->enter_now(flow.seat)) return false;
  dispatched.with({flow.seat.level->name(), flow.schema}).add();
  return true;
}

int FlowControl::retry_after(const Flow& flow) {
  const auto now = std::chrono::floor<std::chrono::seconds>(registry_.world().clock.now());
  return retry_after_.refused(flow.seat.level->name(), now.time_since_epoch().count());
}

std::shared_ptr<const void> FlowControl::count_watch(const std::string& prefix) {
  {
    std::lock_guard lock(watch_counts_->mutex);
    ++watch_counts_->by_prefix[prefix];
  }
  return std::shared_ptr<const void>(static_cast<const void*>(nullptr), [counts = watch_counts_, prefix](const void*) {
    std::lock_guard lock(counts->mutex);
    auto at = counts->by_prefix.find(prefix);
    if (--at->second == 0) counts->by_prefix.erase(at);
  });
}

int FlowControl::watchers(const std::string& prefix) const {
  std::lock_guard lock(watch_counts_->mutex);
  auto at = watch_counts_->by_prefix.find(prefix);
  return at == watch_counts_->by_prefix.end() ? 0 : at->second;
}

void FlowControl::write_metrics(std::string& out) const {
  std::string executing, waiting;
  metrics::write_header(out, "apiserver_flowcontrol_nominal_limit_seats",
                        "Nominal number of execution seats configured for each priority level.", metrics::Type::gauge);
  metrics::write_header(executing, "apiserver_flowcontrol_current_executing_seats",
                        "Concurrency (number of seats) occupied by the currently executing requests.", metrics::Type::gauge);
  metrics::write_header(waiting, "apiserver_flowcontrol_current_inqueue_seats", "Number of seats that the waiting requests will take.",
                        metrics::Type::gauge);
  for (const Levels::Seen& level : levels_->look()) {
    metrics::write_sample(out, "apiserver_flowcontrol_nominal_limit_seats", {{"priority_level", level.name}}, level.nominal);
    metrics::write_sample(executing, "apiserver_flowcontrol_current_executing_seats", {{"priority_level", level.name}},
                          level.executing_seats);
    metrics::write_sample(waiting, "apiserver_flowcontrol_current_inqueue_seats", {{"priority_level", level.name}}, level.waiting_seats);
  }
  out += executing + waiting;
}

}  // namespace kybern::apiserver
