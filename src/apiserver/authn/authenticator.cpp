#include "apiserver/authn/authenticator.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <sstream>

#include "apiserver/authn/bootstrap_tokens.h"
#include "apiserver/authn/legacy_tokens.h"
#include "base/log.h"
#include "base/strings.h"
#include "document/json.h"
#include "net/certificates.h"

namespace kybern::apiserver {
namespace {

constexpr std::size_t max_verified = 4096;  // tokens
constexpr std::string_view account_prefix = "system:serviceaccount:";

User with_authenticated(User user) {
  if (user.name != "system:anonymous" && !user.in_group("system:authenticated") && !user.in_group("system:unauthenticated"))
    user.groups.push_back("system:authenticated");
  return user;
}

// ["a" "b"]
std::string go_quoted(const std::vector<std::string>& list) {
  std::string out;
  for (const std::string& text : list) out += (out.empty() ? "" : " ") + go_quote(text);
  return "[" + out + "]";
}

// One line of CSV with double quotes.
std::vector<std::string> csv(std::string_view line) {
  std::vector<std::string> out(1);
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    char c = line[i];
    if (quoted && c == '"' && i + 1 < line.size() && line[i + 1] == '"') out.back() += line[++i];
    else if (c == '"') quoted = !quoted;
    else if (c == ',' && !quoted) out.emplace_back();
    else out.back() += c;
  }
  for (std::string& field : out) field = std::string(trim(field));
  return out;
}

}  // namespace

User anonymous_user() { return {"system:anonymous", "", {"system:unauthenticated"}, {}}; }

Result<std::unique_ptr<Authenticator>> Authenticator::make(AuthenticationOptions options, const Registry& registry) {
  if (options.audiences.empty()) options.audiences = options.issuers;
  std::unique_ptr<Authenticator> out(new Authenticator(std::move(options), registry));
  if (auto ok = out->add_sources(); !ok) return std::unexpected(ok.error());
  const std::string& file = out->options_.token_file;
  if (file.empty()) return out;
  std::ifstream in(file);
  if (!in) return fail(Code::invalid, fmt::format("token file {}: cannot be read", file));
  std::string line;
  for (int number = 1; std::getline(in, line); ++number) {
    if (trim(line).empty() || line[0] == '#') continue;
    auto fields = csv(line);
    if (fields.size() < 3)
      return fail(Code::invalid,
                  fmt::format("token file {}, line {}: expected token,user,uid and optionally \"group,group\"", file, number));
    User user{fields[1], fields[2], {}, {}};
    if (fields.size() > 3)
      for (std::string_view group : split(fields[3], ','))
        if (!trim(group).empty()) user.groups.emplace_back(trim(group));
    out->static_tokens_[net::sha256(fields[0])] = with_authenticated(std::move(user));
  }
  return out;
}

Result<void> Authenticator::add_sources() {
  anonymous_.enabled = options_.anonymous;
  const World world = registry_.world();
  if (options_.bootstrap_tokens) bootstrap_ = bootstrap_tokens(registry_);
  auto oidc = oidc_configuration(options_.oidc);
  if (!oidc) return std::unexpected(oidc.error());
  std::optional<AuthenticationConfiguration> read;
  const IssuerRules rules{{}, options_.issuers};
  if (const std::string& file = options_.configuration_file; !file.empty()) {
    if (*oidc) return fail(Code::invalid, "authentication-config file and oidc-* flags are mutually exclusive");
    std::ifstream in(file);
    std::stringstream text;
    text << in.rdbuf();
    if (!in) return fail(Code::invalid, fmt::format("--authentication-config {}: cannot be read", file));
    auto configuration = read_authentication_configuration(text.str(), world, rules);
    if (!configuration) return fail(Code::invalid, fmt::format("--authentication-config {}: {}", file, configuration.error().message));
    read = std::move(*configuration);
  } else if (*oidc) {
    IssuerRules limited = rules;
    limited.algorithms = options_.oidc.signing_algorithms;
    auto configuration = read_authentication_configuration(oidc->root(), world, limited);
    if (!configuration) return fail(Code::invalid, "--oidc flags: " + configuration.error().message);
    read = std::move(*configuration);
  }
  if (read && read->anonymous) anonymous_ = *(anonymous_of_file_ = read->anonymous);
  if (!options_.webhook.config_file.empty()) {
    TokenWebhookOptions with = options_.webhook;
    with.own_audiences = options_.audiences;
    auto webhook = token_webhook(with, world);
    if (!webhook) return std::unexpected(webhook.error());
    webhook_ = std::move(*webhook);
  }
  believe(read ? std::move(read->issuers) : std::vector<std::unique_ptr<TokenSource>>());
  return {};
}

