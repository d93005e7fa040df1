#include "apiserver/authn/oidc.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <sstream>

#include "apiserver/authn/user_info.h"
#include "base/log.h"
#include "base/strings.h"
#include "document/json.h"
#include "document/yaml.h"
#include "machinery/cel/cel.h"
#include "net/certificates.h"
#include "net/client.h"
#include "net/jwks.h"

namespace kybern::apiserver {
namespace {

constexpr std::size_t max_configuration_bytes = 1 << 20, max_answer_bytes = 1 << 20, max_issuers = 64;
constexpr std::chrono::milliseconds fetch_limit{10000};
constexpr Duration fetch_pause = std::chrono::seconds(5);     // between two questions for an issuer's keys
constexpr std::chrono::milliseconds patience_for_keys{1000};  // with another's question for them
constexpr int max_waiting_for_keys = 32;
constexpr std::int64_t not_before_leeway_s = 300;
constexpr std::string_view reserved_prefixes[] = {"kubernetes.io", "k8s.io"};

using SharedProgram = std::shared_ptr<const cel::Program>;

struct Mapping {
  std::string claim, prefix;
  SharedProgram program;
  bool set() const { return !claim.empty() || program; }
};
struct Rule {
  std::string claim, value, message, expression;
  SharedProgram program;
};
struct Extra {
  std::string key;
  SharedProgram program;
};
struct Issuer {
  std::vector<std::string> algorithms;
  std::string url, discovery_url, ca_pem;
  std::vector<std::string> audiences;
  Mapping username, groups, uid;
  std::vector<Extra> extra;
  std::vector<Rule> claim_rules, user_rules;
};

Result<Document> fetch(const std::string& url, const std::string& ca_pem) {
  auto scheme = url.find("://");
  auto slash = scheme == std::string::npos ? scheme : url.find('/', scheme + 3);
  net::ClientOptions options;
  options.url = url.substr(0, slash);
  options.tls.ca_pem = ca_pem;
  options.max_body_bytes = max_answer_bytes;
  auto client = net::HttpClient::make(std::move(options));
  if (!client) return std::unexpected(client.error());
  net::ClientRequest request;
  request.target = slash == std::string::npos ? "/" : url.substr(slash);
  request.timeout = fetch_limit;
  auto answer = (*client)->call(std::move(request));
  if (!answer) return std::unexpected(answer.error());
  if (answer->status != 200) return fail(Code::unavailable, fmt::format("{}: {}", url, answer->status));
  return parse_json(answer->body);
}

std::optional<std::vector<std::string>> texts_of(Value value) {
  std::vector<std::string> out;
  if (value.is_string()) {
    if (!value.as_string().empty()) out.push_back(value.str());
    return out;
  }
  if (value.is_null() || !value.exists()) return out;
  if (!value.is_array()) return std::nullopt;
  for (Value item : value.items()) {
    if (!item.is_string()) return std::nullopt;
    out.push_back(item.str());
  }
  return out;
}

// What an expression over claims gives, as a value of JSON.
Result<Document> evaluate(const cel::Program& program, Value variable) {
  const cel::Val variables[] = {cel::Program::value(variable)};
  cel::Outcome outcome = program.evaluate(variables, cel::per_call_limit, true);
  if (outcome.kind != cel::Outcome::Kind::value)
    return fail(Code::invalid, outcome.kind == cel::Outcome::Kind::error ? outcome.message : "the expression costs too much");
  if (outcome.tag == cel::Tag::boolean) return Draft(outcome.truth).freeze();
  if (outcome.tag == cel::Tag::string) return Draft(outcome.text).freeze();
  if (outcome.tag == cel::Tag::null) return Draft(nullptr).freeze();
  return outcome.document;
}

class OidcIssuer final : public TokenSource {
 public:
  OidcIssuer(Issuer issuer, World world) : issuer_(std::move(issuer)), world_(world) {}

  bool knows(std::string_view token, const std::vector<std::string>&) override { return !of_issuer(token); }

