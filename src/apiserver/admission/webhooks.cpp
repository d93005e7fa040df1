#include "apiserver/admission/webhooks.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <optional>

#include "apiserver/admission/review.h"
#include "apiserver/registry/versions.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/strings.h"
#include "document/json.h"
#include "machinery/cel/admission.h"
#include "machinery/patch/patch.h"

namespace kybern::apiserver::admission {
namespace {

constexpr std::string_view group = "admissionregistration.k8s.io";
constexpr std::string_view mutating_plural = "mutatingwebhookconfigurations", validating_plural = "validatingwebhookconfigurations";
constexpr std::string_view user_agent = "kube-apiserver-admission";
constexpr std::chrono::seconds request_limit(34);  // for all webhooks of one request, as upstream's requests have it
constexpr std::int64_t default_timeout_s = 10;
constexpr std::size_t changes_per_take = 256;
constexpr int retry_after_s = 1;

metrics::HistogramFamily seconds("apiserver_admission_webhook_admission_duration_seconds",
                                 "Admission webhook latency histogram in seconds, identified by name and broken out for each operation and "
                                 "API resource and type (validate or admit).",
                                 {0.005, 0.025, 0.1, 0.5, 1, 2.5, 10, 25}, {"name", "type", "operation", "rejected"});
metrics::CounterFamily requests("apiserver_admission_webhook_request_total",
                                "Admission webhook request total, identified by name and broken out by code, operation and type.",
                                {"name", "type", "operation", "code", "rejected"});
metrics::CounterFamily rejections("apiserver_admission_webhook_rejection_count",
                                  "Admission webhook rejection count, by name, type, operation, kind of error and code.",
                                  {"name", "type", "operation", "error_type", "rejection_code"});
metrics::CounterFamily fail_open("apiserver_admission_webhook_fail_open_count",
                                 "Admission webhook fail open count, identified by name and type.", {"name", "type"});
metrics::CounterFamily exclusions("apiserver_admission_match_condition_exclusions_total",
                                  "Admission match condition evaluation exclusions count.", {"name", "kind", "operation", "type"});

std::string printable(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < ' ' || c == 127) c = ' ';
  return text;
}

void add_warning(Work& work, std::string text) {
  if (!text.empty()) work.warn(printable(std::move(text)));
}

// The operations that a request with this verb may come to.
std::vector<std::string_view> operations_of(const Work& work) {
  if (work.verb == "create") return {"CREATE"};
  if (work.verb == "update" || work.verb == "patch") return {"UPDATE", "CREATE"};
  if (work.verb == "delete" || work.verb == "deletecollection") return {"DELETE"};
  return {};
}

}  // namespace

struct Webhooks::Hook {
  Document configuration;
  Value hook;  // in it
  std::string uid, name, configuration_name;
  std::size_t index = 0;  // among all, for audit annotations
  bool mutating = false;
  cel::MatchConditions conditions;
  std::shared_ptr<Gate> gate;

  bool ignores_failures() const { return hook["failurePolicy"].as_string() == "Ignore"; }
  bool equivalent() const { return hook["matchPolicy"].as_string() != "Exact"; }
  bool if_needed() const { return hook["reinvocationPolicy"].as_string() == "IfNeeded"; }
  std::string_view type() const { return mutating ? "admit" : "validating"; }
  MatchCriteria criteria() const {
    return {.rules = hook["rules"],
            .namespace_selector = hook["namespaceSelector"],
            .object_selector = hook["objectSelector"],
            .equivalent = equivalent()};
  }
};

// What one webhook is asked. The request is made before threads part, the rest is read only.
struct Webhooks::Call {
  const AdmissionAttributes& a;
  const Served* as;
  Draft request;  // AdmissionRequest, with its objects
  bool has_object;
  std::chrono::milliseconds limit;
};

struct Webhooks::Outcome {
  enum class Kind { allowed, denied, failed, refused } kind = Kind::allowed;  // failed: the failure policy decides
  Status status;                                                              // of denied and refused
  std::string failure;                                                        // of failed
  int code = 200;                                                             // for metrics
  bool timed_out = false;
  Document patch;
  std::vector<std::string> warnings;
  std::vector<std::pair<std::string, std::string>> annotations;
};

