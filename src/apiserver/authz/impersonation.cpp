#include "apiserver/authz/impersonation.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <optional>

#include "base/strings.h"
#include "machinery/names.h"

namespace kybern::apiserver {
namespace {

constexpr std::string_view node_user = "system:node:", account_user = "system:serviceaccount:";
constexpr std::string_view authentication_group = "authentication.k8s.io";
constexpr std::string_view extra_header = "impersonate-extra-";
constexpr std::size_t asked_at_once = 4;  // from so many groups or values on, whether all are allowed is asked first
constexpr std::size_t most_ways = 1024;   // users of whom the last way is known

struct Account {
  std::string ns, name;
};

std::optional<Account> account_of(std::string_view user) {
  if (!user.starts_with(account_user)) return std::nullopt;
  const auto parts = split(user.substr(account_user.size()), ':');
  if (parts.size() != 2 || !names::dns1123_label(parts[0]).empty() || !names::dns1123_subdomain(parts[1]).empty()) return std::nullopt;
  return Account{std::string(parts[0]), std::string(parts[1])};
}

std::optional<std::string> node_name_of(std::string_view user) {
  if (!user.starts_with(node_user)) return std::nullopt;
  const std::string_view name = user.substr(node_user.size());
  if (!names::dns1123_subdomain(name).empty()) return std::nullopt;
  return std::string(name);
}

bool only_named(const User& wanted) { return wanted.uid.empty() && wanted.groups.empty() && wanted.extra.empty(); }

// As Go prints such a value.
std::string go_user(const User& user) {
  auto texts = [](const std::vector<std::string>& list) {
    std::string out;
    for (const std::string& text : list) out += (out.empty() ? "" : ", ") + go_quote(text);
    return "[]string{" + out + "}";
  };
  std::vector<std::string> extra;
  for (const auto& [key, values] : user.extra) extra.push_back(go_quote(key) + ":" + texts(values));
  std::sort(extra.begin(), extra.end());
  return fmt::format("&user.DefaultInfo{{Name:\"\", UID:{}, Groups:{}, Extra:map[string][]string{}}}", go_quote(user.uid),
                     user.groups.empty() ? "[]string(nil)" : texts(user.groups), extra.empty() ? "(nil)" : "{" + join(extra, ", ") + "}");
}

// The user of the headers as they are; nothing without such headers.
ApiResult<std::optional<User>> wanted_user(const net::Headers& headers) {
  User wanted{std::string(headers.get("impersonate-user")), std::string(headers.get("impersonate-uid")), {}, {}};
  for (std::string_view group : headers.all("impersonate-group")) wanted.groups.emplace_back(group);
  for (const auto& [header, value] : headers.fields()) {
    if (!header.starts_with(extra_header)) continue;
    std::string key = url_decode(std::string_view(header).substr(extra_header.size()), false);
    auto found = std::find_if(wanted.extra.begin(), wanted.extra.end(), [&](const auto& e) { return e.first == key; });
    if (found == wanted.extra.end()) wanted.extra.push_back({std::move(key), {value}});
    else found->second.push_back(value);
  }
  if (!wanted.name.empty()) return std::optional(std::move(wanted));
  if (only_named(wanted)) return std::optional<User>();
  return fail(bad_request(fmt::format("requested {} without impersonating a user name", go_user(wanted))));
}

// Who asks, for the right to be the node that he runs on: alike on all nodes, so that one answer is good for all of them.
User without_node(const User& user) {
  User out{user.name, user.uid, user.groups, {}};
  std::vector<std::string> keys;
  for (const auto& [key, values] : user.extra) keys.push_back(key);
  std::sort(keys.begin(), keys.end());
  out.extra.emplace_back("authentication.kubernetes.io/associated-node-keys", std::move(keys));
  return out;
}

bool on_node(const User& user, const User& wanted) {
  const auto node = node_name_of(wanted.name);
  if (!node || !account_of(user.name)) return false;
  auto found =
      std::find_if(user.extra.begin(), user.extra.end(), [](const auto& e) { return e.first == "authentication.kubernetes.io/node-name"; });
  return found != user.extra.end() && found->second == std::vector<std::string>{*node};
}

struct Way {
  std::string_view mode;  // "": the verb `impersonate`
  bool (*fits)(const User& wanted, const User& user);
};
// In the order in which they are tried.
constexpr Way ways[] = {
    {"associated-node", [](const User& wanted, const User& user) { return only_named(wanted) && on_node(user, wanted); }},
    {"arbitrary-node", [](const User& wanted, const User&) { return only_named(wanted) && node_name_of(wanted.name).has_value(); }},
    {"serviceaccount", [](const User& wanted, const User&) { return only_named(wanted) && account_of(wanted.name).has_value(); }},
    {"user-info", [](const User& wanted, const User&) { return !node_name_of(wanted.name) && !account_of(wanted.name); }},
    {"", [](const User&, const User&) { return true; }},
};

// Whether somebody may be another user, by one way.
class Check {
 public:
  Check(const Authorizer& authorizer, const Way& way, const User& user)
      : authorizer_(authorizer),
        constrained_(!way.mode.empty()),
        of_own_node_(way.mode == "associated-node"),
        user_(of_own_node_ ? without_node(user) : user),
        verb_(constrained_ ? "impersonate:" + std::string(way.mode) : "impersonate") {}