  std::optional<KnownToken> check(std::string_view token, const std::vector<std::string>&, std::string& why) override {
    auto unverified = of_issuer(token);
    if (!unverified) return std::nullopt;
    auto user = verified(token, *unverified);
    if (user) return KnownToken{std::move(*user)};
    log_warn("authn", "a token is refused", {{"issuer", issuer_.url}, {"why", user.error().message}});
    why = std::move(user.error().message);
    return std::nullopt;
  }

  Result<void> prepare() override {
    auto keys = keys_for("", false);
    if (!keys) return fail(keys.error().code, fmt::format("{}: {}", issuer_.url, keys.error().message));
    return {};
  }

 private:
  // A token that says to be this issuer's.
  std::optional<net::Jwt> of_issuer(std::string_view token) const {
    if (std::count(token.begin(), token.end(), '.') != 2) return std::nullopt;
    auto unverified = net::decode_jwt(token);
    if (!unverified) return std::nullopt;
    auto glance = parse_json(unverified->claims_json);
    if (!glance || (*glance)["iss"].as_string() != issuer_.url) return std::nullopt;
    return std::move(*unverified);
  }

  Result<User> verified(std::string_view token, const net::Jwt& unverified) {
    auto header = parse_json(unverified.header_json);
    auto jwt = verify(token, header ? (*header)["kid"].str() : "");
    if (!jwt) return std::unexpected(jwt.error());
    auto claims = parse_json(jwt->claims_json);
    if (!claims) return std::unexpected(claims.error());
    const std::int64_t now = std::chrono::duration_cast<std::chrono::seconds>(world_.clock.now().time_since_epoch()).count();
    // As its expiry was, in Go's words for a time.
    if (const std::int64_t end = (*claims)["exp"].as_int(); end <= now) {
      std::string when = format_rfc3339(Time(std::chrono::seconds(end)));
      when = when.substr(0, 10) + " " + when.substr(11, 8) + " +0000 UTC";
      return fail(Code::invalid, fmt::format("oidc: verify token: oidc: token is expired (Token Expiry: {})", when));
    }
    if ((*claims)["nbf"].as_int() > now + not_before_leeway_s) return fail(Code::invalid, "oidc: the token is not valid yet");
    auto audiences = texts_of((*claims)["aud"]);
    bool meant = audiences && std::any_of(audiences->begin(), audiences->end(), [&](const std::string& a) {
                   return std::find(issuer_.audiences.begin(), issuer_.audiences.end(), a) != issuer_.audiences.end();
                 });
    if (!meant) return fail(Code::invalid, "oidc: the token is for another audience");
    for (const Rule& rule : issuer_.claim_rules)
      if (auto ok = holds(rule, *claims); !ok) return std::unexpected(ok.error());
    return user_of(*claims);
  }

  Result<net::Jwt> verify(std::string_view token, const std::string& id) {
    for (bool fresh : {false, true}) {
      auto keys = keys_for(id, fresh);
      if (!keys) return std::unexpected(keys.error());
      auto jwt = net::verify_jwt(token, *keys, issuer_.algorithms);
      if (jwt || fresh) return jwt;
    }
    return fail(Code::forbidden, "failed to verify signature");
  }

  // The issuer's keys of that id, or all when the token names none. Asked for again when they do not do, but not often, and
  // by one at a time: of the others a few wait a moment for the answer, and nobody waits out an issuer that is slow.
  Result<std::vector<std::string>> keys_for(const std::string& id, bool fresh) {
    std::unique_lock lock(mutex_);
    if (fresh || keys_.empty()) {
      if (asking_) {
        if (waiting_ >= max_waiting_for_keys) return fail(Code::unavailable, "oidc: too many wait for the issuer's keys");
        ++waiting_;
        const bool came = came_.wait_for(lock, patience_for_keys, [&] { return !asking_; });
        --waiting_;
        if (!came) return fail(Code::unavailable, keys_.empty() ? "oidc: authenticator not initialized" : "oidc: the issuer is slow");
      }
      if (!asked_ || world_.clock.steady() - *asked_ >= fetch_pause) {
        asking_ = true;
        lock.unlock();  // whose key is known waits for nobody
        auto keys = discover();
        lock.lock();
        asking_ = false;
        asked_ = world_.clock.steady();
        came_.notify_all();
        if (keys) keys_ = std::move(*keys);
        else if (keys_.empty()) return std::unexpected(keys.error());
      }
    }
    if (keys_.empty()) return fail(Code::unavailable, "oidc: authenticator not initialized");
    std::vector<std::string> out;
    for (const net::WebKey& key : keys_)
      if (id.empty() || key.id == id) out.push_back(key.pem);
    return out;
  }

