// Resources that are questions, never stored: reviews of tokens, of access, of oneself; and the Binding collection.
#include <fmt/format.h>

#include <algorithm>

#include "apiserver/authn/authenticator.h"
#include "apiserver/authn/user_info.h"
#include "apiserver/authz/authorizer.h"
#include "apiserver/http/requests.h"
#include "base/strings.h"
#include "machinery/labels.h"
#include "machinery/validate/validate.h"

namespace kybern::apiserver {
namespace {

ApiResult<Draft> typed_review(Work& work, Document body) {
  auto typed = work.registry.typed(work, *work.served, std::move(body));
  if (!typed) return fail(std::move(typed.error()));
  return Draft(*typed);
}

// The selectors of a question, as a request would have them. What has no such text narrows nothing.
std::string field_selector_of(Value selector) {
  if (!selector["requirements"].exists()) return selector["rawSelector"].str();
  std::string out;
  for (Value r : selector["requirements"].items()) {
    std::string_view op = r["operator"].as_string();
    if (r["values"].size() != 1 || (op != "In" && op != "NotIn")) continue;
    out += fmt::format("{}{}{}{}", out.empty() ? "" : ",", r["key"].as_string(), op == "In" ? "=" : "!=", r["values"][0].as_string());
  }
  return out;
}
std::string label_selector_of(Value selector) {
  if (!selector["requirements"].exists()) return selector["rawSelector"].str();
  std::string out;
  for (Value r : selector["requirements"].items()) {
    std::string_view op = r["operator"].as_string(), key = r["key"].as_string();
    std::vector<std::string> values;
    for (Value v : r["values"].items()) values.push_back(v.str());
    if (!out.empty()) out += ',';
    if (op == "Exists") out += key;
    else if (op == "DoesNotExist") out += fmt::format("!{}", key);
    else out += fmt::format("{} {} ({})", key, op == "NotIn" ? "notin" : "in", join(values, ","));
  }
  return out;
}

// The question of a review's spec; the user is the review's or the asker's own.
Attributes question(Value spec, User user) {
  Attributes a;
  a.user = std::move(user);
  Value r = spec["resourceAttributes"];
  if (r.is_object()) {
    a.is_resource = true;
    a.verb = r["verb"].str();
    a.group = r["group"].str();
    a.version = r["version"].str();
    a.resource = r["resource"].str();
    a.subresource = r["subresource"].str();
    a.name = r["name"].str();
    a.ns = r["namespace"].str();
    a.field_selector = field_selector_of(r["fieldSelector"]);
    a.label_selector = label_selector_of(r["labelSelector"]);
  } else {
    a.is_resource = false;
    a.verb = spec["nonResourceAttributes"]["verb"].str();
    a.path = spec["nonResourceAttributes"]["path"].str();
  }
  return a;
}

ApiResult<Answer> decide(Work& work, Document body, bool self, bool local) {
  auto review = typed_review(work, std::move(body));
  if (!review) return fail(std::move(review.error()));
  Document frozen = review->freeze();
  // A question that makes no sense is refused without saying its kind, as upstream does.
  if (FieldErrors errors = kybern::validate(*work.served->resource, frozen); !errors.empty())
    return fail(invalid(work.served->group(), "", "", errors));
  Value spec = frozen["spec"];
  if (local && spec["resourceAttributes"]["namespace"].as_string() != work.ns)
    return fail(bad_request(fmt::format("spec.resourceAttributes.namespace must match namespace: {}", work.ns)));
  User user = work.user;
  if (!self) {
    user = User{spec["user"].str(), spec["uid"].str(), {}, {}};
    for (Value g : spec["groups"].items()) user.groups.push_back(g.str());
    for (Member m : spec["extra"].members()) {
      std::vector<std::string> values;
      for (Value v : m.value.items()) values.push_back(v.str());
      user.extra.emplace_back(m.key, std::move(values));
    }
  }
  Decision decision = work.registry.authorizer()->authorize(question(spec, user));
  (*review)["status"] = Draft::object({{"allowed", decision.allowed}});
  if (decision.denied) (*review)["status"]["denied"] = true;
  if (!decision.reason.empty()) (*review)["status"]["reason"] = decision.reason;
  if (!decision.error.empty()) (*review)["status"]["evaluationError"] = decision.error;
  if (local) (*review)["metadata"]["namespace"] = work.ns;
  return Answer{201, review->freeze()};
}

ApiResult<Answer> subject_access(Work& work, Document body) { return decide(work, std::move(body), false, false); }
ApiResult<Answer> local_subject_access(Work& work, Document body) { return decide(work, std::move(body), false, true); }
ApiResult<Answer> self_subject_access(Work& work, Document body) { return decide(work, std::move(body), true, false); }

ApiResult<Answer> self_subject_rules(Work& work, Document body) {
  auto review = typed_review(work, std::move(body));
  if (!review) return fail(std::move(review.error()));
  const Draft* ns = review->find_path({"spec", "namespace"});
  if (!ns || ns->as_string().empty()) return fail(bad_request("no namespace on request"));
  Draft resources = Draft::array(), paths = Draft::array();
  auto told = work.registry.authorizer()->told_rules(work.user, ns->as_string());
  for (const Document& rule : told.rules) {
    if (!rule["resources"].empty()) {
      Draft shown = Draft::object();
      for (std::string_view field : {"verbs", "apiGroups", "resources", "resourceNames"})
        if (!rule[field].empty()) shown[field] = rule[field];
      resources.push_back(std::move(shown));
    }
    if (!rule["nonResourceURLs"].empty())
      paths.push_back(Draft::object({{"verbs", rule["verbs"]}, {"nonResourceURLs", rule["nonResourceURLs"]}}));
  }
  Draft& status = (*review)["status"] =
      Draft::object({{"resourceRules", std::move(resources)}, {"nonResourceRules", std::move(paths)}, {"incomplete", told.incomplete}});
  if (told.errors.size() == 1) status["evaluationError"] = told.errors[0];
  else if (!told.errors.empty()) status["evaluationError"] = "[" + join(told.errors, ", ") + "]";
  return Answer{201, review->freeze()};
}

ApiResult<Answer> self_subject(Work& work, Document body) {
  auto review = typed_review(work, std::move(body));
  if (!review) return fail(std::move(review.error()));
  (*review)["metadata"]["creationTimestamp"] = format_rfc3339(work.world.clock.now());
  (*review)["status"]["userInfo"] = user_info(work.user);
  return Answer{201, review->freeze()};
}

ApiResult<Answer> token_review(Work& work, Document body) {
  auto review = typed_review(work, std::move(body));
  if (!review) return fail(std::move(review.error()));
  const Draft* token = review->find_path({"spec", "token"});
  if (!token || token->as_string().empty()) return fail(bad_request("token is required for TokenReview in authentication"));
  std::vector<std::string> audiences;
  if (const Draft* asked = review->find_path({"spec", "audiences"}); asked && asked->is_array())
    for (const Draft& a : asked->items()) audiences.push_back(a.str());
  const Authenticator& authenticator = *work.registry.authenticator();
  if (audiences.empty()) audiences = authenticator.audiences();
  TokenFindings findings;
  const std::optional<User> user = authenticator.check_token(token->as_string(), audiences, &findings);
  for (std::string& warning : findings.warnings) work.warn(std::move(warning));
  for (auto& [key, text] : findings.annotations) work.audit_annotations[key] = std::move(text);
  Draft status = Draft::object();
  if (user) {
    status["authenticated"] = true;
    status["audiences"] = Draft::strings(findings.audiences);
    status["user"] = user_info(*user);
  } else {
    // The first is said by whoever holds this server's own token, as upstream has it; each is said once.
    std::vector<std::string> errors{"invalid bearer token"};
    for (std::string& error : findings.errors)
      if (std::find(errors.begin(), errors.end(), error) == errors.end()) errors.push_back(std::move(error));
    status["user"] = Draft::object();
    status["error"] = errors.size() == 1 ? errors[0] : "[" + join(errors, ", ") + "]";
  }
  (*review)["status"] = std::move(status);
  return Answer{201, review->freeze()};
}

// POST to the collection of bindings is the old way of POST to a pod's binding.
ApiResult<Answer> binding(Work& work, Document body) {
  std::string name = body["metadata"]["name"].str();
  work.served = work.registry.catalog().find("", "v1", "pods");
  work.name = name;
  work.subresource = "binding";
  SubresourceCall call{work, "create", std::move(body)};
  return find_subresource("", "pods", "binding")(call);
}

struct Row {
  std::string_view group, plural;
  ReviewHandler handler;
};
constexpr Row rows[] = {
    {"authorization.k8s.io", "subjectaccessreviews", subject_access},
    {"authorization.k8s.io", "localsubjectaccessreviews", local_subject_access},
    {"authorization.k8s.io", "selfsubjectaccessreviews", self_subject_access},
    {"authorization.k8s.io", "selfsubjectrulesreviews", self_subject_rules},
    {"authentication.k8s.io", "selfsubjectreviews", self_subject},
    {"authentication.k8s.io", "tokenreviews", token_review},
    {"", "bindings", binding},
};

}  // namespace

ReviewHandler find_review(std::string_view group, std::string_view plural) {
  for (const Row& row : rows)
    if (row.plural == plural && row.group == group) return row.handler;
  return nullptr;
}

}  // namespace kybern::apiserver
