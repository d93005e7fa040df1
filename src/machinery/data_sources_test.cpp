#include "machinery/data_sources.h"

#include <gtest/gtest.h>

#include "document/json.h"

namespace kybern {
namespace {

TEST(DataSources, Settle) {
#define CLAIM_SOURCE R"({"kind":"PersistentVolumeClaim","name":"a"})"
#define OTHER_SOURCE R"({"apiGroup":"x.io","kind":"X","name":"a"})"
  struct Row {
    const char *spec, *before, *settled;
  };
  for (auto [spec, before, settled] : {
           Row{"{}", "{}", "{}"},
           Row{R"({"dataSource":)" CLAIM_SOURCE "}", "{}", R"({"dataSource":)" CLAIM_SOURCE R"(,"dataSourceRef":)" CLAIM_SOURCE "}"},
           Row{R"({"dataSourceRef":)" OTHER_SOURCE "}", "{}", R"({"dataSourceRef":)" OTHER_SOURCE R"(,"dataSource":)" OTHER_SOURCE "}"},
           Row{R"({"dataSource":)" OTHER_SOURCE "}", "{}", "{}"},
           Row{R"({"dataSource":)" OTHER_SOURCE "}", R"({"dataSource":)" OTHER_SOURCE "}",
               R"({"dataSource":)" OTHER_SOURCE R"(,"dataSourceRef":)" OTHER_SOURCE "}"},
           Row{R"({"dataSourceRef":{"kind":"PersistentVolumeClaim","name":"a","namespace":"b"}})", "{}", "{}"},
           Row{R"({"dataSourceRef":{"kind":"PersistentVolumeClaim","name":"a","namespace":""}})", "{}",
               R"({"dataSourceRef":{"kind":"PersistentVolumeClaim","name":"a","namespace":""},"dataSource":)" CLAIM_SOURCE "}"},
       }) {
    auto given = parse_json(spec), old = parse_json(before);
    Draft draft(*given);
    settle_data_sources(draft, *old);
    Document out = draft.freeze();
    EXPECT_EQ(to_json(out.root()), settled) << spec;
  }
}

}  // namespace
}  // namespace kybern