void Authenticator::believe(std::vector<std::unique_ptr<TokenSource>> issuers) {
  auto all = std::make_shared<Sources>();
  if (bootstrap_) all->push_back(bootstrap_);
  for (auto& issuer : issuers) all->push_back(std::move(issuer));
  if (webhook_) all->push_back(webhook_);
  any_sources_ = !all->empty();
  sources_.store(std::move(all));
}

Result<void> Authenticator::reload(std::string_view configuration) {
  auto read = read_authentication_configuration(configuration, registry_.world(), {{}, options_.issuers});
  if (!read) return fail(Code::invalid, read.error().message);
  if (read->anonymous != anonymous_of_file_) return fail(Code::invalid, "the anonymous section cannot change without a restart");
  for (auto& issuer : read->issuers)
    if (auto ok = issuer->prepare(); !ok) return fail(Code::unavailable, ok.error().message);
  believe(std::move(read->issuers));
  return {};
}

bool Authenticator::anonymous_may(std::string_view path) const {
  if (!anonymous_.enabled) return false;
  return anonymous_.paths.empty() || std::find(anonymous_.paths.begin(), anonymous_.paths.end(), path) != anonymous_.paths.end();
}

// Each way is tried in its turn; credentials that are no good are no way to be anonymous.
ApiResult<User> Authenticator::authenticate(const net::Request& request, TokenFindings* findings) const {
  bool refused = !request.peer_error.empty();
  if (auto user = front_proxy_.user_of(request)) return with_authenticated(std::move(*user));
  if (std::string fault = front_proxy_.fault_of(request); !fault.empty()) {
    refused = true;
    log_debug("authn", "a front proxy is refused", {{"peer", request.remote_address}, {"why", fault}});
  }
  if (request.peer)
    return with_authenticated({request.peer->common_name,
                               request.peer->uid,
                               request.peer->organizations,
                               {{"authentication.kubernetes.io/credential-id", {"X509SHA256=" + request.peer->der_sha256_hex}}}});
  std::string_view header = request.headers.get("authorization");
  if (!header.empty()) {
    auto space = header.find(' ');
    std::string_view scheme = header.substr(0, space);
    std::string_view token = space == std::string_view::npos ? std::string_view() : trim(header.substr(space + 1));
    if (equals_ignore_case(scheme, "Bearer") && !token.empty()) {
      if (auto user = check_token(token, options_.audiences, findings)) return *user;
      refused = true;
    }
  }
  // A browser's WebSocket cannot set headers: the token comes as a sub-protocol.
  for (std::string_view offered : split(request.headers.get("sec-websocket-protocol"), ',')) {
    constexpr std::string_view prefix = "base64url.bearer.authorization.k8s.io.";
    if (!trim(offered).starts_with(prefix)) continue;
    auto token = base64url_decode(trim(offered).substr(prefix.size()));
    if (token)
      if (auto user = check_token(*token, options_.audiences, findings)) return *user;
    refused = true;
  }
  if (refused || !anonymous_may(request.path)) return fail(unauthorized());
  return anonymous_user();
}

bool Authenticator::asks_outside() const {
  if (!any_sources_.load(std::memory_order_relaxed)) return false;
  const auto all = sources();
  return std::any_of(all->begin(), all->end(), [](const auto& source) { return source->asks_outside(); });
}

bool Authenticator::may_wait(const net::Request& request) const {
  if (!asks_outside() || request.peer) return false;
  if (request.headers.find("sec-websocket-protocol")) return true;
  std::string_view header = request.headers.get("authorization");
  auto space = header.find(' ');
  if (space == std::string_view::npos) return false;
  std::string_view token = trim(header.substr(space + 1));
  if (static_tokens_.contains(net::sha256(token)) || check_service_account(token, options_.audiences, nullptr)) return false;
  const auto all = sources();
  return std::any_of(all->begin(), all->end(),
                     [&](const auto& source) { return source->asks_outside() && !source->knows(token, options_.audiences); });
}

void Authenticator::strip(net::Request& request) const {
  request.headers.erase("authorization");
  if (request.proxy) front_proxy_.strip(request.headers);
}

