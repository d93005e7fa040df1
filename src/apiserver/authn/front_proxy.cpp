#include "apiserver/authn/front_proxy.h"

#include <algorithm>

#include "base/strings.h"

namespace kybern::apiserver {
namespace {

std::string first_of(const net::Headers& headers, const std::vector<std::string>& names) {
  for (const std::string& name : names)
    if (std::string_view value = headers.get(name); !value.empty()) return std::string(value);
  return {};
}

}  // namespace

FrontProxy::FrontProxy(FrontProxyOptions options) : options_(std::move(options)) {
  for (auto* names : {&options_.username_headers, &options_.uid_headers, &options_.group_headers, &options_.extra_prefixes})
    for (std::string& name : *names) name = to_lower(name);
}

bool FrontProxy::names_allow(const net::PeerCertificate& certificate) const {
  const auto& names = options_.allowed_names;
  return names.empty() || std::find(names.begin(), names.end(), certificate.common_name) != names.end();
}

std::string FrontProxy::fault_of(const net::Request& request) const {
  if (!request.proxy || names_allow(*request.proxy)) return "";
  return "x509: subject with cn=" + request.proxy->common_name + " is not in the allowed list";
}

std::optional<User> FrontProxy::user_of(const net::Request& request) const {
  if (!request.proxy || !names_allow(*request.proxy)) return std::nullopt;
  User user{first_of(request.headers, options_.username_headers), "", {}, {}};
  if (user.name.empty()) return std::nullopt;
  user.uid = first_of(request.headers, options_.uid_headers);
  for (const std::string& name : options_.group_headers)
    for (std::string_view group : request.headers.all(name))
      if (!group.empty()) user.groups.emplace_back(group);
  for (const std::string& prefix : options_.extra_prefixes) {
    for (const auto& [name, value] : request.headers.fields()) {
      if (!name.starts_with(prefix)) continue;
      // A key may hold what a header's name may not: it comes percent-encoded.
      std::string key = url_decode(std::string_view(name).substr(prefix.size()), false);
      auto found = std::find_if(user.extra.begin(), user.extra.end(), [&](const auto& e) { return e.first == key; });
      if (found == user.extra.end()) user.extra.push_back({std::move(key), {value}});
      else found->second.push_back(value);
    }
  }
  return user;
}

void FrontProxy::strip(net::Headers& headers) const {
  std::vector<std::string> said;
  for (const auto* names : {&options_.username_headers, &options_.uid_headers, &options_.group_headers})
    said.insert(said.end(), names->begin(), names->end());
  for (const auto& [name, value] : headers.fields())
    for (const std::string& prefix : options_.extra_prefixes)
      if (name.starts_with(prefix)) said.push_back(name);
  for (const std::string& name : said) headers.erase(name);
}

}  // namespace kybern::apiserver