Webhooks::Webhooks(Registry& registry, HookClients& clients, WaitingRoom& room) : registry_(registry), clients_(clients), room_(room) {
  // What another server writes into the same store is told of here; this server's own writes also by changed().
  store::Revision from = registry.store().revision();
  auto changed = [this] { stale_ = true; };
  if (auto watch = registry.store().watch(fmt::format("/{}/{}/", group, mutating_plural), from, changed))
    mutating_changes_ = std::move(*watch);
  if (auto watch = registry.store().watch(fmt::format("/{}/{}/", group, validating_plural), from, changed))
    validating_changes_ = std::move(*watch);
}
Webhooks::~Webhooks() = default;

void Webhooks::reload() {
  for (auto [watch, plural] : {std::pair(&mutating_changes_, mutating_plural), std::pair(&validating_changes_, validating_plural)}) {
    std::vector<store::ChangePtr> changes;
    do {  // taking arms the watch again
      changes.clear();
      if (*watch && !(*watch)->take(changes, changes_per_take)) {
        auto again =
            registry_.store().watch(fmt::format("/{}/{}/", group, plural), registry_.store().revision(), [this] { stale_ = true; });
        *watch = again ? std::move(*again) : nullptr;
      }
    } while (changes.size() == changes_per_take);
  }
  auto set = std::make_shared<Set>();
  std::map<std::string, std::shared_ptr<Gate>> gates;
  auto read = [&](std::string_view plural, bool mutating, std::vector<std::shared_ptr<const Hook>>& into,
                  const std::vector<std::shared_ptr<const Hook>>* old) {
    registry_.each(group, "v1", plural, "", [&](Value configuration) {
      Document document = configuration.document();
      std::map<std::string_view, int> seen;  // of one name in a configuration, as stored before names had to differ
      for (Value one : document["webhooks"].items()) {
        std::string uid =
            fmt::format("{}/{}/{}", document["metadata"]["name"].as_string(), one["name"].as_string(), seen[one["name"].as_string()]++);
        std::string gate = (mutating ? "m/" : "v/") + uid;
        auto held = gates_.find(gate);
        auto& place = gates[gate] = held != gates_.end() ? held->second : std::make_shared<Gate>();
        std::shared_ptr<const Hook> same;
        if (old)
          for (const auto& o : *old)
            if (o->uid == uid && o->index == into.size() && o->configuration.same_block(document)) same = o;
        if (same) {
          into.push_back(same);
          continue;
        }
        auto hook = std::make_shared<Hook>();
        hook->configuration = document;
        hook->hook = one;
        hook->uid = std::move(uid);
        hook->name = one["name"].str();
        hook->configuration_name = document["metadata"]["name"].str();
        hook->index = into.size();
        hook->mutating = mutating;
        hook->conditions = cel::MatchConditions(one["matchConditions"]);
        hook->gate = place;
        into.push_back(std::move(hook));
      }
      return true;
    });
  };
  read(mutating_plural, true, set->mutating, set_ ? &set_->mutating : nullptr);
  read(validating_plural, false, set->validating, set_ ? &set_->validating : nullptr);
  gates_ = std::move(gates);
  set_ = std::move(set);
}

std::shared_ptr<const Webhooks::Set> Webhooks::hooks() {
  std::lock_guard lock(mutex_);
  if (stale_.exchange(false)) reload();
  return set_;
}

bool Webhooks::concerns(const Work& work) {
  if (!work.dynamic || !work.served) return false;
  auto set = hooks();
  if (set->mutating.empty() && set->validating.empty()) return false;
  std::vector<std::string_view> operations = operations_of(work);
  if (work.served->subresource(work.subresource) &&
      std::string_view("exec attach portforward proxy").find(work.subresource) != std::string_view::npos && !work.subresource.empty())
    operations = {"CONNECT"};
  for (std::string_view operation : operations) {
    AdmissionAttributes a{const_cast<Work&>(work), operation, {}};
    MatchTarget target = target_of(a, {});
    if (is_exempt(target)) return false;
    for (const auto* list : {&set->mutating, &set->validating})
      for (const auto& hook : *list)
        if (match_rules(hook->hook["rules"], hook->equivalent(), target)) return true;
  }
  return false;
}