  Result<std::vector<net::WebKey>> discover() {
    std::string url = issuer_.discovery_url;
    if (url.empty())
      url =
          (issuer_.url.ends_with('/') ? issuer_.url.substr(0, issuer_.url.size() - 1) : issuer_.url) + "/.well-known/openid-configuration";
    auto about = fetch(url, issuer_.ca_pem);
    if (!about) return std::unexpected(about.error());
    if ((*about)["issuer"].as_string() != issuer_.url)
      return fail(Code::invalid, fmt::format("oidc: issuer did not match the issuer returned by provider, expected {} got {}",
                                             go_quote(issuer_.url), go_quote((*about)["issuer"].as_string())));
    auto keys = fetch((*about)["jwks_uri"].str(), issuer_.ca_pem);
    if (!keys) return std::unexpected(keys.error());
    return net::read_jwks(to_json(keys->root()));
  }

  static Result<void> holds(const Rule& rule, Value of) {
    if (!rule.program) {
      if (of[rule.claim].as_string() == rule.value && of[rule.claim].exists()) return {};
      return fail(Code::invalid, fmt::format("oidc: required claim {} is not present or has another value", rule.claim));
    }
    auto result = evaluate(*rule.program, of);
    if (!result) return fail(Code::invalid, fmt::format("oidc: expression {}: {}", go_quote(rule.expression), result.error().message));
    if (result->root().as_bool()) return {};
    return fail(Code::invalid, rule.message.empty()
                                   ? fmt::format("oidc: validation expression {} failed", go_quote(rule.expression))
                                   : fmt::format("oidc: validation expression {} failed: {}", go_quote(rule.expression), rule.message));
  }

  Result<User> user_of(Value claims) const {
    User user;
    auto name = mapped(issuer_.username, claims);
    if (!name) return std::unexpected(name.error());
    if (!name->root().is_string() || name->root().as_string().empty())
      return fail(Code::invalid, issuer_.username.program
                                     ? "oidc: the expression of the username gives no text"
                                     : fmt::format("oidc: parse username claims {}: claim not present", go_quote(issuer_.username.claim)));
    if (issuer_.username.claim == "email" && claims["email_verified"].exists() && !claims["email_verified"].as_bool())
      return fail(Code::invalid, "oidc: email not verified");
    user.name = issuer_.username.prefix + name->root().str();
    auto groups = mapped(issuer_.groups, claims);
    auto names = groups ? texts_of(groups->root()) : std::nullopt;
    if (!names) return fail(Code::invalid, groups ? "oidc: the groups are no text and no list of texts" : groups.error().message);
    for (const std::string& group : *names) user.groups.push_back(issuer_.groups.prefix + group);
    if (issuer_.uid.set()) {
      auto uid = mapped(issuer_.uid, claims);
      if (!uid || !uid->root().is_string()) return fail(Code::invalid, uid ? "oidc: the uid is no text" : uid.error().message);
      user.uid = uid->root().str();
    }
    if (std::string_view id = claims["jti"].as_string(); !id.empty())
      user.extra.push_back({"authentication.kubernetes.io/credential-id", {"JTI=" + std::string(id)}});
    for (const Extra& extra : issuer_.extra) {
      auto value = evaluate(*extra.program, claims);
      auto values = value ? texts_of(value->root()) : std::nullopt;
      if (!values)
        return fail(Code::invalid,
                    fmt::format("oidc: extra {}: {}", go_quote(extra.key), value ? "no text and no list of texts" : value.error().message));
      if (!values->empty()) user.extra.emplace_back(extra.key, std::move(*values));
    }
    const Document shown = shown_user(user);
    for (const Rule& rule : issuer_.user_rules)
      if (auto ok = holds(rule, shown); !ok) return std::unexpected(ok.error());
    return user;
  }

