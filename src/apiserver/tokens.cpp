#include "apiserver/tokens.h"

#include <fmt/format.h>

#include "base/strings.h"
#include "document/json.h"
#include "net/certificates.h"

namespace kybern::apiserver {
namespace {

constexpr std::int64_t min_seconds = 600, default_seconds = 3600, max_seconds = std::int64_t{1} << 32;
// Old clients ask for a little over an hour and expect tokens that live on when they are slow to read the next one:
// such a token is good for a year, and says when it would have liked to be replaced (KEP-1205, warnafter).
constexpr std::int64_t legacy_seconds = 3607, extended_seconds = 60 * 60 * 24 * 365;

std::int64_t seconds_of(Time t) { return std::chrono::duration_cast<std::chrono::seconds>(t.time_since_epoch()).count(); }

}  // namespace

ApiResult<Document> TokenIssuer::issue(Work& work, Value request) const {
  Document account = work.registry.read("", "v1", "serviceaccounts", work.ns, work.name);
  if (!account) return fail(not_found("", "serviceaccounts", work.name));
  Value spec = request["spec"];
  std::int64_t asked = spec["expirationSeconds"].as_int(default_seconds);
  FieldErrors errors;
  if (asked < min_seconds)
    errors.push_back(
        {FieldError::Type::invalid, "spec.expirationSeconds", std::to_string(asked), "may not specify a duration less than 10 minutes"});
  if (asked > max_seconds)
    errors.push_back({FieldError::Type::invalid, "spec.expirationSeconds", std::to_string(asked),
                      "may not specify a duration larger than 2^32 seconds"});
  if (!errors.empty()) return fail(invalid("authentication.k8s.io", "TokenRequest", "", errors));
  Draft bound = Draft::object(
      {{"namespace", work.ns}, {"serviceaccount", Draft::object({{"name", work.name}, {"uid", account["metadata"]["uid"]}})}});
  Value ref = spec["boundObjectRef"];
  bool pod_bound = false;
  if (ref.is_object()) {
    std::string_view kind = ref["kind"].as_string(), version = ref["apiVersion"].as_string();
    std::string_view plural = kind == "Pod" ? "pods" : kind == "Secret" ? "secrets" : kind == "Node" ? "nodes" : "";
    if (plural.empty() || version != "v1")
      return fail(
          bad_request(fmt::format("cannot bind token for serviceaccount \"{}\" to object {}/{}, Kind={}", work.name, "", version, kind)));
    std::string name = ref["name"].str();
    Document object = work.registry.read("", "v1", plural, kind == "Node" ? std::string() : work.ns, name);
    if (!object) return fail(not_found("", plural, name));
    std::string uid = object["metadata"]["uid"].str();
    if (std::string_view given = ref["uid"].as_string(); !given.empty() && given != uid)
      return fail(conflict("", plural, name,
                           fmt::format("the UID in the bound object reference ({}) does not match the UID in record. The object might have "
                                       "been deleted and then recreated",
                                       given)));
    if (kind == "Pod" && object["spec"]["serviceAccountName"].as_string() != work.name)
      return fail(bad_request(
          fmt::format("cannot bind token for serviceaccount \"{}\" to pod running with different serviceaccount name.", work.name)));
    bound[to_lower(kind)] = Draft::object({{"name", name}, {"uid", uid}});
    pod_bound = kind == "Pod";
    if (pod_bound)
      if (std::string node = object["spec"]["nodeName"].str(); !node.empty()) {
        Draft on = Draft::object({{"name", node}});
        if (Document n = work.registry.read("", "v1", "nodes", "", node)) on["uid"] = n["metadata"]["uid"];
        bound["node"] = std::move(on);
      }
  }
  std::int64_t now = seconds_of(work.world.clock.now()), lifetime = asked;
  bool default_audience = spec["audiences"].empty();
  if (pod_bound && asked == legacy_seconds && default_audience) {
    lifetime = extended_seconds;
    bound["warnafter"] = now + asked;
  }
  Draft audiences = Draft::array();
  for (Value a : spec["audiences"].items()) audiences.push_back(a);
  if (default_audience)
    for (const std::string& a : audiences_) audiences.push_back(a);
  Draft claims = Draft::object();
  claims["aud"] = audiences;
  claims["exp"] = now + lifetime;
  claims["iat"] = now;
  claims["iss"] = issuer_;
  claims["jti"] = new_uuid(work.world.random);
  claims["kubernetes.io"] = std::move(bound);
  claims["nbf"] = now;
  claims["sub"] = fmt::format("system:serviceaccount:{}:{}", work.ns, work.name);
  auto token = net::sign_jwt(key_, to_json(claims));
  if (!token) return fail(internal_error("Internal error occurred: " + token.error().message));
  Draft answer(request);
  answer["kind"] = "TokenRequest";
  answer["apiVersion"] = "authentication.k8s.io/v1";
  answer["metadata"] =
      Draft::object({{"name", work.name}, {"namespace", work.ns}, {"creationTimestamp", format_rfc3339(work.world.clock.now())}});
  answer["spec"]["audiences"] = std::move(audiences);
  answer["spec"]["expirationSeconds"] = asked;
  if (!answer["spec"].find("boundObjectRef")) answer["spec"]["boundObjectRef"] = nullptr;
  answer["status"] =
      Draft::object({{"token", *token}, {"expirationTimestamp", format_rfc3339(work.world.clock.now() + std::chrono::seconds(asked))}});
  return answer.freeze();
}

std::optional<TokenIssuer::About> TokenIssuer::about(std::string_view path, std::string_view host) const {
  while (path.size() > 1 && path.ends_with('/')) path.remove_suffix(1);
  const bool keys = path == "/openid/v1/jwks";
  if (!keys && path != "/.well-known/openid-configuration") return std::nullopt;
  auto set = net::jwks_json({key_});
  if (!set) return std::nullopt;
  if (keys) return About{"application/jwk-set+json", std::move(*set)};
  auto parsed = parse_json(*set);
  Draft out = Draft::object({{"issuer", issuer_}, {"jwks_uri", fmt::format("https://{}/openid/v1/jwks", host)}});
  out["response_types_supported"] = Draft::array({"id_token"});
  out["subject_types_supported"] = Draft::array({"public"});
  out["id_token_signing_alg_values_supported"] = Draft::array({(*parsed)["keys"][0]["alg"].as_string("RS256")});
  return About{"application/json", to_json(out)};
}

}  // namespace kybern::apiserver
