#include "cli/workload.h"

#include <algorithm>

#include "base/strings.h"
#include "machinery/labels.h"

namespace kybern::cli {
namespace {

bool ready(Value pod) {
  for (Value c : pod["status"]["conditions"].items())
    if (c["type"].as_string() == "Ready") return c["status"].as_string() == "True";
  return false;
}

int rank(Value pod) {
  if (pod["status"]["phase"].as_string() == "Running") return ready(pod) ? 0 : 1;
  return pod["spec"]["nodeName"].as_string().empty() ? 3 : 2;
}

}  // namespace

std::string selector_text(Value selector) {
  auto parsed = LabelSelector::from(selector);
  return parsed ? parsed->str() : std::string();
}

Result<std::vector<Document>> pods_of(Session& session, const Subject& subject) {
  if (subject.type->kind == "Pod") return std::vector<Document>{subject.object};
  const Value selector = subject.object["spec"]["selector"];
  const bool plain = subject.type->kind == "Service" || subject.type->kind == "ReplicationController";
  const std::string text = plain ? LabelSelector::from_map(selector).str() : selector_text(selector);
  if (text.empty()) return fail(Code::invalid, "error: cannot find the pods of " + subject.shown() + ": it has no selector");
  auto list = session.call("GET", "/api/v1/namespaces/" + url_encode(subject.ns) + "/pods", query_of({{"labelSelector", text}}));
  if (!list) return std::unexpected(shown(list.error()));
  std::vector<Document> out;
  for (Value item : (*list)["items"].items()) out.push_back(item.document());
  std::stable_sort(out.begin(), out.end(), [](const Document& a, const Document& b) {
    if (rank(a) != rank(b)) return rank(a) < rank(b);
    return a["metadata"]["creationTimestamp"].as_string() > b["metadata"]["creationTimestamp"].as_string();
  });
  return out;
}

}  // namespace kybern::cli