ApiResult<const Served*> Webhooks::concerned(const Hook& hook, const AdmissionAttributes& a, const MatchTarget& target) {
  static constexpr const Served* none = nullptr;
  auto as = match(hook.criteria(), target, registry_);
  if (!as || !*as || hook.conditions.empty()) return as;
  auto object = in_version(registry_, *target.served, **as, target.object);
  auto before = in_version(registry_, *target.served, **as, target.before);
  if (!object) return fail(std::move(object.error()));
  if (!before) return fail(std::move(before.error()));
  Document request = admission_request(a, target, **as).freeze();
  RequestAuthorizer authorizer(a.work, target);
  auto whole = cel::authorizer_value(authorizer);
  auto resource = cel::resource_check_value(authorizer, authorizer.resource());
  auto result = hook.conditions.evaluate({object->root(), before->root(), request.root(), whole.get(), resource.get()});
  if (!result.matches) {
    exclusions.with({hook.name, "webhook", target.operation, hook.type()}).add();
    return none;
  }
  if (result.error.empty()) return as;
  if (hook.ignores_failures()) return none;
  log_warn("admission", "a match condition could not be evaluated, failing closed", {{"webhook", hook.name}, {"why", result.error}});
  return fail(forbidden(target.served->group(), target.served->plural(), target.name, result.error));
}

std::chrono::milliseconds Webhooks::time_left(const Hook& hook, Work& work) const {
  Instant now = work.world.clock.steady();
  if (!work.admission_deadline) {
    Duration limit = request_limit;
    if (auto asked = parse_duration(work.query.get("timeout")); asked && *asked > Duration(0) && *asked < limit) limit = *asked;
    work.admission_deadline = now + limit;
  }
  Duration own = std::chrono::seconds(hook.hook["timeoutSeconds"].as_int(default_timeout_s));
  return std::chrono::ceil<std::chrono::milliseconds>(
      std::max(Duration(std::chrono::milliseconds(1)), std::min(own, *work.admission_deadline - now)));
}

// Runs on any thread: it touches nothing of the request but what it reads.
Webhooks::Outcome Webhooks::ask(const Hook& hook, const Call& call) {
  Outcome out;
  auto failed = [&](std::string why, int code) {
    out.kind = Outcome::Kind::failed;
    out.failure = fmt::format("failed calling webhook {}: {}", go_quote(hook.name), why);
    out.code = code;
    return std::move(out);
  };
  if (call.a.work.dry_run) {
    std::string_view effects = hook.hook["sideEffects"].as_string();
    if (effects != "None" && effects != "NoneOnDryRun") {
      out.kind = Outcome::Kind::refused;
      out.status = bad_request(fmt::format("admission webhook {} does not support dry run", go_quote(hook.name)));
      return out;
    }
  }
  std::string_view version;
  for (Value one : hook.hook["admissionReviewVersions"].items())
    if (version.empty() && (one.as_string() == "v1" || one.as_string() == "v1beta1")) version = one.as_string();
  if (version.empty())
    return failed("could not create admission objects: webhook does not accept known AdmissionReview versions (v1, v1beta1)", 400);
  if (!registry_.may_wait()) return failed("failed to call webhook: no calls are made from here", 503);
  Instant deadline = std::chrono::time_point_cast<Duration>(std::chrono::steady_clock::now()) + call.limit;
  Gate::Place place = hook.gate->enter(deadline);
  if (!place) {
    out.kind = Outcome::Kind::refused;
    out.status = too_many_requests(
        fmt::format("too many requests wait for admission webhook {}, please try again later", go_quote(hook.name)), retry_after_s);
    return out;
  }
  Draft review = Draft::object({{"kind", "AdmissionReview"}, {"apiVersion", fmt::format("admission.k8s.io/{}", version)}});
  review["request"] = call.request;
  auto answer = clients_.post(hook.hook["clientConfig"], review.freeze().root(), call.limit, user_agent);
  place.reset();
  if (!answer) {
    out.timed_out = answer.error().timed_out;
    std::string_view message = answer.error().message;
    return failed(
        message.starts_with("could not get REST client") ? std::string(message) : fmt::format("failed to call webhook: {}", message),
        answer.error().code);
  }
  auto read = read_review(answer->root(), version, call.request.find("uid")->as_string(), hook.mutating);
  if (!read) return failed("received invalid webhook response: " + read.error(), 503);
  out.warnings = std::move(read->warnings);
  for (auto& [key, value] : read->annotations) out.annotations.emplace_back(hook.name + "/" + key, std::move(value));
  if (!read->allowed) {
    out.kind = Outcome::Kind::denied;
    out.status = denial(hook.name, read->result);
    out.code = out.status.code;
    return out;
  }
  if (!read->patch_error.empty()) return failed(read->patch_error, 503);
  out.patch = std::move(read->patch);
  return out;
}