  ApiResult<void> ask(const Attributes& a) const {
    Decision decision = authorizer_.authorize(a);
    if (decision.allowed) return {};
    if (!decision.error.empty()) decision.reason = decision.error + (decision.reason.empty() ? "" : ": " + decision.reason);
    return fail(denied(a, decision));
  }

  ApiResult<void> to_do(const RequestInfo& info, std::string_view mode) const {
    if (!constrained_) return {};
    Attributes a = attributes_of(user_, info);
    a.verb = fmt::format("impersonate-on:{}:{}", mode, a.verb);
    return ask(a);
  }

  ApiResult<User> to_be(const User& wanted) const {
    User out = wanted;
    if (auto ok = name(wanted, out); !ok) return fail(std::move(ok.error()));
    if (!wanted.uid.empty())
      if (auto ok = ask(right(authentication_group, "uids", wanted.uid)); !ok) return fail(std::move(ok.error()));
    if (auto ok = groups(wanted); !ok) return fail(std::move(ok.error()));
    if (auto ok = extra(wanted); !ok) return fail(std::move(ok.error()));
    if (out.name == "system:anonymous") {
      if (!out.in_group("system:unauthenticated")) out.groups.push_back("system:unauthenticated");
    } else if (!out.in_group("system:authenticated") && !out.in_group("system:unauthenticated")) {
      out.groups.push_back("system:authenticated");
    }
    return out;
  }

  const std::string& verb() const { return verb_; }

 private:
  Attributes right(std::string_view group, std::string_view resource, std::string_view name) const {
    Attributes a;
    a.user = user_;
    a.verb = verb_;
    a.group = group;
    a.version = "v1";
    a.resource = resource;
    a.name = name;
    return a;
  }
  // Users and their groups are of the core group by the old verb.
  std::string_view group_of_names() const { return constrained_ ? authentication_group : std::string_view(); }

  ApiResult<void> refuse(Attributes a, std::string_view subject, std::string why) const {
    a.name = subject;
    return fail(denied(a, {.reason = std::move(why)}));
  }

  ApiResult<void> name(const User& wanted, User& out) const {
    Attributes a = right(group_of_names(), "users", wanted.name);
    if (auto node = constrained_ ? node_name_of(wanted.name) : std::nullopt) {
      a.resource = "nodes";
      a.name = of_own_node_ ? "*" : *node;
      out.groups = {"system:nodes"};
    }
    if (auto account = account_of(wanted.name)) {
      a.resource = "serviceaccounts";
      a.ns = account->ns;
      a.name = account->name;
      if (wanted.groups.empty()) out.groups = {"system:serviceaccounts", "system:serviceaccounts:" + account->ns};
    }
    return ask(a);
  }