  // With every field, so that expressions need not ask for them.
  static Document shown_user(const User& user) {
    Draft out = user_info(user);
    for (std::string_view field : {"username", "uid"})
      if (!out.find(field)) out[field] = "";
    if (!out.find("groups")) out["groups"] = Draft::array();
    if (!out.find("extra")) out["extra"] = Draft::object();
    return out.freeze();
  }

  static Result<Document> mapped(const Mapping& mapping, Value claims) {
    if (mapping.program) return evaluate(*mapping.program, claims);
    if (mapping.claim.empty()) return Draft(nullptr).freeze();
    return Draft(claims[mapping.claim]).freeze();
  }

  const Issuer issuer_;
  World world_;
  std::mutex mutex_;
  std::condition_variable came_;
  bool asking_ = false;
  int waiting_ = 0;  // for who asks
  std::vector<net::WebKey> keys_;
  std::optional<Instant> asked_;
};

// Reads the file, and notes what is wrong with it.
class Reader {
 public:
  std::vector<std::string> wrong, disallowed;

  SharedProgram compile(std::string_view variable, std::string_view expression, const std::string& at) {
    cel::Environment environment;
    environment.declare(std::string(variable), &cel::types::dyn);
    auto program = cel::Program::compile(environment, expression);
    if (program) return std::make_shared<const cel::Program>(std::move(*program));
    wrong.push_back(fmt::format("{}: Invalid value: {}: compilation failed: {}", at, go_quote(expression), program.error()));
    return nullptr;
  }

  void known(Value object, const std::string& at, std::initializer_list<std::string_view> fields) {
    for (Member m : object.members())
      if (std::find(fields.begin(), fields.end(), m.key) == fields.end())
        wrong.push_back(fmt::format("unknown field {}", go_quote(at.empty() ? std::string(m.key) : fmt::format("{}.{}", at, m.key))));
  }

  Mapping mapping(Value of, const std::string& at, bool prefixed, bool required) {
    Mapping out{of["claim"].str(), of["prefix"].str(), nullptr};
    known(of, at, {"claim", "prefix", "expression"});
    std::string_view expression = of["expression"].as_string();
    if (!expression.empty() && !out.claim.empty()) wrong.push_back(at + ": Invalid value: \"\": claim and expression can't both be set");
    if (expression.empty() && out.claim.empty() && required) wrong.push_back(at + ": Required value: claim or expression is required");
    if (!expression.empty() && of["prefix"].exists())
      wrong.push_back(at + ".prefix: Invalid value: \"\": prefix can't be set when expression is set");
    if (prefixed && !out.claim.empty() && !of["prefix"].exists())
      wrong.push_back(
          at + ".prefix: Required value: prefix is required when claim is set. It can be set to an empty string to disable prefixing");
    if (!expression.empty()) out.program = compile("claims", expression, at + ".expression");
    return out;
  }

  // The rules claims are held to: a claim with its value, or an expression; none is said twice.
  std::vector<Rule> claim_rules(Value list, const std::string& path) {
    std::vector<Rule> out;
    for (Value r : list.items()) {
      const std::string at = fmt::format("{}[{}]", path, out.size());
      known(r, at, {"claim", "requiredValue", "expression", "message"});
      Rule rule{r["claim"].str(), r["requiredValue"].str(), r["message"].str(), r["expression"].str(), nullptr};
      if (!rule.claim.empty() && !rule.expression.empty()) invalid(at, rule.claim, "claim and expression can't both be set");
      else if (rule.claim.empty() && rule.expression.empty()) wrong.push_back(at + ": Required value: claim or expression is required");
      else if (!rule.claim.empty()) {
        if (!rule.message.empty()) invalid(at + ".message", rule.message, "message can't be set when claim is set");
        twice(out, &Rule::claim, rule.claim, at + ".claim");
      } else {
        if (!rule.value.empty()) invalid(at + ".requiredValue", rule.value, "requiredValue can't be set when expression is set");
        twice(out, &Rule::expression, rule.expression, at + ".expression");
        rule.program = compile("claims", rule.expression, at + ".expression");
      }
      out.push_back(std::move(rule));
    }
    return out;
  }

