#include <string>

#include "base/strings.h"
#include "client/mirror.h"
#include "client/transport.h"

namespace kybern::client {

std::string object_path(std::string_view api_version, std::string_view resource, std::string_view ns, std::string_view name,
                        std::string_view subresource) {
  std::string path = api_version.find('/') == std::string_view::npos ? "/api/" : "/apis/";
  path += api_version;
  if (!ns.empty()) {
    path += "/namespaces/";
    path += url_encode(ns);
  }
  path += '/';
  path += resource;
  if (!name.empty()) {
    path += '/';
    path += url_encode(name);
  }
  if (!subresource.empty()) {
    path += '/';
    path += subresource;
  }
  return path;
}

std::string make_query(std::initializer_list<std::pair<std::string_view, std::string_view>> parameters) {
  std::string query;
  for (const auto& [name, value] : parameters) {
    if (!query.empty()) query += '&';
    query += name;
    query += '=';
    query += url_encode(value);
  }
  return query;
}

std::string key_of(Value object) {
  const Value meta = object["metadata"];
  const std::string_view ns = meta["namespace"].as_string(), name = meta["name"].as_string();
  std::string key;
  key.reserve(ns.size() + 1 + name.size());
  if (!ns.empty()) {
    key += ns;
    key += '/';
  }
  key += name;
  return key;
}

}  // namespace kybern::client