namespace {

// Counts one call, with what became of it.
struct Told {
  std::string_view name, type, operation;
  std::chrono::steady_clock::time_point begun = std::chrono::steady_clock::now();

  void count(bool rejected, std::string_view error_type, int code) const {
    std::string number = std::to_string(code);
    std::string_view flag = rejected ? "true" : "false";
    seconds.with({name, type, operation, flag}).observe(std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count());
    requests.with({name, type, operation, number, flag}).add();
    if (rejected) rejections.with({name, type, operation, error_type, number}).add();
  }
};

Status late_request() { return timeout("request did not complete within requested timeout", 0); }

}  // namespace

ApiResult<void> Webhooks::mutate(const AdmissionAttributes& a, Draft* object, Reinvocation& again) {
  auto set = hooks();
  if (set->mutating.empty()) return {};
  Work& work = a.work;
  Document current = object ? object->freeze() : Document();
  MatchTarget target = target_of(a, current.root());
  if (is_exempt(target)) return {};
  Reinvocation::Memory& memory = again.of("MutatingAdmissionWebhook");
  again.begin(memory, current.root());
  bool any = false;
  for (const auto& hook : set->mutating) {
    auto as = concerned(*hook, a, target);
    if (!as) return fail(std::move(as.error()));
    if (!*as || !again.asks(memory, hook->uid)) continue;
    auto seen = in_version(registry_, *target.served, **as, current.root());
    auto before = in_version(registry_, *target.served, **as, target.before);
    if (!seen) return fail(std::move(seen.error()));
    if (!before) return fail(std::move(before.error()));
    Call call{a, *as, admission_request(a, target, **as), object != nullptr, time_left(*hook, work)};
    if (object) call.request["object"] = *seen;
    if (*before) call.request["oldObject"] = *before;
    Told told{hook->name, hook->type(), a.operation};
    Outcome outcome = ask(*hook, call);
    for (std::string& warning : outcome.warnings) add_warning(work, std::move(warning));
    for (auto& annotation : outcome.annotations) work.audit_annotations[annotation.first] = std::move(annotation.second);
    bool changed = false;
    if (outcome.kind == Outcome::Kind::allowed && outcome.patch && !outcome.patch.root().empty()) {
      if (!object) {
        told.count(true, "apiserver_internal_error", 0);
        return fail(internal_error(fmt::format(
            "admission webhook {} attempted to modify the object, which is not supported for this operation", go_quote(hook->name))));
      }
      std::string why;
      auto patched = json_patch(seen->root(), outcome.patch.root(), &why);
      if (!patched && !why.empty()) patched.error().message = std::move(why);
      ApiResult<Document> typed =
          patched ? retyped(work, **as, target.subresource, patched->freeze()) : ApiResult<Document>(fail(std::move(patched.error())));
      auto back = typed ? in_version(registry_, **as, *target.served, typed->root()) : std::move(typed);
      if (!back) {
        told.count(true, "apiserver_internal_error", 0);
        return fail(internal_error(back.error().message));
      }
      changed = !(back->root() == current.root());
      if (changed) current = std::move(*back), target.object = current.root(), any = true;
      work.audit_annotations[fmt::format("patch.webhook.admission.k8s.io/round_{}_index_{}", again.second ? 1 : 0, hook->index)] =
          to_json(Draft::object({{"configuration", hook->configuration_name},
                                 {"webhook", hook->name},
                                 {"patch", outcome.patch},
                                 {"patchType", "JSONPatch"}}));
    }
    work.audit_annotations[fmt::format("mutation.webhook.admission.k8s.io/round_{}_index_{}", again.second ? 1 : 0, hook->index)] =
        to_json(Draft::object({{"configuration", hook->configuration_name}, {"webhook", hook->name}, {"mutated", changed}}));
    again.asked(memory, hook->uid, changed, hook->if_needed());
    switch (outcome.kind) {
      case Outcome::Kind::allowed: told.count(false, "", 200); continue;
      case Outcome::Kind::denied: told.count(true, "no_error", outcome.code); return fail(std::move(outcome.status));
      case Outcome::Kind::refused: told.count(true, "apiserver_internal_error", 0); return fail(std::move(outcome.status));
      case Outcome::Kind::failed: break;
    }
    told.count(!hook->ignores_failures(), "calling_webhook_error", outcome.code);
    if (!hook->ignores_failures()) {
      log_warn("admission", "a webhook could not be called, failing closed", {{"webhook", hook->name}, {"why", outcome.failure}});
      return fail(internal_error(std::move(outcome.failure)));
    }
    log_warn("admission", "a webhook could not be called, failing open", {{"webhook", hook->name}, {"why", outcome.failure}});
    fail_open.with({hook->name, hook->type()}).add();
    work.audit_annotations[fmt::format("failed-open.mutation.webhook.admission.k8s.io/round_{}_index_{}", again.second ? 1 : 0,
                                       hook->index)] = hook->name;
    if (work.world.clock.steady() >= *work.admission_deadline) return fail(late_request());
  }
  memory.last = current;
  if (any) *object = Draft(current);
  return {};
}

