// Which requests leave a trace, and how much of them: a file of audit.k8s.io/v1 Policy.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "apiserver/http/request_info.h"
#include "apiserver/user.h"
#include "base/result.h"
#include "document/document.h"

namespace kybern::apiserver::audit {

enum class Level { none, metadata, request, request_response };
enum class Stage : unsigned { request_received = 1, response_started = 2, response_complete = 4, panic = 8 };
std::string_view text_of(Level level);
std::string_view text_of(Stage stage);

struct Verdict {
  Level level = Level::none;
  unsigned omitted_stages = 0;  // bits of Stage
  bool omit_managed_fields = false;
};

class Policy {
 public:
  // Code::invalid with everything that is wrong: unknown fields, levels and stages, rules that match both resources and
  // paths, no rules.
  static Result<Policy> parse(std::string_view yaml);
  // The first rule that matches decides; none: no trace.
  Verdict judge(const User& user, const RequestInfo& info) const;

 private:
  struct Resources {
    std::string group;
    std::vector<std::string> resources, names;
  };
  struct Rule {
    Verdict verdict;
    std::vector<std::string> users, groups, verbs, namespaces, paths;
    std::vector<Resources> resources;
  };
  static bool matches(const Rule& rule, const User& user, const RequestInfo& info);
  static bool matches_resource(const Rule& rule, const RequestInfo& info);
  std::vector<Rule> rules_;
  unsigned omitted_stages_ = 0;
};

}  // namespace kybern::apiserver::audit
