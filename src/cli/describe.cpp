// describe: an object, what belongs to it, and what happened to it.
#include <fmt/format.h>

#include <chrono>

#include "base/strings.h"
#include "base/world.h"
#include "cli/command.h"
#include "cli/describe_text.h"
#include "cli/subjects.h"
#include "cli/workload.h"

namespace kybern::cli {
namespace {

// Items of a list do not say their kind; here they do.
void add(Session& session, std::vector<Document>& out, const std::string& path, const std::string& query) {
  auto answer = session.call("GET", path, query);
  if (!answer) return;
  std::string kind = (*answer)["kind"].str();
  if (kind.ends_with("List")) kind.resize(kind.size() - 4);
  for (Value item : (*answer)["items"].items()) {
    Draft whole(item);
    whole["kind"] = kind;
    out.push_back(whole.freeze());
  }
}

std::vector<Document> related(Session& session, Value object) {
  const std::string name = object["metadata"]["name"].str(), ns = object["metadata"]["namespace"].str(), kind = object["kind"].str();
  const std::string core = "/api/v1/namespaces/" + url_encode(kind == "Namespace" ? name : ns),
                    selector = query_of({{"labelSelector", selector_text(object["spec"]["selector"])}});
  std::vector<Document> out;
  if (kind == "Node") {
    add(session, out, "/api/v1/pods", query_of({{"fieldSelector", "spec.nodeName=" + name}}));
    auto lease = session.call("GET", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/" + url_encode(name));
    if (lease) out.push_back(*lease);
    else out.push_back(Draft::object({{"kind", "Status"}, {"message", lease.error().message}}).freeze());
  } else if (kind == "Service") {
    add(session, out, "/apis/discovery.k8s.io/v1/namespaces/" + url_encode(ns) + "/endpointslices",
        query_of({{"labelSelector", "kubernetes.io/service-name=" + name}}));
  } else if (kind == "Namespace") {
    add(session, out, core + "/resourcequotas", "");
    add(session, out, core + "/limitranges", "");
  } else if (kind == "PersistentVolumeClaim") {
    add(session, out, core + "/pods", "");
  } else if (kind == "ReplicaSet" || kind == "StatefulSet" || kind == "DaemonSet") {
    add(session, out, core + "/pods", selector);
  } else if (kind == "Deployment") {
    add(session, out, "/apis/apps/v1/namespaces/" + url_encode(ns) + "/replicasets", selector);
    std::erase_if(out, [&](const Document& set) {
      for (Value owner : set["metadata"]["ownerReferences"].items())
        if (owner["uid"] == object["metadata"]["uid"]) return false;
      return true;
    });
  }
  return out;
}

Result<int> describe_objects(Session& session, const Arguments& arguments) {
  auto subjects = select(session, arguments, arguments.words,
                         {.need_names = false,
                          .nothing_given = "error: You must specify the type of resource to describe. Use \"kubectl api-resources\" for a "
                                           "complete list of supported resources."});
  const char* end = "";
  if (!subjects && subjects.error().code == Code::not_found && arguments.words.size() == 2) {  // perhaps the beginning of names
    auto all = select(session, arguments, {arguments.words[0]}, {.need_names = false});
    if (all) {
      std::vector<Subject> fitting;
      for (Subject& subject : *all)
        if (subject.name.starts_with(arguments.words[1])) fitting.push_back(std::move(subject));
      if (!fitting.empty()) {
        subjects = std::move(fitting);
        end = "\n";
      }
    }
  }
  if (!subjects) return std::unexpected(subjects.error());
  if (subjects->empty())
    fmt::print(stderr, "{}\n",
               arguments.on("all-namespaces") ? "No resources found" : fmt::format("No resources found in {} namespace.", session.ns()));
  bool first = true;
  for (const Subject& subject : *subjects) {
    std::vector<Document> events;
    const bool with_events = arguments.on("show-events");
    if (with_events) {
      const std::string about = fmt::format("involvedObject.name={},involvedObject.kind={}", subject.name, subject.type->kind);
      const std::string uid =
          subject.type->kind == "Node"
              ? ""
              : ",involvedObject.uid=" + subject.object["metadata"]["uid"].str();  // a node's events carry its name or its uid
      add(session, events, subject.ns.empty() ? "/api/v1/events" : "/api/v1/namespaces/" + url_encode(subject.ns) + "/events",
          query_of({{"fieldSelector", about + uid}}));
    }
    const Time now = real_world().clock.now();
    fmt::print("{}{}{}", first || *end ? "" : "\n\n",
               describe(subject.object, related(session, subject.object), with_events ? &events : nullptr, now), end);
    first = false;
  }
  return 0;
}

}  // namespace

Command describe_command() {
  using namespace flags;
  return {"describe",
          "tell all about objects, with their events",
          "(TYPE [NAME... | -l SELECTOR] | TYPE/NAME... | -f FILE)",
          {selector(), filename(), recursive(), boolean("all-namespaces", "of all namespaces", false, 'A'),
           boolean("show-events", "with the events", true)},
          describe_objects};
}

}  // namespace kybern::cli