ApiResult<void> Webhooks::validate(const AdmissionAttributes& a, Value object) {
  auto set = hooks();
  if (set->validating.empty()) return {};
  Work& work = a.work;
  MatchTarget target = target_of(a, object);
  if (is_exempt(target)) return {};
  struct Asked {
    std::shared_ptr<const Hook> hook;
    Call call;
    Told told;
    Outcome outcome;
  };
  std::vector<std::unique_ptr<Asked>> asked;
  for (const auto& hook : set->validating) {
    auto as = concerned(*hook, a, target);
    if (!as) return fail(std::move(as.error()));
    if (!*as) continue;
    auto seen = in_version(registry_, *target.served, **as, object);
    auto before = in_version(registry_, *target.served, **as, target.before);
    if (!seen) return fail(std::move(seen.error()));
    if (!before) return fail(std::move(before.error()));
    Call call{a, *as, admission_request(a, target, **as), object.exists(), time_left(*hook, work)};
    if (*seen) call.request["object"] = *seen;
    if (*before) call.request["oldObject"] = *before;
    asked.push_back(std::make_unique<Asked>(Asked{hook, std::move(call), {hook->name, hook->type(), a.operation}, {}}));
  }
  if (asked.empty()) return {};
  if (work.world.clock.steady() >= *work.admission_deadline) return fail(late_request());
  std::mutex mutex;
  std::condition_variable done;
  std::size_t left = 0;
  auto run = [&](Asked& one) {
    one.outcome = ask(*one.hook, one.call);
    bool ignored = one.outcome.kind == Outcome::Kind::failed && one.hook->ignores_failures();
    bool rejected = one.outcome.kind != Outcome::Kind::allowed && !ignored;
    one.told.count(rejected,
                   one.outcome.kind == Outcome::Kind::failed   ? "calling_webhook_error"
                   : one.outcome.kind == Outcome::Kind::denied ? "no_error"
                                                               : "apiserver_internal_error",
                   one.outcome.kind == Outcome::Kind::refused ? 0 : one.outcome.code);
  };
  for (std::size_t i = 1; i < asked.size(); ++i) {
    {
      std::lock_guard lock(mutex);
      ++left;
    }
    auto task = [&, one = asked[i].get()] {
      run(*one);
      std::lock_guard lock(mutex);  // held while it tells: the one who waits takes all of this away
      if (--left == 0) done.notify_all();
    };
    if (!room_.post_now(task)) task();
  }
  run(*asked[0]);
  std::unique_lock lock(mutex);
  done.wait(lock, [&] { return left == 0; });
  lock.unlock();
  std::optional<Status> refused;
  for (std::size_t i = 0; i < asked.size(); ++i) {
    auto& one = asked[i];
    Outcome& outcome = one->outcome;
    for (std::string& warning : outcome.warnings) add_warning(work, std::move(warning));
    for (auto& annotation : outcome.annotations) work.audit_annotations[annotation.first] = std::move(annotation.second);
    if (outcome.kind == Outcome::Kind::allowed) continue;
    if (outcome.kind == Outcome::Kind::failed && one->hook->ignores_failures()) {
      log_warn("admission", "a webhook could not be called, failing open", {{"webhook", one->hook->name}, {"why", outcome.failure}});
      fail_open.with({one->hook->name, one->hook->type()}).add();
      // Counted among those that were asked, other than a mutating one's.
      work.audit_annotations[fmt::format("failed-open.validating.webhook.admission.k8s.io/round_0_index_{}", i)] = one->hook->name;
      continue;
    }
    if (!refused) refused = outcome.kind == Outcome::Kind::failed ? internal_error(std::move(outcome.failure)) : std::move(outcome.status);
  }
  if (refused) return fail(std::move(*refused));
  return {};
}

}  // namespace kybern::apiserver::admission
