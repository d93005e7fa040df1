// certificate: says yes or no to signing requests.
#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "base/time.h"
#include "base/world.h"
#include "cli/command.h"
#include "cli/subjects.h"

namespace kybern::cli {
namespace {

Result<int> decide(Session& session, const Arguments& arguments, bool approve) {
  std::vector<std::string> words = arguments.words;
  if (words.empty() && !arguments.given("filename")) return refuse("one or more CSRs must be specified as <name> or -f <filename>");
  if (!words.empty()) words.insert(words.begin(), "certificatesigningrequests.certificates.k8s.io");
  auto subjects = select(session, arguments, words, {});
  if (!subjects) return std::unexpected(subjects.error());
  const std::string type = approve ? "Approved" : "Denied", other = approve ? "Denied" : "Approved";
  for (const Subject& subject : *subjects) {
    if (subject.type->kind != "CertificateSigningRequest")
      return refuse("can only handle certificates.k8s.io CertificateSigningRequest objects");
    bool done = false, opposed = false;
    for (Value condition : subject.object["status"]["conditions"].items()) {
      done = done || condition["type"].as_string() == type;
      opposed = opposed || condition["type"].as_string() == other;
    }
    if (opposed) return refuse(fmt::format("certificate signing request {} is already {}", go_quote(subject.name), other));
    Document object = subject.object;
    if (!done || opposed || arguments.on("force")) {
      const std::string now = format_rfc3339(real_world().clock.now());
      Draft changed(subject.object);
      Draft& conditions = changed["status"]["conditions"];
      if (conditions.is_array()) std::erase_if(conditions.items(), [&](Draft& c) { return c["type"].as_string() == type; });
      conditions.push_back(Draft::object({{"type", type},
                                          {"status", "True"},
                                          {"reason", approve ? "KubectlApprove" : "KubectlDeny"},
                                          {"message", fmt::format("This CSR was {} by kubectl certificate {}.",
                                                                  approve ? "approved" : "denied", approve ? "approve" : "deny")},
                                          {"lastUpdateTime", now}}));
      auto sent = session.call("PUT", subject.path("approval"), "", changed.freeze());
      if (!sent) return std::unexpected(shown(sent.error()));
      object = *std::move(sent);
    }
    if (auto printed = print_change(session, arguments, object, *subject.type, approve ? "approved" : "denied"); !printed)
      return std::unexpected(printed.error());
  }
  return 0;
}
Result<int> approve(Session& s, const Arguments& a) { return decide(s, a, true); }
Result<int> deny(Session& s, const Arguments& a) { return decide(s, a, false); }

}  // namespace

Command certificate_command() {
  using namespace flags;
  const std::vector<Flag> all{filename(), recursive(), output(), boolean("force", "also when it was decided before")};
  Command out{"certificate", "decide about certificate signing requests", "COMMAND"};
  out.children = {{"approve", "say yes", "(NAME | -f FILE)", all, approve}, {"deny", "say no", "(NAME | -f FILE)", all, deny}};
  return out;
}

}  // namespace kybern::cli
