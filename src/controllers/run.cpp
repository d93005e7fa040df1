#include "controllers/run.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <utility>
#include <vector>

#include "base/log.h"
#include "controllers/objects.h"

namespace kybern::controllers {
namespace {

constexpr int rounds_limit = 12;  // plans for one key in a row; then others have their turn

std::string_view verb_of(Action::Verb verb) {
  switch (verb) {
    case Action::Verb::create: return "POST";
    case Action::Verb::replace: return "PUT";
    case Action::Verb::merge_patch:
    case Action::Verb::strategic_patch:
    case Action::Verb::json_patch: return "PATCH";
    case Action::Verb::erase: return "DELETE";
  }
  return "";
}

client::Call call_of(const Action& action) {
  client::Call call;
  call.method = verb_of(action.verb);
  call.path = client::object_path(action.api_version, action.resource, action.ns, action.name, action.subresource);
  call.body = action.body;
  if (action.verb == Action::Verb::merge_patch) call.patch = client::PatchType::merge;
  if (action.verb == Action::Verb::json_patch) call.patch = client::PatchType::json;
  return call;
}

bool is_terminating(const Status& status) {
  return std::any_of(status.causes.begin(), status.causes.end(), [](const StatusCause& c) { return c.reason == "NamespaceTerminating"; });
}

std::string with(std::string text, std::string_view mark, std::string_view replacement) {
  if (const std::size_t at = text.find(mark); at != std::string::npos) text.replace(at, mark.size(), replacement);
  return text;
}

// Shared between the threads that work off a range; the caller works too, so it never waits for a thread that is not
// there: it only waits for what another thread has begun.
struct Share {
  std::function<void(std::size_t)> work;
  std::size_t count = 0;
  std::atomic<std::size_t> next = 0;
  std::mutex mutex;
  std::condition_variable all_done;
  std::size_t done = 0;

