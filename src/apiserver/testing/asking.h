// A registry with a namespace, asked as clients ask it: for tests of what lies between a request and the store.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "apiserver/http/requests.h"
#include "apiserver/registry/registry.h"
#include "document/json.h"
#include "document/yaml.h"
#include "store/store.h"

namespace kybern::apiserver::testing {

class Asking {
 public:
  Asking() : store_(std::move(*store::Store::open({}))), registry_(*store_, real_world(), {}) {}

  // path: "group/version/plural[/name[/subresource]]", the core group as "v1/...". Bodies are YAML.
  ApiResult<Answer> ask(std::string_view verb, std::string_view path, std::string_view body = "", std::string_view ns = "",
                        PatchKind patch = PatchKind::merge) {
    RequestInfo info;
    info.is_resource = true;
    info.verb = verb;
    std::string_view parts[5];
    std::size_t count = 0;
    while (count < 5 && !path.empty()) {
      std::size_t slash = path.find('/');
      parts[count++] = path.substr(0, slash);
      path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
    }
    std::size_t at = parts[0] == "v1" ? 0 : 1;
    if (at) info.group = parts[0];
    info.version = parts[at];
    info.resource = parts[at + 1];
    if (at + 2 < 5) info.name = parts[at + 2];
    if (at + 3 < 5) info.subresource = parts[at + 3];
    info.ns = ns;
    auto work = begin_work(registry_, user, info, Query(query));
    if (!work) return fail(std::move(work.error()));
    work->user_agent = "test";
    auto parsed = parse_yaml(body);
    auto answer = run_object_request(*work, verb, parsed && !parsed->empty() ? parsed->front() : Document(), patch);
    warnings = work->warnings;
    audit = work->audit_annotations;
    return answer;
  }
  // The message of the refusal, or "" when it was done.
  std::string refusal(std::string_view verb, std::string_view path, std::string_view body = "", std::string_view ns = "",
                      PatchKind patch = PatchKind::merge) {
    auto answer = ask(verb, path, body, ns, patch);
    code = answer ? answer->code : answer.error().code;
    reason = answer ? "" : answer.error().reason;
    return answer ? "" : answer.error().message;
  }
  Registry& registry() { return registry_; }

  User user{"admin", "", {"system:masters", "system:authenticated"}, {}};
  std::string query;
  std::vector<std::string> warnings;  // of the last request
  std::map<std::string, std::string> audit;
  int code = 0;
  std::string reason;

 private:
  std::unique_ptr<store::Store> store_;
  Registry registry_;
};

}  // namespace kybern::apiserver::testing