// What names no audience is for this server alone.
bool Authenticator::for_us(const std::vector<std::string>& audiences) const {
  return std::any_of(audiences.begin(), audiences.end(), [&](const std::string& a) {
    return std::find(options_.audiences.begin(), options_.audiences.end(), a) != options_.audiences.end();
  });
}

std::vector<std::string> Authenticator::ours_of(const std::vector<std::string>& audiences) const {
  std::vector<std::string> out;
  for (const std::string& a : audiences)
    if (std::find(options_.audiences.begin(), options_.audiences.end(), a) != options_.audiences.end()) out.push_back(a);
  return out;
}

std::optional<User> Authenticator::check_token(std::string_view token, const std::vector<std::string>& audiences,
                                               TokenFindings* findings) const {
  const bool ours = for_us(audiences);
  if (auto found = static_tokens_.find(net::sha256(token)); ours && found != static_tokens_.end()) {
    if (findings) findings->audiences = ours_of(audiences);
    return found->second;
  }
  if (auto user = check_service_account(token, audiences, findings)) return user;
  if (!any_sources_.load(std::memory_order_relaxed)) return std::nullopt;
  const auto all = sources();
  for (const auto& source : *all) {
    if (!ours && !source->knows_audiences()) continue;
    std::string why;
    auto known = source->check(token, audiences, why);
    if (!known) {
      if (findings && !why.empty()) findings->errors.push_back(std::move(why));
      continue;
    }
    if (findings) findings->audiences = source->knows_audiences() ? std::move(known->audiences) : ours_of(audiences);
    return with_authenticated(std::move(known->user));
  }
  return std::nullopt;
}

// By its unverified claims: only to say what is wrong with it.
bool Authenticator::says_to_be_ours(std::string_view token) const {
  auto jwt = net::decode_jwt(token);
  auto claims = jwt ? parse_json(jwt->claims_json) : fail(Code::invalid, "");
  if (!claims) return false;
  const std::string_view issuer = (*claims)["iss"].as_string();
  return issuer == legacy_issuer || std::find(options_.issuers.begin(), options_.issuers.end(), issuer) != options_.issuers.end();
}

// What a good signature was found under stays signed: it is verified once. All else is judged anew each time.
std::optional<Document> Authenticator::signed_claims(std::string_view token) const {
  std::string digest = net::sha256(token);
  {
    std::shared_lock lock(verified_mutex_);
    if (auto found = verified_.find(digest); found != verified_.end()) return found->second;
  }
  auto jwt = net::verify_jwt(token, options_.service_account_keys);
  if (!jwt) return std::nullopt;
  auto claims = parse_json(jwt->claims_json);
  if (!claims) return std::nullopt;
  std::unique_lock lock(verified_mutex_);
  if (verified_.size() >= max_verified) verified_.clear();
  verified_.emplace(std::move(digest), *claims);
  return *claims;
}

bool Authenticator::answers_at_once(const net::Request& request) const {
  std::string_view header = request.headers.get("authorization");
  if (!header.empty()) {
    constexpr std::string_view scheme = "Bearer ";
    if (any_sources_ || !header.starts_with(scheme)) return false;  // others may be asked when it is not good any more
    const std::string digest = net::sha256(trim(header.substr(scheme.size())));
    if (static_tokens_.contains(digest)) return true;
    std::shared_lock lock(verified_mutex_);
    auto found = verified_.find(digest);
    return found != verified_.end() && found->second["iss"].as_string() != legacy_issuer;  // of its use there is more to say
  }
  return !request.headers.find("sec-websocket-protocol");
}

