#include "apiserver/tokens.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/files.h"
#include "base/strings.h"
#include "base/time.h"
#include "document/json.h"
#include "net/certificates.h"

namespace kybern::apiserver {
namespace {

constexpr std::int64_t min_seconds = 600, default_seconds = 3600, max_seconds = std::int64_t{1} << 32;
// Old clients ask for a little over an hour and expect tokens that live on when they are slow to read the next one:
// such a token is good for a year, and says when it would have liked to be replaced (KEP-1205, warnafter).
constexpr std::int64_t legacy_seconds = 3607, extended_seconds = 60 * 60 * 24 * 365;

constexpr std::string_view request_group = "authentication.k8s.io";
constexpr std::string_view pem_begin = "-----BEGIN ";

// The public keys of a file: of its private key, or one of each block.
Result<std::vector<std::string>> public_keys(const std::string& file) {
  auto text = read_file(file);
  if (!text) return std::unexpected(text.error());
  std::vector<std::string> out;
  for (std::size_t at = text->find(pem_begin); at != std::string::npos;) {
    const std::size_t next = text->find(pem_begin, at + pem_begin.size());
    std::string block = text->substr(at, next == std::string::npos ? next : next - at);
    if (block.contains("PRIVATE KEY")) {
      auto key = net::public_key_pem(block);
      if (!key) return fail(Code::invalid, fmt::format("{}: {}", file, key.error().message));
      block = std::move(*key);
    }
    if (auto shown = net::jwks_json({block}); !shown) return fail(Code::invalid, fmt::format("{}: {}", file, shown.error().message));
    out.push_back(std::move(block));
    at = next;
  }
  if (out.empty()) return fail(Code::invalid, fmt::format("{}: no key in PEM", file));
  return out;
}

std::int64_t seconds_of(Time t) { return std::chrono::duration_cast<std::chrono::seconds>(t.time_since_epoch()).count(); }

}  // namespace

Result<AccountKeys> settle_accounts(AccountOptions& o, const std::string& default_issuer, const std::string& default_key_file) {
  if (o.issuers.empty()) o.issuers = {default_issuer};
  if (o.audiences.empty()) o.audiences = o.issuers;
  for (const std::string& issuer : o.issuers)
    if (issuer.empty()) return fail(Code::invalid, "--service-account-issuer: an issuer needs a name");
  if (!o.jwks_uri.empty() && !o.jwks_uri.starts_with("https://"))
    return fail(Code::invalid, fmt::format("service-account-jwks-uri requires https scheme, parsed as: {}", o.jwks_uri));
  AccountKeys out;
  auto max = parse_duration(o.max_expiration);
  if (!max)
    return fail(Code::invalid,
                fmt::format("--service-account-max-token-expiration: {} is no duration such as 24h", go_quote(o.max_expiration)));
  out.max_seconds = std::chrono::duration_cast<std::chrono::seconds>(*max).count();
  if (out.max_seconds != 0 && (out.max_seconds < default_seconds || out.max_seconds > max_seconds))
    return fail(Code::invalid, "the service-account-max-token-expiration must be between 1 hour and 2^32 seconds");
  const std::string& file = o.signing_key_file.empty() ? default_key_file : o.signing_key_file;
  auto signing = read_file(file);
  if (!signing) return std::unexpected(signing.error());
  auto own = net::public_key_pem(*signing);
  if (!own) return fail(Code::invalid, fmt::format("{}: {}", file, own.error().message));
  out.signing_pem = std::move(*signing);
  out.verifying_pem = {*own};
  for (const std::string& more : o.key_files) {
    auto keys = public_keys(more);
    if (!keys) return fail(Code::invalid, "--service-account-key-file " + keys.error().message);
    for (std::string& key : *keys)
      if (std::find(out.verifying_pem.begin(), out.verifying_pem.end(), key) == out.verifying_pem.end())
        out.verifying_pem.push_back(std::move(key));
  }
  return out;
}

ApiResult<Document> TokenIssuer::issue(Work& work, Value request) const {
  FieldErrors errors;
  // What the request says of the account must be so.
  auto mismatch = [&](std::string_view field, std::string_view given, std::string_view own) {
    if (given.empty() || given == own) return false;
    errors.push_back({FieldError::Type::invalid, fmt::format("metadata.{}", field), go_quote(given),
                      fmt::format("must match the service account {} if specified", field)});
    return true;
  };
  if (mismatch("name", request["metadata"]["name"].as_string(), work.name) ||
      mismatch("namespace", request["metadata"]["namespace"].as_string(), work.ns))
    return fail(invalid(request_group, "TokenRequest", work.name, errors));
  Document account = work.registry.read("", "v1", "serviceaccounts", work.ns, work.name);
  if (!account) return fail(not_found("", "serviceaccounts", work.name));
  if (std::string_view uid = request["metadata"]["uid"].as_string(); !uid.empty() && uid != account["metadata"]["uid"].as_string())
    return fail(conflict(request_group, "TokenRequest", work.name,
                         fmt::format("the UID in the token request ({}) does not match the UID of the service account ({})", uid,
                                     account["metadata"]["uid"].as_string())));
  Value spec = request["spec"];
  std::int64_t asked = spec["expirationSeconds"].as_int(default_seconds);
  if (asked < min_seconds)
    errors.push_back(
        {FieldError::Type::invalid, "spec.expirationSeconds", std::to_string(asked), "may not specify a duration less than 10 minutes"});
  if (asked > max_seconds)
    errors.push_back({FieldError::Type::invalid, "spec.expirationSeconds", std::to_string(asked),
                      "may not specify a duration larger than 2^32 seconds"});
  if (!errors.empty()) return fail(invalid(request_group, "TokenRequest", "", errors));
  Draft bound = Draft::object(
      {{"namespace", work.ns}, {"serviceaccount", Draft::object({{"name", work.name}, {"uid", account["metadata"]["uid"]}})}});
  Value ref = spec["boundObjectRef"];
  bool pod_bound = false;
  if (ref.is_object()) {
    std::string_view kind = ref["kind"].as_string(), version = ref["apiVersion"].as_string();
    std::string_view plural = kind == "Pod" ? "pods" : kind == "Secret" ? "secrets" : kind == "Node" ? "nodes" : "";
    const bool core = !version.contains('/');
    if (plural.empty() || !core)
      return fail(bad_request(fmt::format("cannot bind token to object of type {}{}, Kind={}", core ? "/" : "", version, kind)));
    std::string name = ref["name"].str();
    Document object = work.registry.read("", "v1", plural, kind == "Node" ? std::string() : work.ns, name);
    if (!object) return fail(not_found("", plural, name));
    std::string uid = object["metadata"]["uid"].str();
    if (std::string_view given = ref["uid"].as_string(); !given.empty() && given != uid)
      return fail(conflict("", kind, name,
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
  if (keys_.max_seconds > 0 && asked > keys_.max_seconds) {
    work.warn(fmt::format("requested expiration of {} seconds shortened to {} seconds", asked, keys_.max_seconds));
    asked = keys_.max_seconds;
  }
  std::int64_t now = seconds_of(work.world.clock.now()), lifetime = asked;
  bool default_audience = spec["audiences"].empty(), for_us = true;
  for (Value a : spec["audiences"].items())
    for_us = for_us && std::find(options_.audiences.begin(), options_.audiences.end(), a.as_string()) != options_.audiences.end();
  if (options_.extend && pod_bound && asked == legacy_seconds && for_us) {
    lifetime = extended_seconds;
    bound["warnafter"] = now + asked;
  }
  Draft audiences = Draft::array();
  for (Value a : spec["audiences"].items()) audiences.push_back(a);
  if (default_audience)
    for (const std::string& a : options_.audiences) audiences.push_back(a);
  Draft claims = Draft::object();
  claims["aud"] = audiences;
  claims["exp"] = now + lifetime;
  claims["iat"] = now;
  claims["iss"] = options_.issuers[0];
  claims["jti"] = new_uuid(work.world.random);
  claims["kubernetes.io"] = std::move(bound);
  claims["nbf"] = now;
  claims["sub"] = fmt::format("system:serviceaccount:{}:{}", work.ns, work.name);
  work.audit_annotations["authentication.kubernetes.io/issued-credential-id"] = "JTI=" + std::string(claims["jti"].as_string());
  auto token = net::sign_jwt(keys_.signing_pem, to_json(claims));
  if (!token) return fail(internal_error("Internal error occurred: " + token.error().message));
  Draft answer(request);
  answer["kind"] = "TokenRequest";
  answer["apiVersion"] = "authentication.k8s.io/v1";
  answer["metadata"] = Draft::object({{"name", work.name},
                                      {"namespace", work.ns},
                                      {"uid", account["metadata"]["uid"]},
                                      {"creationTimestamp", format_rfc3339(work.world.clock.now())}});
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
  auto set = net::jwks_json(keys_.verifying_pem);
  if (!set) return std::nullopt;
  if (keys) return About{"application/jwk-set+json", std::move(*set)};
  auto parsed = parse_json(*set);
  const std::string uri = options_.jwks_uri.empty() ? fmt::format("https://{}/openid/v1/jwks", host) : options_.jwks_uri;
  Draft out = Draft::object({{"issuer", options_.issuers[0]}, {"jwks_uri", uri}});
  out["response_types_supported"] = Draft::array({"id_token"});
  out["subject_types_supported"] = Draft::array({"public"});
  out["id_token_signing_alg_values_supported"] = Draft::array();
  std::set<std::string> algorithms;
  for (Value key : (*parsed)["keys"].items())
    if (std::string name = key["alg"].str(); algorithms.insert(name).second) out["id_token_signing_alg_values_supported"].push_back(name);
  return About{"application/json", to_json(out)};
}

}  // namespace kybern::apiserver
