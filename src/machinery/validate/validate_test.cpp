#include "machinery/validate/validate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>

#include "document/json.h"
#include "machinery/testing/mini_server.h"

namespace kybern {
namespace {

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) text.replace(at, from.size(), to);
}

// What the recorded server, which is older, words otherwise than v1.36 does.
std::string modern(std::string text) {
  const std::pair<const char*, const char*> words[] = {
      {"a qualified name must consist of", "a valid label key must consist of"},
      {"must be no more than 63 characters", "must be no more than 63 bytes"},
      {"must be no more than 253 characters", "must be no more than 253 bytes"},
      {"must be no more than 15 characters", "must be no more than 15 bytes"},
      {"must have at most 262144 bytes", "may not be more than 262144 bytes"},
      {"must have at most 262144 characters", "may not be more than 262144 bytes"},
      {"must have at most 1048576 characters", "may not be more than 1048576 bytes"},
      {"must be a valid IP address, (e.g. 10.9.8.7)", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"},
      {"must be valid IP address", "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"},
      {"must contain at least one letter or number (a-z, 0-9)", "must contain at least one letter (a-z)"},
  };
  for (auto [from, to] : words) replace_all(text, from, to);
  return text;
}

struct Score {
  int judged = 0, right = 0, codes = 0;
};

std::string causes(Value status, bool sorted) {
  std::vector<std::string> lines;
  for (Value cause : status["details"]["causes"].items()) lines.push_back(cause["field"].str() + ": " + modern(cause["message"].str()) + " (" + cause["reason"].str() + ")");
  if (sorted) std::sort(lines.begin(), lines.end());
  return join(lines, "\n      ");
}

void run(const char* file, Score& score, bool print) {
  auto cases = testing::recorded(KYBERN_SOURCE_DIR, file);
  if (!cases) return;
  for (Value one : cases->root().items()) {
    testing::MiniServer server;
    std::size_t number = 0;
    for (Value step : one["steps"].items()) {
      ++number;
      testing::MiniServer::Answer answer = server.step(step);
      auto code = static_cast<int>(step["answer"]["code"].as_int());
      if (!answer.judged || (code >= 300 && code != 422) || code == 0) continue;
      ++score.judged;
      bool accepted = code < 300, ours = answer.status.code == 200;
      Value body = step["answer"]["body"];
      Document status = answer.status.document();
      bool right = accepted == ours && (accepted || !body["details"]["causes"].exists() || causes(body, true) == causes(status, true));
      if (accepted == ours) ++score.codes;
      if (right) ++score.right;
      else if (print) {
        std::printf("%s (step %zu)\n  recorded %d: %s\n      %s\n  ours     %d: %s\n      %s\n", one["name"].str().c_str(), number, code, body["message"].str().substr(0, 200).c_str(), causes(body, false).c_str(),
                    answer.status.code, answer.status.message.substr(0, 200).c_str(), causes(status, false).c_str());
      }
    }
  }
  std::printf("%s: %d of %d judged as upstream to the last word, %d by accepting or refusing\n", file, score.right, score.judged, score.codes);
}

TEST(Validate, CoreRecordings) {
  Score score;
  run("21_core_validation.json", score, std::getenv("KYBERN_SHOW") != nullptr);
  if (score.judged == 0) GTEST_SKIP() << "no recorded conversations beside the source tree";
  EXPECT_GE(score.right * 100, score.judged * 90);
  EXPECT_GE(score.codes * 100, score.judged * 97);
}

TEST(Validate, GroupRecordings) {
  Score score;
  run("31_groups_validation.json", score, std::getenv("KYBERN_SHOW") != nullptr);
  if (score.judged == 0) GTEST_SKIP() << "no recorded conversations beside the source tree";
  EXPECT_GE(score.right * 100, score.judged * 90);
  EXPECT_GE(score.codes * 100, score.judged * 97);
}

// Everything that other recordings create is accepted.
TEST(Validate, DefaultsRecordingsAreAccepted) {
  Score score;
  for (const char* file : {"10_generic.json", "20_core_defaults.json", "30_groups_defaults.json", "40_apply.json", "41_patch.json"}) {
    Score one;
    run(file, one, std::getenv("KYBERN_SHOW") != nullptr);
    score.judged += one.judged;
    score.right += one.right;
  }
  if (score.judged == 0) GTEST_SKIP() << "no recorded conversations beside the source tree";
  EXPECT_GE(score.right * 100, score.judged * 95);
}

}  // namespace
}  // namespace kybern
