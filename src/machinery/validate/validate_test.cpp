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
      {"not a valid CIDR", "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"},
      {"must contain at least one letter or number (a-z, 0-9)", "must contain at least one letter (a-z)"},
      {": name must not be empty", ": must not be empty"},
      {"Required value: kind is required", "Required value"},
      {"Required value: name is required", "Required value"},
      {"can not be set when the class field is also set", "must match `ingressClassName` when both are specified"},
      {"other than 'replicas', 'template', and 'updateStrategy' are",
       "other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' "
       "and 'minReadySeconds' are"},
      {"must be less than or equal to cpu limit", "must be less than or equal to cpu limit of 1"},
      {"except resources.requests for bound claims", "except resources.requests and volumeAttributesClassName for bound claims"},
      {"must have at most 1048576 bytes", "may not be more than 1048576 bytes"},
      {"loopback range (127.0.0.0/8)", "loopback range (127.0.0.0/8, ::1/128)"},
      {"multicast range (224.0.0.0/24)", "multicast range (224.0.0.0/24, ff02::/10)"},
      // Names of services are labels as others'.
      {"\"a.b\": a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end "
       "with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
       "\"a.b\": must not contain dots"},
      {"a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an "
       "alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
       "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an "
       "alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"},
      {"must be equal to example.com/x limit", "must be equal to example.com/x limit of 2"},
      {"source type of PersistentVolumeClaim for", "source type of PersistentVolumeClaim or Ephemeral for"},
      {"\"status.hostIP\", \"status.podIP\"", "\"status.hostIP\", \"status.hostIPs\", \"status.podIP\""},
      {"`spec.containers[*].image`, `spec.initContainers[*].image`, `spec.activeDeadlineSeconds` or `spec.tolerations` (only additions to "
       "existing tolerations)",
       "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to "
       "existing tolerations),`spec.terminationGracePeriodSeconds` "
       "(allow it to be set to 1 if it was previously negative)"},
  };
  replace_all(text, "value: \"null\":", "value: null:");
  for (auto [from, to] : words) replace_all(text, from, to);
  return text;
}

// Where a value written as Go writes it (v1.LabelSelector{...}, []string{"a"}) ends; 0 for any other value.
std::size_t go_value_end(std::string_view text) {
  std::size_t open = text.find_first_of("{( \":");
  if (open == 0 || open == std::string_view::npos || (text[open] != '{' && text[open] != '(')) return 0;
  int depth = 0;
  for (std::size_t i = open; i < text.size(); ++i) {
    if (text[i] == '{' || text[i] == '(') ++depth;
    if (text[i] != '}' && text[i] != ')') continue;
    if (--depth == 0 && (i + 1 == text.size() || text.substr(i + 1).starts_with(": "))) return i + 1;
  }
  return 0;
}

// `Invalid value: v1.LabelSelector{...}: empty selector`: v1.36 writes such values as JSON, which is not compared.
bool same_but_for_go_value(std::string_view recorded, std::string_view ours) {
  constexpr std::string_view marker = " value: ";
  std::size_t start = recorded.find(marker);
  if (start == std::string_view::npos) return false;
  std::string_view title = recorded.substr(0, start + marker.size()), value = recorded.substr(start + marker.size());
  std::size_t end = go_value_end(value);
  return end != 0 && ours.starts_with(title) && ours.ends_with(value.substr(end));
}

// Fields that later versions name otherwise.
std::string modern_field(std::string field) {
  if (field == "Value") return "value";
  replace_all(field, "scheduling.tolerations.tolerations", "scheduling.tolerations");
  return field;
}

bool same_cause(Value recorded, Value ours) {
  if (modern_field(recorded["field"].str()) != ours["field"].str() || !(recorded["reason"] == ours["reason"])) return false;
  std::string then = modern(recorded["message"].str()), now = ours["message"].str();
  if (then == now || same_but_for_go_value(then, now)) return true;
  // What differs between two specs is told in a language of its own: not compared.
  std::size_t line = then.find('\n');
  return line != std::string::npos && now.starts_with(std::string_view(then).substr(0, line));
}

bool same_causes(Value recorded, Value ours) {
  std::vector<Value> left;
  for (Value cause : ours["details"]["causes"].items()) left.push_back(cause);
  for (Value cause : recorded["details"]["causes"].items()) {
    auto found = std::find_if(left.begin(), left.end(), [&](Value one) { return same_cause(cause, one); });
    if (found == left.end()) return false;
    left.erase(found);
  }
  return left.empty();
}

struct Score {
  int judged = 0, right = 0, codes = 0;
};

std::string causes(Value status) {
  std::vector<std::string> lines;
  for (Value cause : status["details"]["causes"].items())
    lines.push_back(cause["field"].str() + ": " + cause["message"].str() + " (" + cause["reason"].str() + ")");
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
      if (step["answer"]["body"]["details"]["kind"].as_string().ends_with("Options")) continue;  // about the question, not the object
      ++score.judged;
      bool accepted = code < 300, ours = answer.status.code == 200;
      Value body = step["answer"]["body"];
      Document status = answer.status.document();
      bool right = accepted == ours && (accepted || !body["details"]["causes"].exists() || same_causes(body, status));
      if (accepted == ours) ++score.codes;
      if (right) ++score.right;
      else if (print) {
        std::printf("%s (step %zu)\n  recorded %d: %s\n      %s\n  ours     %d: %s\n      %s\n", one["name"].str().c_str(), number, code,
                    body["message"].str().substr(0, 200).c_str(), causes(body).c_str(), answer.status.code,
                    answer.status.message.substr(0, 200).c_str(), causes(status).c_str());
      }
    }
  }
  std::printf("%s: %d of %d judged as upstream to the last word, %d by accepting or refusing\n", file, score.right, score.judged,
              score.codes);
}

TEST(Validate, CoreRecordings) {
  Score score;
  run("21_core_validation.json", score, std::getenv("KYBERN_SHOW") != nullptr);
  if (score.judged == 0) GTEST_SKIP() << "no recorded conversations beside the source tree";
  EXPECT_GE(score.right * 100, score.judged * 98);
  EXPECT_GE(score.codes * 100, score.judged * 99);
}

TEST(Validate, GroupRecordings) {
  Score score;
  run("31_groups_validation.json", score, std::getenv("KYBERN_SHOW") != nullptr);
  if (score.judged == 0) GTEST_SKIP() << "no recorded conversations beside the source tree";
  EXPECT_GE(score.right * 100, score.judged * 99);
  EXPECT_EQ(score.codes, score.judged);
}

// Everything that other recordings create is accepted.
TEST(Validate, DefaultsRecordingsAreAccepted) {
  Score score;
  for (const char* file : {"10_generic.json", "20_core_defaults.json", "30_groups_defaults.json", "40_apply.json", "41_patch.json",
                           "43_admission_rbac.json"}) {
    Score one;
    run(file, one, std::getenv("KYBERN_SHOW") != nullptr);
    score.judged += one.judged;
    score.right += one.right;
  }
  if (score.judged == 0) GTEST_SKIP() << "no recorded conversations beside the source tree";
  EXPECT_GE(score.right * 100, score.judged * 99);
}

}  // namespace
}  // namespace kybern
