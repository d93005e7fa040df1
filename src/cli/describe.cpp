// describe: an object, what belongs to it, and what happened to it.
#include <fmt/format.h>

#include <chrono>

#include "cli/command.h"
#include "cli/describe_text.h"
#include "cli/subjects.h"
#include "cli/table.h"

namespace kybern::cli {
namespace {

std::vector<Document> list(Session& session, const std::string& path, const std::string& query) {
  std::vector<Document> out;
  if (auto answer = session.call("GET", path, query))
    for (Value item : (*answer)["items"].items()) out.push_back(item.document());
  return out;
}

std::vector<Document> related(Session& session, Value object) {
  const std::string name = object["metadata"]["name"].str(), ns = object["metadata"]["namespace"].str(), kind = object["kind"].str();
  if (kind == "Node") return list(session, "/api/v1/pods", query_of({{"fieldSelector", "spec.nodeName=" + name}}));
  if (kind == "Service") return list(session, "/apis/discovery.k8s.io/v1/namespaces/" + ns + "/endpointslices", query_of({{"labelSelector", "kubernetes.io/service-name=" + name}}));
  std::vector<Document> out;
  if (kind == "Deployment")
    for (const Document& set : list(session, "/apis/apps/v1/namespaces/" + ns + "/replicasets", query_of({{"labelSelector", labels_text(object["spec"]["selector"]["matchLabels"])}})))
      for (Value owner : set["metadata"]["ownerReferences"].items())
        if (owner["uid"] == object["metadata"]["uid"]) out.push_back(set);
  return out;
}

Result<int> describe_objects(Session& session, const Arguments& arguments) {
  auto subjects = select(session, arguments, arguments.words, {.need_names = false, .nothing_given = "error: You must specify the type of resource to describe. Use \"kubectl api-resources\" for a complete list of supported resources."});
  if (!subjects && subjects.error().code == Code::not_found && arguments.words.size() == 2) {  // perhaps the beginning of names
    auto all = select(session, arguments, {arguments.words[0]}, {.need_names = false});
    if (all) {
      std::vector<Subject> fitting;
      for (Subject& subject : *all)
        if (subject.name.starts_with(arguments.words[1])) fitting.push_back(std::move(subject));
      if (!fitting.empty()) subjects = std::move(fitting);
    }
  }
  if (!subjects) return std::unexpected(subjects.error());
  if (subjects->empty()) fmt::print(stderr, "{}\n", arguments.on("all-namespaces") ? "No resources found" : fmt::format("No resources found in {} namespace.", session.ns()));
  bool first = true;
  for (const Subject& subject : *subjects) {
    std::vector<Document> events;
    if (arguments.on("show-events")) {
      const std::string path = subject.ns.empty() ? "/api/v1/events" : "/api/v1/namespaces/" + subject.ns + "/events";
      events = list(session, path, query_of({{"fieldSelector", fmt::format("involvedObject.name={},involvedObject.kind={},involvedObject.uid={}", subject.name, subject.type->kind,
                                                                           subject.type->kind == "Node" ? subject.name : subject.object["metadata"]["uid"].str())}}));
    }
    const Time now = std::chrono::time_point_cast<Duration>(std::chrono::system_clock::now());
    fmt::print("{}{}", first ? "" : "\n\n", describe(subject.object, related(session, subject.object), events, now));
    first = false;
  }
  return 0;
}

}  // namespace

Command describe_command() {
  using namespace flags;
  return {"describe", "tell all about objects, with their events", "(TYPE [NAME... | -l SELECTOR] | TYPE/NAME... | -f FILE)",
          {selector(), filename(), recursive(), boolean("all-namespaces", "of all namespaces", false, 'A'), boolean("show-events", "with the events", true)}, describe_objects};
}

}  // namespace kybern::cli
