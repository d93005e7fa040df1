#include "machinery/status.h"

#include <gtest/gtest.h>

#include "document/json.h"

namespace kybern {
namespace {

using Type = FieldError::Type;

struct Case {
  const char* name;
  Status status;
  const char* json;
};

TEST(Status, DocumentsAreUpstreams) {
  const Case cases[] = {
      {"not found", not_found("", "pods", "web"),
       R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"pods \"web\" not found","reason":"NotFound","details":{"name":"web","kind":"pods"},"code":404})"},
      {"not found in a group", not_found("apps", "deployments", "web"),
       R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"deployments.apps \"web\" not found","reason":"NotFound","details":{"name":"web","group":"apps","kind":"deployments"},"code":404})"},
      {"already exists", already_exists("", "configmaps", "a"),
       R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"configmaps \"a\" already exists","reason":"AlreadyExists","details":{"name":"a","kind":"configmaps"},"code":409})"},
      {"conflict", conflict("apps", "deployments", "a", "the object has been modified"),
       R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Operation cannot be fulfilled on deployments.apps \"a\": the object has been modified","reason":"Conflict","details":{"name":"a","group":"apps","kind":"deployments"},"code":409})"},
      {"one cause", invalid("", "Pod", "a", {{Type::required, "spec.x", "", ""}}),
       R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Pod \"a\" is invalid: spec.x: Required value","reason":"Invalid","details":{"name":"a","kind":"Pod","causes":[{"reason":"FieldValueRequired","message":"Required value","field":"spec.x"}]},"code":422})"},
      {"two causes, one twice",
       invalid("apps", "Deployment", "a",
               {{Type::invalid, "x", "-1", "bad"}, {Type::forbidden, "y", "", "no"}, {Type::invalid, "x", "-1", "bad"}}),
       R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Deployment.apps \"a\" is invalid: [x: Invalid value: -1: bad, y: Forbidden: no]","reason":"Invalid","details":{"name":"a","group":"apps","kind":"Deployment","causes":[{"reason":"FieldValueInvalid","message":"Invalid value: -1: bad","field":"x"},{"reason":"FieldValueForbidden","message":"Forbidden: no","field":"y"},{"reason":"FieldValueInvalid","message":"Invalid value: -1: bad","field":"x"}]},"code":422})"},
      {"forbidden without a resource", forbidden("", "", "", R"(User "u" cannot get path "/logs")"),
       R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"forbidden: User \"u\" cannot get path \"/logs\"","reason":"Forbidden","details":{},"code":403})"},
      {"unauthorized", unauthorized(),
       R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Unauthorized","reason":"Unauthorized","code":401})"},
      {"generic 405", generic_method_not_allowed(),
       R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"the server does not allow this method on the requested resource","reason":"MethodNotAllowed","details":{},"code":405})"},
      {"deleted", deleted("apps", "deployments", "a", "6726"),
       R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success","details":{"name":"a","group":"apps","kind":"deployments","uid":"6726"}})"},
      {"too many requests", too_many_requests("slow down", 2),
       R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"slow down","reason":"TooManyRequests","details":{"retryAfterSeconds":2},"code":429})"},
      {"internal", internal_error("boom"),
       R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"Internal error occurred: boom","reason":"InternalError","details":{"causes":[{"message":"boom"}]},"code":500})"},
  };
  for (const Case& c : cases) {
    Document document = c.status.document();
    EXPECT_EQ(to_json(document.root()), c.json) << c.name;
    auto read = Status::read(document);
    ASSERT_TRUE(read) << c.name;
    EXPECT_EQ(to_json(read->document().root()), c.json) << c.name;
  }
}

TEST(Status, OnlyAStatusIsRead) {
  EXPECT_FALSE(Status::read(Value()));
  Document pod = Draft::object({{"kind", "Pod"}, {"apiVersion", "v1"}}).freeze();
  EXPECT_FALSE(Status::read(pod));
}

}  // namespace
}  // namespace kybern
