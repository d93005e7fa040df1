#include "apiserver/http/request_info.h"

#include <vector>

#include "base/strings.h"
#include "machinery/fields.h"

namespace kybern::apiserver {
namespace {

std::string verb_of(std::string_view method) {
  if (method == "POST") return "create";
  if (method == "GET" || method == "HEAD") return "get";
  if (method == "PUT") return "update";
  if (method == "PATCH") return "patch";
  if (method == "DELETE") return "delete";
  return "";
}

}  // namespace

RequestInfo read_request_info(std::string_view method, std::string_view path, const Query& query) {
  RequestInfo info;
  info.path = url_decode(path, false);
  info.verb = to_lower(method);
  std::vector<std::string> parts;
  for (std::string_view piece : split(path, '/'))
    if (!piece.empty() || !parts.empty()) parts.push_back(url_decode(piece, false));
  while (!parts.empty() && parts.back().empty()) parts.pop_back();
  std::size_t at = 0;
  auto left = [&] { return parts.size() - at; };
  if (left() < 3 || (parts[0] != "api" && parts[0] != "apis")) return info;
  if (parts[0] == "apis") {
    if (left() < 4) return info;
    info.group = parts[1];
    at = 2;
  } else {
    at = 1;
  }
  info.version = parts[at++];
  info.is_resource = true;
  info.verb = verb_of(method);
  bool old_watch = false;  // /api/v1/watch/pods, the deprecated form
  if (parts[at] == "watch" && left() > 1) {
    old_watch = true;
    ++at;
  }
  if (parts[at] == "namespaces" && left() > 1) {
    info.ns = parts[at + 1];
    bool of_the_namespace = left() == 3 && (parts[at + 2] == "status" || parts[at + 2] == "finalize");
    if (left() > 2 && !of_the_namespace) at += 2;
  }
  info.resource = parts[at++];
  if (left()) info.name = parts[at++];
  if (left()) info.subresource = parts[at++];
  for (; left(); ++at) info.rest += "/" + parts[at];
  // Of a namespace object itself the namespace is its own name.
  if (info.resource == "namespaces" && info.group.empty()) info.ns = info.name;
  if (old_watch) {
    info.verb = "watch";
  } else if (info.name.empty() && info.verb == "get") {
    info.verb = query.flag("watch") ? "watch" : "list";
  } else if (info.name.empty() && info.verb == "delete") {
    info.verb = "deletecollection";
  } else if (info.verb == "get" && info.subresource.empty() && query.flag("watch")) {
    info.verb = "watch";
  }
  if (info.verb == "list" || info.verb == "watch" || info.verb == "deletecollection") {
    info.field_selector = query.get("fieldSelector");
    info.label_selector = query.get("labelSelector");
    if (!info.field_selector.empty())
      if (auto selector = FieldSelector::parse(info.field_selector); selector)
        if (auto name = selector->exact("metadata.name")) info.selected_name = *name;
  }
  return info;
}

}  // namespace kybern::apiserver