  ApiResult<void> groups(const User& wanted) const {
    Attributes a = right(group_of_names(), "groups", "");
    if (constrained_ && std::find(wanted.groups.begin(), wanted.groups.end(), "") != wanted.groups.end())
      return refuse(a, "", "impersonating the empty string group is not allowed");
    if (constrained_ && wanted.in_group("system:masters"))
      return refuse(a, "system:masters", "impersonating the system:masters group is not allowed");
    if (constrained_ && wanted.groups.size() >= asked_at_once) {
      a.name = "*";
      if (ask(a)) return {};
    }
    for (const std::string& group : wanted.groups) {
      a.name = group;
      if (auto ok = ask(a); !ok) return ok;
    }
    return {};
  }

  ApiResult<void> extra(const User& wanted) const {
    Attributes a = right(authentication_group, "userextras", "");
    std::size_t count = 0;
    for (const auto& [key, values] : wanted.extra) {
      if (std::string why = constrained_ ? fault_of(key, values) : ""; !why.empty()) return refuse(a, "", std::move(why));
      count += values.size();
    }
    if (constrained_ && count >= asked_at_once) {
      a.subresource = a.name = "*";
      if (ask(a)) return {};
    }
    for (const auto& [key, values] : wanted.extra)
      for (const std::string& value : values) {
        a.subresource = key;
        a.name = value;
        if (auto ok = ask(a); !ok) return ok;
      }
    return {};
  }

  static std::string fault_of(const std::string& key, const std::vector<std::string>& values) {
    if (key.empty()) return "impersonating the empty string key in extra is not allowed";
    if (auto faults = names::domain_prefixed_path(key); !faults.empty())
      return fmt::format("impersonating an invalid key in extra is not allowed: extra.key: Invalid value: {}: {}", go_quote(key),
                         faults[0]);
    if (key != to_lower(key)) return "impersonating a non-lowercase key in extra is not allowed: " + go_quote(key);
    if (std::find(values.begin(), values.end(), "") != values.end()) return "impersonating the empty string value in extra is not allowed";
    return "";
  }

  const Authorizer& authorizer_;
  const bool constrained_, of_own_node_;
  const User user_;
  const std::string verb_;
};

}  // namespace

std::size_t Impersonation::last_way(const std::string& user) {
  std::lock_guard lock(mutex_);
  auto found = ways_.find(user);
  return found == ways_.end() ? std::size(ways) : found->second;
}

void Impersonation::came_through(const std::string& user, std::size_t way) {
  std::lock_guard lock(mutex_);
  if (ways_.size() >= most_ways && !ways_.contains(user)) ways_.clear();
  ways_[user] = way;
}

ApiResult<Impersonation::Outcome> Impersonation::resolve(const net::Request& request, User user, const RequestInfo& info) {
  auto wanted = wanted_user(request.headers);
  if (!wanted) return fail(std::move(wanted.error()));
  if (!*wanted) return Outcome{std::move(user), false, ""};
  std::optional<Status> first;
  auto attempt = [&](const Way& way) -> std::optional<Outcome> {
    if (!way.fits(**wanted, user)) return std::nullopt;
    const Check check(authorizer_, way, user);
    auto may = check.to_do(info, way.mode);
    ApiResult<User> out = may ? check.to_be(**wanted) : fail(std::move(may.error()));
    if (out) return Outcome{std::move(*out), true, way.mode.empty() ? "" : check.verb()};
    if (!first) first = std::move(out.error());
    return std::nullopt;
  };
  const std::size_t last = last_way(user.name);
  if (last < std::size(ways))
    if (auto out = attempt(ways[last])) return std::move(*out);
  for (std::size_t i = 0; i < std::size(ways); ++i) {
    if (i == last) continue;
    if (auto out = attempt(ways[i])) {
      came_through(user.name, i);
      return std::move(*out);
    }
  }
  return fail(std::move(*first));  // the last way fits everybody
}

}  // namespace kybern::apiserver
