#include "machinery/cel/admission.h"

#include <gtest/gtest.h>

#include "document/json.h"
#include "machinery/cel/test_support.h"

namespace kybern::cel {
namespace {

using test::json;

class Everything : public Authorizer {
 public:
  AuthorizationAnswer authorize(const AuthorizationQuestion& q) override { return {q.verb == "bypass" && q.resource == "pods", "", ""}; }
};

TEST(CelAdmission, match_conditions) {
  struct Row {
    const char* conditions;
    bool matches;
    const char* error;
  };
  constexpr Row rows[] = {
      {R"x([])x", true, ""},
      {R"x([{"name":"a","expression":"object.metadata.name == 'web'"}])x", true, ""},
      {R"x([{"name":"a","expression":"oldObject == null"}])x", true, ""},
      {R"x([{"name":"a","expression":"request.namespace == 'team' && request.kind.kind == 'Pod' && request.operation == 'CREATE'"}])x",
       true, ""},
      {R"x([{"name":"a","expression":"!('system:nodes' in request.userInfo.groups)"}])x", true, ""},
      {R"x([{"name":"a","expression":"request.userInfo.username == 'jane'"}])x", false, ""},
      {R"x([{"name":"a","expression":"!authorizer.group('').resource('pods').check('bypass').allowed()"}])x", false, ""},
      {R"x([{"name":"a","expression":"authorizer.requestResource.check('bypass').allowed()"}])x", true, ""},
      {R"x([{"name":"a","expression":"object.none == 1"}])x", true, "expression 'object.none == 1' resulted in error: no such key: none"},
      // False wins over what cannot be evaluated.
      {R"x([{"name":"a","expression":"object.none == 1"},{"name":"b","expression":"false"}])x", false, ""},
      {R"x([{"name":"a","expression":"true"},{"name":"b","expression":"true"}])x", true, ""},
  };
  Document object = json(R"({"metadata":{"name":"web"}})");
  Document request = json(
      R"({"kind":{"group":"","version":"v1","kind":"Pod"},"namespace":"team","operation":"CREATE","userInfo":{"username":"joe","groups":["a"]}})");
  Everything all;
  auto authorizer = authorizer_value(all);
  AuthorizationQuestion question;
  question.resource = "pods";
  auto check = resource_check_value(all, question);
  for (const Row& row : rows) {
    MatchConditions conditions(json(row.conditions).root());
    auto result = conditions.evaluate({object.root(), {}, request.root(), authorizer.get(), check.get()});
    EXPECT_EQ(result.matches, row.matches) << row.conditions << " " << result.error;
    EXPECT_EQ(result.error, row.error) << row.conditions;
  }
  MatchConditions broken(json(R"x([{"name":"a","expression":"object."}])x").root());
  EXPECT_TRUE(broken.evaluate({object.root(), {}, request.root(), nullptr, nullptr})
                  .error.starts_with("compilation error: compilation failed: ERROR: <input>:1:8"));
}

}  // namespace
}  // namespace kybern::cel