  std::vector<Rule> user_rules(Value list, const std::string& path) {
    std::vector<Rule> out;
    for (Value r : list.items()) {
      const std::string at = fmt::format("{}[{}]", path, out.size());
      known(r, at, {"expression", "message"});
      Rule rule{"", "", r["message"].str(), r["expression"].str(), nullptr};
      if (rule.expression.empty()) wrong.push_back(at + ".expression: Required value: expression is required");
      else {
        twice(out, &Rule::expression, rule.expression, at + ".expression");
        rule.program = compile("user", rule.expression, at + ".expression");
      }
      out.push_back(std::move(rule));
    }
    return out;
  }

  // A name taken from an email says that the email is verified, or says in so many words that it need not be.
  void verified_email(Value jwt, const std::string& at) {
    auto reads = [](Value expression, std::string_view claim) {
      const std::string_view text = expression.as_string();
      for (auto found = text.find(claim); found != std::string_view::npos; found = text.find(claim, found + 1))
        if (const auto after = found + claim.size();
            after == text.size() || (!std::isalnum(static_cast<unsigned char>(text[after])) && text[after] != '_'))
          return true;
      return false;
    };
    constexpr std::string_view verified = "claims.email_verified";
    Value mappings = jwt["claimMappings"], username = mappings["username"]["expression"];
    if (!reads(username, "claims.email") || reads(username, verified)) return;
    for (Value e : mappings["extra"].items())
      if (reads(e["valueExpression"], verified)) return;
    for (Value r : jwt["claimValidationRules"].items())
      if (reads(r["expression"], verified)) return;
    invalid(at + ".claimMappings.username.expression", username.as_string(),
            "claims.email_verified must be used in claimMappings.username.expression or claimMappings.extra[*].valueExpression or "
            "claimValidationRules[*].expression when claims.email is used in claimMappings.username.expression");
  }

  void twice(const std::vector<Rule>& before, std::string Rule::*what, const std::string& value, const std::string& at) {
    for (const Rule& rule : before)
      if (rule.*what == value) return wrong.push_back(fmt::format("{}: Duplicate value: {}", at, go_quote(value)));
  }

  void invalid(const std::string& at, std::string_view value, std::string_view why) {
    wrong.push_back(fmt::format("{}: Invalid value: {}: {}", at, go_quote(value), why));
  }

  void check_url(const std::string& url, const std::string& at) {
    if (url.empty()) return;
    if (!url.starts_with("https://")) invalid(at, url, "URL scheme must be https");
    const auto host = url.find("://") == std::string::npos ? 0 : url.find("://") + 3;
    if (url.substr(host, url.find_first_of("/?#", host) - host).contains('@'))
      invalid(at, url, "URL must not contain a username or password");
    const std::string before_fragment = url.substr(0, url.find('#'));
    if (before_fragment.find('?') < before_fragment.size() - 1) invalid(at, url, "URL must not contain a query");
    if (before_fragment.size() + 1 < url.size()) invalid(at, url, "URL must not contain a fragment");
  }

  void audiences(Value from, const std::string& at, Issuer& out) {
    std::size_t i = 0;
    for (Value one : from["audiences"].items()) {
      const std::string audience = one.str(), where = fmt::format("{}.audiences[{}]", at, i++);
      if (audience.empty()) wrong.push_back(where + ": Required value: audience can't be empty");
      if (std::find(out.audiences.begin(), out.audiences.end(), audience) != out.audiences.end())
        wrong.push_back(fmt::format("{}: Duplicate value: {}", where, go_quote(audience)));
      out.audiences.push_back(audience);
    }
    const std::string_view policy = from["audienceMatchPolicy"].as_string();
    if (out.audiences.empty()) wrong.push_back(fmt::format("{}.audiences: Required value: at least one {}.audiences is required", at, at));
    else if (out.audiences.size() > 1 && policy != "MatchAny")
      invalid(at + ".audienceMatchPolicy", policy, "audienceMatchPolicy must be MatchAny for multiple audiences");
    else if (out.audiences.size() == 1 && !policy.empty() && policy != "MatchAny")
      invalid(at + ".audienceMatchPolicy", policy, "audienceMatchPolicy must be empty or MatchAny for single audience");
  }