// A bound token: signed by us, in its time, for one of our audiences, and what it is bound to still exists.
std::optional<User> Authenticator::check_service_account(std::string_view token, const std::vector<std::string>& audiences,
                                                         TokenFindings* findings) const {
  if (std::count(token.begin(), token.end(), '.') != 2) return std::nullopt;
  auto claims = signed_claims(token);
  auto refuse = [&](std::string why) {
    if (findings) findings->errors.push_back(std::move(why));
    return std::nullopt;
  };
  if (!claims) return findings && says_to_be_ours(token) ? refuse("go-jose/go-jose: error in cryptographic primitive") : std::nullopt;
  const Time time = registry_.world().clock.now();
  if ((*claims)["iss"].as_string() == legacy_issuer) {
    if (!for_us(audiences))
      return refuse(
          fmt::format("token audiences {} is invalid for the target audiences {}", go_quoted(options_.audiences), go_quoted(audiences)));
    auto used = [&](const Document& secret) {
      if (options_.token_used) options_.token_used(secret);
    };
    auto user = legacy_account(registry_, token, claims->root(), time, used, findings);
    if (!user) return std::nullopt;
    if (findings) findings->audiences = ours_of(audiences);
    return with_authenticated(std::move(*user));
  }
  if (std::find(options_.issuers.begin(), options_.issuers.end(), (*claims)["iss"].as_string()) == options_.issuers.end())
    return std::nullopt;
  std::int64_t now = std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
  auto names = [&](const std::string& asked) {
    for (Value audience : (*claims)["aud"].items())
      if (audience.as_string() == asked) return true;
    return false;
  };
  if (!std::any_of(audiences.begin(), audiences.end(), names)) {
    std::vector<std::string> meant;
    for (Value audience : (*claims)["aud"].items()) meant.push_back(audience.str());
    return refuse(fmt::format("token audiences {} is invalid for the target audiences {}", go_quoted(meant), go_quoted(audiences)));
  }
  constexpr std::int64_t clock_leeway_s = 60;
  if ((*claims)["exp"].as_int() < now - clock_leeway_s) return refuse("service account token has expired");
  if ((*claims)["nbf"].as_int() > now + clock_leeway_s) return refuse("service account token is not valid yet");
  Value bound = (*claims)["kubernetes.io"];
  std::string ns = bound["namespace"].str(), name = bound["serviceaccount"]["name"].str();
  Document account = registry_.read("", "v1", "serviceaccounts", ns, name);
  if (!account) return refuse(fmt::format("serviceaccounts {} not found", go_quote(name)));
  if (account["metadata"]["uid"].as_string() != bound["serviceaccount"]["uid"].as_string())
    return refuse(fmt::format("service account UID ({}) does not match claim ({})", account["metadata"]["uid"].as_string(),
                              bound["serviceaccount"]["uid"].as_string()));
  if (gone_for_good(account, time)) return refuse(fmt::format("service account {}/{} has been deleted", ns, name));
  // What the token hangs on lives, and is the one of that name.
  auto lives = [&](std::string_view claim, std::string_view plural, std::string_view in) -> std::string {
    constexpr std::string_view invalidated = "service account token has been invalidated";
    Document object = registry_.read("", "v1", plural, in, bound[claim]["name"].as_string());
    if (!object) return std::string(invalidated);
    if (object["metadata"]["uid"].as_string() != bound[claim]["uid"].as_string())
      return fmt::format("{} UID ({}) does not match service account {} ref claim ({})", claim, object["metadata"]["uid"].as_string(),
                         claim, bound[claim]["uid"].as_string());
    return gone_for_good(object, time) ? std::string(invalidated) : std::string();
  };
  User user{fmt::format("{}{}:{}", account_prefix, ns, name),
            bound["serviceaccount"]["uid"].str(),
            {"system:serviceaccounts", "system:serviceaccounts:" + ns},
            {}};
  for (auto [claim, plural] : {std::pair("secret", "secrets"), std::pair("pod", "pods")}) {
    if (!bound[claim].exists()) continue;
    if (std::string why = lives(claim, plural, ns); !why.empty()) return refuse(std::move(why));
    if (std::string_view(claim) == "pod") {
      user.extra.push_back({"authentication.kubernetes.io/pod-name", {bound[claim]["name"].str()}});
      user.extra.push_back({"authentication.kubernetes.io/pod-uid", {bound[claim]["uid"].str()}});
    }
  }
  // A token of a node alone ends with it; of a pod's the node is only told.
  if (bound["node"].exists() && !bound["pod"].exists())
    if (std::string why = lives("node", "nodes", ""); !why.empty()) return refuse(std::move(why));
  if (bound["node"].exists()) {
    user.extra.push_back({"authentication.kubernetes.io/node-name", {bound["node"]["name"].str()}});
    user.extra.push_back({"authentication.kubernetes.io/node-uid", {bound["node"]["uid"].str()}});
  }
  if (std::string_view id = (*claims)["jti"].as_string(); !id.empty())
    user.extra.push_back({"authentication.kubernetes.io/credential-id", {"JTI=" + std::string(id)}});
  if (findings) {
    findings->audiences.clear();
    std::copy_if(audiences.begin(), audiences.end(), std::back_inserter(findings->audiences), names);
    note_age(bound["warnafter"], now, user.name, *findings);
  }
  return with_authenticated(std::move(user));
}

}  // namespace kybern::apiserver