  void run() {
    for (std::size_t i = next++; i < count; i = next++) {
      work(i);
      std::lock_guard lock(mutex);
      if (++done == count) all_done.notify_all();
    }
  }
};

}  // namespace

void in_parallel(World world, std::size_t count, const std::function<void(std::size_t)>& work) {
  if (count == 0) return;
  if (count == 1) return work(0);
  auto share = std::make_shared<Share>();
  share->work = [&work](std::size_t i) { work(i); };
  share->count = count;
  for (std::size_t helper = 1; helper < std::min(count, Performer::parallel_limit); ++helper)
    world.executor.post([share] { share->run(); });
  share->run();
  std::unique_lock lock(share->mutex);
  share->all_done.wait(lock, [&] { return share->done == count; });
}

Performer::Performer(client::Transport& transport, World world, Mirrors& mirrors, std::string component)
    : transport_(transport), world_(world), mirrors_(mirrors), events_(transport, world, std::move(component)) {}

void Performer::notify(const std::optional<Notice>& notice, const Document& about, std::string_view name, std::string_view error) {
  if (!notice || !about) return;
  events_.record(about, notice->type, notice->reason, with(with(notice->message, "{name}", name), "{error}", error));
}

// What the API answered, shown to the mirror of that collection.
void Performer::show(const Action& action, const Document& answer) {
  client::MirrorCore* mirror = mirrors_.find(action.api_version, action.resource);
  if (!mirror) return;
  const Value meta = answer["metadata"];
  const bool is_object = answer["kind"].as_string() != "Status" && meta["uid"].is_string();
  const bool is_held = !meta["finalizers"].empty() || !answer["spec"]["finalizers"].empty();  // the latter: of namespaces
  const bool goes_at_once = is_deleting(answer) && !is_held && meta["deletionGracePeriodSeconds"].as_int() == 0;
  if (is_object && !goes_at_once && (action.verb != Action::Verb::erase || is_deleting(answer))) return mirror->wrote(answer);
  if (action.verb == Action::Verb::erase || goes_at_once) {
    const std::string key = action.ns.empty() ? action.name : action.ns + "/" + action.name;
    const Value precondition = action.body["preconditions"]["uid"];
    mirror->erased(key, is_object ? meta["uid"].as_string() : precondition.as_string());
  }
}

Performer::Result Performer::check_guard(const Action& action) {
  if (!action.guard) return {};
  const Action::Guard& guard = *action.guard;
  Result out{Result::Kind::failed, {action.verb, action.resource, action.name, "", "", 0}};
  const ApiResult<Document> fresh = transport_.call(
      {.method = "GET", .path = client::object_path(guard.api_version, guard.resource, guard.ns, guard.name), .query = {}, .body = {}});
  if (!fresh) {
    out.failure.message = fresh.error().message;
    out.failure.code = fresh.error().code;
  } else if (uid_of(*fresh) != guard.uid) {
    out.failure.message = "original " + guard.what + " is gone: got uid " + std::string(uid_of(*fresh)) + ", wanted " + guard.uid;
  } else if (is_deleting(*fresh)) {
    out.failure.message = guard.what + " has just been deleted at " + (*fresh)["metadata"]["deletionTimestamp"].str();
  } else {
    return {};
  }
  return out;
}

Performer::Result Performer::failure(const Action& action, const Status& status, const Document& about) {
  if (status.code == 404 && action.gone_is_fine) {
    show(action, Document());
    return {};
  }
  if (status.is("AlreadyExists") && action.exists_is_fine) return {};
  Result out{Result::Kind::failed, {action.verb, action.resource, action.name, status.reason, status.message, status.code}};
  if (action.verb == Action::Verb::create && is_terminating(status)) {
    out.kind = Result::Kind::doomed;
    return out;
  }
  if (status.is("Conflict")) out.kind = Result::Kind::stale;
  else notify(action.failed, about, action.name, status.message);
  return out;
}

Performer::Result Performer::one(const Action& action, const Document& about) {
  if (Result guarded = check_guard(action); guarded.kind != Result::Kind::done) return guarded;
  ApiResult<Document> answer = transport_.call(call_of(action));
  if (!answer) return failure(action, answer.error(), action.about ? action.about : about);
  show(action, *answer);
  const std::string_view name = action.name.empty() ? name_of(*answer) : std::string_view(action.name);
  notify(action.done, action.about ? action.about : about, name);
  return {};
}

Performer::Result Performer::parallel(const Plan& plan, std::size_t begin, std::size_t end) {
  std::vector<Result> results(end - begin);
  in_parallel(world_, results.size(), [&](std::size_t i) { results[i] = one(plan.actions[begin + i], plan.about); });
  Result out;  // the worst of them; of equals the first
  for (Result& result : results)
    if (static_cast<int>(result.kind) > static_cast<int>(out.kind)) out = std::move(result);
  return out;
}

Performer::Result Performer::slow_start(const Plan& plan, std::size_t begin, std::size_t end) {
  for (std::size_t batch = 1; begin < end; batch *= 2) {
    const std::size_t stop = std::min(begin + batch, end);
    if (Result result = parallel(plan, begin, stop); result.kind != Result::Kind::done) return result;
    begin = stop;
  }
  return {};
}

Performer::Result Performer::perform(const Action& action, const Document& about) { return one(action, about); }

Performer::Result Performer::perform(const Plan& plan) {
  for (std::size_t i = 0; i < plan.actions.size();) {
    const Action& first = plan.actions[i];
    std::size_t end = i + 1;
    Result result;
    if (first.pace == Action::Pace::alone) {
      result = one(first, plan.about);
    } else {
      while (end < plan.actions.size() && plan.actions[end].pace == first.pace && plan.actions[end].verb == first.verb) ++end;
      result = first.pace == Action::Pace::parallel ? parallel(plan, i, end) : slow_start(plan, i, end);
    }
    if (result.kind != Result::Kind::done) return result;
    i = end;
  }
  return {};
}

Runner::Runner(std::string component, std::size_t workers, client::Transport& transport, World world, Mirrors& mirrors, Decide decide)
    : component_(component),
      performer_(transport, world, mirrors, component),
      decide_(std::move(decide)),
      queue_(std::make_unique<client::WorkQueue>(component, world, workers, [this](const std::string& key) { return work(key); })) {}

client::Outcome Runner::work(const std::string& key) {
  using Kind = Performer::Result::Kind;
  for (int round = 0; round < rounds_limit; ++round) {
    const std::optional<Plan> plan = decide_(key, nullptr);
    if (!plan) return client::Outcome::done();
    if (round == 0)
      for (const Notice& notice : plan->notices) performer_.events().record(plan->about, notice.type, notice.reason, notice.message);
    if (plan->actions.empty()) return settle(key, *plan);
    const Performer::Result result = performer_.perform(*plan);
    if (result.kind == Kind::done) continue;
    if (result.kind == Kind::stale) return client::Outcome::retry();
    if (result.kind == Kind::doomed) return settle(key, *plan);
    log_info(component_, "a plan failed", {{"key", key}, {"on", result.failure.resource}, {"error", result.failure.message}});
    if (const std::optional<Plan> after = decide_(key, &result.failure)) settle(key, *after);
    return client::Outcome::retry();
  }
  return client::Outcome::again_after(std::chrono::milliseconds(1));
}

client::Outcome Runner::settle(const std::string& key, const Plan& plan) {
  if (plan.status) {
    const Performer::Result result = performer_.perform(*plan.status, plan.about);
    if (result.failure.code == 404) return client::Outcome::done();
    if (result.kind == Performer::Result::Kind::stale) return client::Outcome::retry();
    if (result.kind == Performer::Result::Kind::failed) {
      log_info(component_, "the status could not be written", {{"key", key}, {"error", result.failure.message}});
      return client::Outcome::retry();
    }
  }
  if (plan.wake_after) return client::Outcome::again_after(*plan.wake_after);
  return client::Outcome::done();
}

}  // namespace kybern::controllers