  Issuer issuer(Value jwt, const std::string& at) {
    known(jwt, at, {"issuer", "claimValidationRules", "claimMappings", "userValidationRules"});
    Value from = jwt["issuer"];
    known(from, at + ".issuer", {"url", "discoveryURL", "certificateAuthority", "audiences", "audienceMatchPolicy", "egressSelectorType"});
    Issuer out;
    out.url = from["url"].str();
    out.discovery_url = from["discoveryURL"].str();
    out.ca_pem = from["certificateAuthority"].str();
    if (out.url.empty()) wrong.push_back(at + ".issuer.url: Required value: URL is required");
    if (std::find(disallowed.begin(), disallowed.end(), out.url) != disallowed.end())
      wrong.push_back(fmt::format("{}.issuer.url: Invalid value: {}: URL must not overlap with disallowed issuers: [{}]", at,
                                  go_quote(out.url), join(disallowed, " ")));
    check_url(out.url, at + ".issuer.url");
    auto bare = [](std::string_view url) { return url.substr(0, url.find_last_not_of('/') + 1); };
    if (!out.discovery_url.empty() && bare(out.discovery_url) == bare(out.url))
      wrong.push_back(fmt::format("{}.issuer.discoveryURL: Invalid value: {}: discoveryURL must be different from URL", at,
                                  go_quote(out.discovery_url)));
    check_url(out.discovery_url, at + ".issuer.discoveryURL");
    audiences(from, at + ".issuer", out);
    Value mappings = jwt["claimMappings"];
    known(mappings, at + ".claimMappings", {"username", "groups", "uid", "extra"});
    out.username = mapping(mappings["username"], at + ".claimMappings.username", true, true);
    out.groups = mapping(mappings["groups"], at + ".claimMappings.groups", true, false);
    out.uid = mapping(mappings["uid"], at + ".claimMappings.uid", false, false);
    std::size_t i = 0;
    for (Value e : mappings["extra"].items()) {
      const std::string where = fmt::format("{}.claimMappings.extra[{}]", at, i++);
      std::string key = e["key"].str();
      auto slash = key.find('/');
      if (slash == std::string::npos || key != to_lower(key))
        wrong.push_back(fmt::format("{}.key: Invalid value: {}: must be a lowercase domain-prefixed path", where, go_quote(key)));
      for (std::string_view reserved : reserved_prefixes)
        if (std::string domain = key.substr(0, slash); domain == reserved || domain.ends_with("." + std::string(reserved)))
          wrong.push_back(fmt::format("{}.key: Invalid value: {}: {} is reserved for Kubernetes use", where, go_quote(key), reserved));
      out.extra.push_back({std::move(key), compile("claims", e["valueExpression"].as_string(), where + ".valueExpression")});
    }
    out.claim_rules = claim_rules(jwt["claimValidationRules"], at + ".claimValidationRules");
    verified_email(jwt, at);
    out.user_rules = user_rules(jwt["userValidationRules"], at + ".userValidationRules");
    return out;
  }
};

}  // namespace

Result<Document> oidc_configuration(const OidcOptions& o) {
  if (o.issuer_url.empty() && o.client_id.empty()) return Document();
  if (o.issuer_url.empty() || o.client_id.empty())
    return fail(Code::invalid, "oidc-issuer-url and oidc-client-id must be specified together when any oidc-* flags are set");
  const std::vector<std::string>& known = net::jwt_algorithms();
  for (const std::string& algorithm : o.signing_algorithms)
    if (std::find(known.begin(), known.end(), algorithm) == known.end())
      return fail(Code::invalid,
                  fmt::format("--oidc-signing-algs: {} is not supported, expected one of {}", go_quote(algorithm), join(known, ", ")));
  Draft jwt = Draft::object();
  jwt["issuer"] = Draft::object({{"url", o.issuer_url}, {"audiences", Draft::array({Draft(o.client_id)})}});
  if (!o.ca_file.empty()) {
    std::ifstream in(o.ca_file);
    std::stringstream pem;
    pem << in.rdbuf();
    if (!in) return fail(Code::invalid, fmt::format("--oidc-ca-file {}: cannot be read", o.ca_file));
    jwt["issuer"]["certificateAuthority"] = pem.str();
  }
  // Without a prefix names of an issuer are told from others by its URL; "-" means none.
  std::string prefix = o.username_prefix == "-"      ? ""
                       : !o.username_prefix.empty()  ? o.username_prefix
                       : o.username_claim == "email" ? ""
                                                     : o.issuer_url + "#";
  jwt["claimMappings"]["username"] = Draft::object({{"claim", o.username_claim}, {"prefix", prefix}});
  if (!o.groups_claim.empty()) jwt["claimMappings"]["groups"] = Draft::object({{"claim", o.groups_claim}, {"prefix", o.groups_prefix}});
  for (const std::string& required : o.required_claims) {
    auto equals = required.find('=');
    if (equals == std::string::npos)
      return fail(Code::invalid, fmt::format("--oidc-required-claim: {} is no name=value", go_quote(required)));
    jwt["claimValidationRules"].push_back(
        Draft::object({{"claim", required.substr(0, equals)}, {"requiredValue", required.substr(equals + 1)}}));
  }
  return Draft::object({{"apiVersion", "apiserver.config.k8s.io/v1"},
                        {"kind", "AuthenticationConfiguration"},
                        {"jwt", Draft::array({std::move(jwt)})}})
      .freeze();
}

Result<AuthenticationConfiguration> read_authentication_configuration(Value root, World world, const IssuerRules& rules) {
  if (root["kind"].as_string() != "AuthenticationConfiguration" || (root["apiVersion"].as_string() != "apiserver.config.k8s.io/v1" &&
                                                                    root["apiVersion"].as_string() != "apiserver.config.k8s.io/v1beta1"))
    return fail(Code::invalid, "expected apiVersion apiserver.config.k8s.io/v1, kind AuthenticationConfiguration");
  AuthenticationConfiguration out;
  Reader reader;
  reader.disallowed = rules.disallowed;
  std::sort(reader.disallowed.begin(), reader.disallowed.end());
  reader.known(root, "", {"kind", "apiVersion", "jwt", "anonymous"});
  if (root["jwt"].size() > max_issuers)
    return fail(Code::invalid, fmt::format("jwt: Too many: {}: must have at most {} items", root["jwt"].size(), max_issuers));
  std::size_t i = 0;
  std::vector<std::string> urls;
  for (Value jwt : root["jwt"].items()) {
    const std::string at = fmt::format("jwt[{}]", i++);
    Issuer issuer = reader.issuer(jwt, at);
    issuer.algorithms = rules.algorithms.empty() ? net::jwt_algorithms() : rules.algorithms;
    if (std::find(urls.begin(), urls.end(), issuer.url) != urls.end())
      reader.wrong.push_back(fmt::format("{}.issuer.url: Duplicate value: {}", at, go_quote(issuer.url)));
    urls.push_back(issuer.url);
    out.issuers.push_back(std::make_unique<OidcIssuer>(std::move(issuer), world));
  }
  if (Value anonymous = root["anonymous"]; anonymous.is_object()) {
    AnonymousRule rule{anonymous["enabled"].as_bool(), {}};
    for (Value condition : anonymous["conditions"].items()) rule.paths.push_back(condition["path"].str());
    if (!rule.enabled && !rule.paths.empty())
      reader.wrong.push_back("anonymous.conditions: Invalid value: enabled should be set to true when conditions are defined");
    out.anonymous = std::move(rule);
  }
  if (!reader.wrong.empty()) return fail(Code::invalid, join(reader.wrong, "; "));
  return out;
}

Result<AuthenticationConfiguration> read_authentication_configuration(std::string_view yaml, World world, const IssuerRules& rules) {
  if (yaml.size() > max_configuration_bytes)
    return fail(Code::too_large, fmt::format("the authentication configuration is larger than {} bytes", max_configuration_bytes));
  auto documents = parse_yaml(yaml);
  if (!documents) return fail(Code::invalid, documents.error().message);
  return read_authentication_configuration(documents->empty() ? Value() : documents->front().root(), world, rules);
}

}  // namespace kybern::apiserver
