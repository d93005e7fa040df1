// The fields of new objects are remembered by their shape: what comes out must be what is found without.
#include <gtest/gtest.h>

#include "document/json.h"
#include "machinery/apply/apply.h"
#include "schema/convert.h"

namespace kybern::apply {
namespace {

class ThatVersion : public Versions {
 public:
  ThatVersion(std::string_view version, std::string_view kind) : version_(version), type_(schema::find_type(version, kind)) {}
  bool has(std::string_view v) const override { return v == version_; }
  Place root(std::string_view) const override { return Place::of(*type_); }
  Document convert(Value object, std::string_view, std::string_view) const override { return object.document(); }
  const schema::Type& type() const { return *type_; }

 private:
  std::string version_;
  const schema::Type* type_;
};

TEST(Remembered, IsWhatIsFoundAnew) {
  struct Row {
    std::string_view kind, version, object;
  };
  // Neighbours differ in what decides who owns what, or in nothing of that.
  const Row rows[] = {
      {"ConfigMap", "v1", R"({"metadata":{"name":"a"},"data":{"k":"v"}})"},
      {"ConfigMap", "v1", R"({"metadata":{"name":"b"},"data":{"k":"other"}})"},
      {"ConfigMap", "v1", R"({"metadata":{"name":"b"},"data":{"l":"v"}})"},
      {"ConfigMap", "v1", R"({"metadata":{"name":"b"},"data":{"k":""}})"},
      {"ConfigMap", "v1", R"({"metadata":{"name":"b","labels":{"k":"v"}}})"},
      {"ConfigMap", "v1", R"({"metadata":{"name":"b","finalizers":["x.io/a","x.io/b"]}})"},
      {"ConfigMap", "v1", R"({"metadata":{"name":"b","finalizers":["x.io/a","x.io/c"]}})"},
      {"ConfigMap", "v1", R"({"metadata":{"name":"b"}})"},
      {"Pod", "v1", R"({"metadata":{"name":"a"},"spec":{"containers":[{"name":"m","image":"i"}]}})"},
      {"Pod", "v1", R"({"metadata":{"name":"b"},"spec":{"containers":[{"name":"n","image":"i"}]}})"},
      {"Pod", "v1",
       R"({"metadata":{"name":"b"},"spec":{"containers":[{"name":"n","image":"j","ports":[{"containerPort":80,"protocol":"TCP"}]}]}})"},
      {"Pod", "v1",
       R"({"metadata":{"name":"b"},"spec":{"containers":[{"name":"n","image":"j","ports":[{"containerPort":81,"protocol":"TCP"}]}]}})"},
      {"Pod", "v1",
       R"({"metadata":{"name":"b"},"spec":{"containers":[{"name":"n"}],"nodeSelector":{"a":"b"},"tolerations":[{"key":"x","operator":"Exists"}]}})"},
      {"Deployment", "apps/v1",
       R"({"metadata":{"name":"a"},"spec":{"replicas":3,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"n"}]}}}})"},
      {"Deployment", "apps/v1",
       R"({"metadata":{"name":"a"},"spec":{"replicas":0,"selector":{"matchLabels":{"a":"b"}},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"n"}]}}}})"},
  };
  for (int round = 0; round < 3; ++round) {
    for (const Row& row : rows) {
      ThatVersion versions(row.version, row.kind);
      Document object = *schema::to_typed(versions.type(), parse_json(row.object)->root()),
               empty = *schema::to_typed(versions.type(), Draft::object().freeze().root());
      FieldSet none, status;
      status.insert({"f:status"});
      for (std::string_view manager : {"one", "two"}) {
        Write anew{versions, row.version, manager, "", "2026-01-01T00:00:00Z", status, empty.root()};
        Write remembered = anew;
        remembered.kind = &versions.type();
        EXPECT_EQ(to_json(track(remembered, {}, object.root(), {}).root()), to_json(track(anew, {}, object.root(), {}).root()))
            << row.object;
      }
    }
  }
}

}  // namespace
}  // namespace kybern::apply
