#include "apiserver/authz/webhook.h"

#include <fmt/format.h>

#include "apiserver/outside/caller.h"
#include "base/log.h"
#include "document/json.h"
#include "machinery/cel/cel.h"
#include "machinery/fields.h"
#include "machinery/labels.h"

namespace kybern::apiserver {
namespace {

constexpr int attempts = 5;
constexpr std::chrono::milliseconds first_pause{500};
constexpr double pause_factor = 1.5;
constexpr std::size_t kept_question_max_bytes = 10000;  // of what the asker chooses: a larger question is not remembered
constexpr std::chrono::seconds gate_limit{30};

// What a condition sees.
struct ReviewTypes {
  cel::TypePool pool;
  const cel::Type* request;

  ReviewTypes() {
    using cel::types::string;
    const cel::Type* texts = pool.list(&string);
    auto object = [&](std::string_view name, std::vector<cel::TypeField> fields) {
      cel::Type* type = pool.make(cel::TypeKind::object);
      type->name = "kubernetes." + std::string(name);
      std::sort(fields.begin(), fields.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
      type->fields = std::move(fields);
      return type;
    };
    auto field = [](const char* name, const cel::Type* type) { return cel::TypeField{name, name, type}; };
    auto requirement = [&](std::string_view name) {
      return object(name, {field("key", &string), field("operator", &string), field("values", texts)});
    };
    auto selector = [&](std::string_view name, const cel::Type* one) {
      return object(name, {field("rawSelector", &string), field("requirements", pool.list(one))});
    };
    const cel::Type* resource = object(
        "ResourceAttributes", {field("namespace", &string), field("verb", &string), field("group", &string), field("version", &string),
                               field("resource", &string), field("subresource", &string), field("name", &string),
                               field("fieldSelector", selector("FieldSelectorAttributes", requirement("FieldSelectorRequirement"))),
                               field("labelSelector", selector("LabelSelectorAttributes", requirement("LabelSelectorRequirement")))});
    const cel::Type* other = object("NonResourceAttributes", {field("path", &string), field("verb", &string)});
    request = object("SubjectAccessReviewSpec",
                     {field("resourceAttributes", resource), field("nonResourceAttributes", other), field("user", &string),
                      field("groups", texts), field("extra", pool.map(&string, texts)), field("uid", &string)});
  }
};
const ReviewTypes& review_types() {
  static const ReviewTypes types;
  return types;
}

std::expected<cel::Program, std::string> compile_condition(std::string_view expression) {
  cel::Environment environment;
  environment.declare("request", review_types().request);
  auto program = cel::Program::compile(environment, expression);
  if (!program) return std::unexpected("compilation failed: " + program.error());
  if (program->type()->kind != cel::TypeKind::boolean) return std::unexpected("must evaluate to bool");
  return program;
}

Draft requirement(std::string_view key, std::string_view operation, const std::vector<std::string>& values) {
  Draft out = Draft::object({{"key", key}, {"operator", operation}});
  if (!values.empty()) out["values"] = Draft::strings(values);
  return out;
}

std::string_view word_of(LabelOperator op) {
  switch (op) {
    case LabelOperator::not_equals:
    case LabelOperator::not_in: return "NotIn";
    case LabelOperator::exists: return "Exists";
    case LabelOperator::does_not_exist: return "DoesNotExist";
    case LabelOperator::greater:
    case LabelOperator::less: return "";  // no word for it: left out, which asks for more and never for less
    default: return "In";
  }
}

void add_selectors(Draft& resource, const Attributes& a) {
  if (auto selector = FieldSelector::parse(a.field_selector); selector && !selector->empty())
    for (const FieldTerm& term : selector->terms())
      resource["fieldSelector"]["requirements"].push_back(requirement(term.field, term.equal ? "In" : "NotIn", {term.value}));
  if (auto selector = LabelSelector::parse(a.label_selector); selector && !selector->empty())
    for (const LabelRequirement& r : selector->requirements())
      if (std::string_view word = word_of(r.op); !word.empty())
        resource["labelSelector"]["requirements"].push_back(requirement(r.key, word, r.values));
}

}  // namespace

std::string fault_of_condition(std::string_view expression) {
  auto program = compile_condition(expression);
  return program ? "" : program.error();
}

Draft access_review_spec(const Attributes& a, bool whole) {
  Draft out = Draft::object();
  auto put = [&](Draft& into, std::string_view field, const std::string& text) {
    if (whole || !text.empty()) into[field] = text;
  };
  if (a.is_resource) {
    Draft& r = out["resourceAttributes"] = Draft::object();
    put(r, "namespace", a.ns);
    put(r, "verb", a.verb);
    put(r, "group", a.group);
    put(r, "version", a.version);
    put(r, "resource", a.resource);
    put(r, "subresource", a.subresource);
    put(r, "name", a.name);
    add_selectors(r, a);
  } else {
    Draft& n = out["nonResourceAttributes"] = Draft::object();
    put(n, "path", a.path);
    put(n, "verb", a.verb);
  }
  put(out, "user", a.user.name);
  if (whole || !a.user.groups.empty()) out["groups"] = Draft::strings(a.user.groups);
  if (whole) out["extra"] = Draft::object();
  for (const auto& [key, values] : a.user.extra) out["extra"][key] = Draft::strings(values);
  put(out, "uid", a.user.uid);
  return out;
}

AuthorizationWebhook::AuthorizationWebhook(AuthorizationWebhookOptions options, World world)
    : options_(std::move(options)), world_(world) {}
AuthorizationWebhook::~AuthorizationWebhook() = default;

Result<std::unique_ptr<AuthorizationWebhook>> AuthorizationWebhook::open(AuthorizationWebhookOptions options, World world) {
  std::unique_ptr<AuthorizationWebhook> out(new AuthorizationWebhook(std::move(options), world));
  const AuthorizationWebhookOptions& o = out->options_;
  auto caller = o.config_file.empty() ? OutsideCaller::in_cluster(o.account_folder) : OutsideCaller::open(o.config_file);
  if (!caller) return std::unexpected(caller.error());
  out->caller_ = std::move(*caller);
  for (const std::string& expression : out->options_.conditions) {
    auto program = compile_condition(expression);
    if (!program) return fail(Code::invalid, program.error());
    out->programs_.push_back(std::move(*program));
  }
  return out;
}

Decision AuthorizationWebhook::failed(std::string why) const {
  Decision out;
  out.denied = options_.deny_on_failure;
  out.error = std::move(why);
  return out;
}

// One that is false excludes the request, whatever is wrong with another.
std::optional<Decision> AuthorizationWebhook::excluded(Value spec) const {
  std::string error;
  for (const cel::Program& program : programs_) {
    const cel::Val variables[] = {cel::Program::value(spec, review_types().request)};
    cel::Outcome outcome = program.evaluate(variables, cel::per_call_limit);
    if (outcome.kind == cel::Outcome::Kind::value && !outcome.truth) return Decision{};
    if (outcome.kind == cel::Outcome::Kind::error) error = outcome.message;
    else if (outcome.kind != cel::Outcome::Kind::value) error = "the expression costs too much";
  }
  if (error.empty()) return std::nullopt;
  return failed("cel evaluation error: " + error);
}

std::optional<Decision> AuthorizationWebhook::recall(const Attributes& a, const Document& spec, std::string& key) {
  if (!programs_.empty())
    if (auto out = excluded(access_review_spec(a, true).freeze().root())) return out;
  const std::size_t chosen = a.ns.size() + a.verb.size() + a.group.size() + a.version.size() + a.resource.size() + a.subresource.size() +
                             a.name.size() + a.path.size() + a.field_selector.size() + a.label_selector.size();
  if (chosen >= kept_question_max_bytes) return std::nullopt;
  key = to_json(spec.root());
  std::lock_guard lock(mutex_);
  auto found = answers_.find(key);
  if (found == answers_.end() || world_.clock.steady() >= found->second.until) return std::nullopt;
  return found->second.decision;
}

std::optional<Decision> AuthorizationWebhook::recall(const Attributes& a) {
  std::string key;
  return recall(a, access_review_spec(a, false).freeze(), key);
}

Decision AuthorizationWebhook::ask(const Attributes& a) {
  Draft spec = access_review_spec(a, false);
  std::string key;
  if (auto known = recall(a, spec.freeze(), key)) return *known;
  if (options_.version == "v1beta1")
    if (const Draft* found = spec.find("groups")) {
      Draft groups = *found;  // what is found moves when a member is added
      spec["group"] = std::move(groups);
      spec.erase("groups");
    }
  Draft review = Draft::object({{"kind", "SubjectAccessReview"}, {"apiVersion", "authorization.k8s.io/" + options_.version}});
  review["metadata"] = Draft::object();
  review["spec"] = std::move(spec);
  review["status"] = Draft::object({{"allowed", false}});
  const std::string body = to_json(review);
  Result<Document> answer = post(body);
  if (!answer) {
    log_error("authz", "the authorization webhook cannot be asked", {{"webhook", options_.name}, {"why", answer.error().message}});
    return failed(answer.error().message);
  }
  Decision decision = read((*answer)["status"]);
  if (decision.error.empty() && !key.empty()) keep(key, decision);
  return decision;
}

Result<Document> AuthorizationWebhook::post(const std::string& body) {
  const Gate::Place place = gate_.enter(std::chrono::steady_clock::now() + gate_limit);
  if (!place) return fail(Code::unavailable, "too many requests wait for the authorization webhook");
  Result<Document> answer = caller_->post(body, options_.timeout);
  auto pause = first_pause;
  for (int i = 1; i < attempts && !answer && answer.error().code == Code::unavailable; ++i) {
    world_.executor.wait(pause);
    pause = std::chrono::milliseconds(static_cast<std::int64_t>(static_cast<double>(pause.count()) * pause_factor));
    answer = caller_->post(body, options_.timeout);
  }
  return answer;
}

Decision AuthorizationWebhook::read(Value status) const {
  Decision out;
  out.allowed = status["allowed"].as_bool();
  out.denied = status["denied"].as_bool();
  out.reason = status["reason"].str();
  if (!out.allowed || !out.denied) return out;
  Decision both;
  both.denied = true;
  both.error = "webhook subject access review returned both allow and deny response";
  return both;
}

void AuthorizationWebhook::keep(const std::string& key, const Decision& decision) {
  if (decision.allowed ? !options_.cache_authorized : !options_.cache_unauthorized) return;
  const Duration ttl = decision.allowed ? options_.authorized_ttl : options_.unauthorized_ttl;
  if (ttl <= Duration(0)) return;
  const Instant now = world_.clock.steady();
  std::lock_guard lock(mutex_);
  if (answers_.size() >= answers_kept) std::erase_if(answers_, [&](const auto& entry) { return entry.second.until <= now; });
  if (answers_.size() >= answers_kept) answers_.clear();
  answers_[key] = {decision, now + ttl};
}

}  // namespace kybern::apiserver
