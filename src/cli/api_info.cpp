// api-resources, api-versions, cluster-info, version: what the server is and serves.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>

#include "base/strings.h"
#include "cli/command.h"
#include "cli/output.h"
#include "cli/table.h"

namespace kybern::cli {
namespace {

Result<int> api_resources(Session& session, const Arguments& arguments) {
  if (!arguments.words.empty()) return refuse_usage(arguments, "unexpected arguments: [" + join(arguments.words, " ") + "]");
  auto discovery = session.discovery();
  if (!discovery) return std::unexpected(discovery.error());
  std::vector<ApiResource> all = (*discovery)->preferred();
  const std::string output = arguments.text("output"), group = arguments.text("api-group");
  const auto drop = [&](const ApiResource& r) {
    if (r.verbs.empty()) return true;
    if (arguments.given("api-group") && r.group != group) return true;
    if (arguments.given("namespaced") && r.namespaced != arguments.on("namespaced")) return true;
    for (const std::string& verb : arguments.list("verbs"))
      if (!r.can(verb)) return true;
    for (const std::string& category : arguments.list("categories"))
      if (std::find(r.categories.begin(), r.categories.end(), category) == r.categories.end()) return true;
    return false;
  };
  std::erase_if(all, drop);
  const std::string by = arguments.text("sort-by");
  if (!by.empty() && by != "name" && by != "kind") return refuse("--sort-by accepts only name or kind");
  std::stable_sort(all.begin(), all.end(), [&](const ApiResource& a, const ApiResource& b) {
    if (by == "kind") return a.kind < b.kind;
    if (by == "name") return a.plural < b.plural;
    return a.group != b.group ? a.group < b.group : a.plural < b.plural;
  });
  if (output == "name") {
    for (const ApiResource& r : all) fmt::print("{}\n", r.full_plural());
    return 0;
  }
  if (!output.empty() && output != "wide") return refuse("--output " + output + " is not available");
  TableWriter table;
  const bool wide = output == "wide";
  if (!arguments.on("no-headers")) {
    std::vector<std::string> head{"NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"};
    if (wide) head.insert(head.end(), {"VERBS", "CATEGORIES"});
    table.head(head);
  }
  for (const ApiResource& r : all) {
    std::vector<std::string> row{r.plural, join(r.short_names, ","), r.api_version(), r.namespaced ? "true" : "false", r.kind};
    if (wide) row.insert(row.end(), {join(r.verbs, ","), join(r.categories, ",")});
    table.row(std::move(row));
  }
  fmt::print("{}", table.flush());
  return 0;
}

Result<int> api_versions(Session& session, const Arguments&) {
  auto discovery = session.discovery();
  if (!discovery) return std::unexpected(discovery.error());
  std::set<std::string> all;
  for (const ApiResource& r : (*discovery)->all()) all.insert(r.api_version());
  for (const std::string& version : all) fmt::print("{}\n", version);
  return 0;
}

Result<int> cluster_info(Session& session, const Arguments&) {
  if (auto ready = session.connect(); !ready) return std::unexpected(ready.error());
  auto services =
      session.call("GET", "/api/v1/namespaces/kube-system/services", query_of({{"labelSelector", "kubernetes.io/cluster-service=true"}}));
  if (!services) return std::unexpected(shown(services.error()));
  fmt::print("Kubernetes control plane is running at {}\n", session.url());
  for (Value service : (*services)["items"].items()) {
    const std::string name = service["metadata"]["name"].str();
    const Value port = service["spec"]["ports"][0];
    std::string shown_name = service["metadata"]["labels"]["kubernetes.io/name"].str();
    if (shown_name.empty()) shown_name = name;
    fmt::print("{} is running at {}/api/v1/namespaces/kube-system/services/{}{}/proxy\n", shown_name, session.url(), name,
               port["name"].as_string().empty() ? "" : ":" + port["name"].str());
  }
  fmt::print("\nTo further debug and diagnose cluster problems, use 'kubectl cluster-info dump'.\n");
  return 0;
}

struct Dump {
  const char *file, *path;  // of a namespace, or of the cluster
};
constexpr Dump of_cluster[] = {{"nodes", "/api/v1/nodes"}};
constexpr Dump of_namespace[] = {{"events", "/api/v1/namespaces/{}/events"},
                                 {"replication-controllers", "/api/v1/namespaces/{}/replicationcontrollers"},
                                 {"services", "/api/v1/namespaces/{}/services"},
                                 {"daemonsets", "/apis/apps/v1/namespaces/{}/daemonsets"},
                                 {"deployments", "/apis/apps/v1/namespaces/{}/deployments"},
                                 {"replicasets", "/apis/apps/v1/namespaces/{}/replicasets"},
                                 {"pods", "/api/v1/namespaces/{}/pods"}};

// Everything worth knowing of some namespaces, on standard output or as files; with the logs of the pods.
Result<int> dump(Session& session, const Arguments& arguments) {
  const std::string folder = arguments.text("output-directory") == "-" ? "" : arguments.text("output-directory");
  auto output = Output::parse(arguments.text("output"));
  if (!output) return std::unexpected(output.error());
  if (output->human()) output->type = Output::Type::json;
  std::vector<std::string> namespaces = arguments.list("namespaces");
  if (arguments.on("all-namespaces")) {
    auto all = session.call("GET", "/api/v1/namespaces");
    if (!all) return std::unexpected(shown(all.error()));
    for (Value item : (*all)["items"].items()) namespaces.push_back(item["metadata"]["name"].str());
  } else if (namespaces.empty()) {
    namespaces = {"kube-system", session.ns()};
  }
  const auto put = [&](const std::string& file, const std::string& text) -> Result<void> {
    if (folder.empty()) return fmt::print("{}", text), Result<void>();
    const std::filesystem::path place = std::filesystem::path(folder) / file;
    std::error_code error;
    std::filesystem::create_directories(place.parent_path(), error);
    std::ofstream out(place, std::ios::binary);
    out << text;
    return out.flush() ? Result<void>() : refuse("cannot write " + place.string());
  };
  const std::string extension = output->type == Output::Type::yaml ? ".yaml" : ".json";
  const auto list = [&](const std::string& file, const std::string& path) -> Result<Document> {
    auto answer = session.call("GET", path);
    if (!answer) return std::unexpected(shown(answer.error()));
    auto text = output->print({*answer}, false, nullptr);
    if (!text) return std::unexpected(text.error());
    if (auto done = put(file + extension, *text); !done) return std::unexpected(done.error());
    return *std::move(answer);
  };
  for (const Dump& part : of_cluster)
    if (auto done = list(part.file, part.path); !done) return std::unexpected(done.error());
  for (const std::string& ns : namespaces) {
    for (const Dump& part : of_namespace) {
      auto done = list(ns + "/" + part.file, fmt::format(fmt::runtime(part.path), url_encode(ns)));
      if (!done) return std::unexpected(done.error());
      if (std::string_view(part.file) != "pods") continue;
      for (Value pod : (*done)["items"].items())
        for (Value container : pod["spec"]["containers"].items()) {
          const std::string name = pod["metadata"]["name"].str();
          auto log = session.raw("GET", "/api/v1/namespaces/" + url_encode(ns) + "/pods/" + url_encode(name) + "/log",
                                 query_of({{"container", container["name"].as_string()}}), "", json_type, "*/*");
          const std::string text = fmt::format(
              "==== START logs for container {0} of pod {1}/{2} ====\n{3}\n==== END logs for container {0} of pod {1}/{2} ====\n",
              container["name"].as_string(), ns, name, log ? *log : "Request log error: " + log.error().message);
          if (auto written = put(ns + "/" + name + "/logs.txt", text); !written) return std::unexpected(written.error());
        }
    }
  }
  if (!folder.empty()) fmt::print("Cluster info dumped to {}\n", folder);
  return 0;
}

Result<int> version(Session& session, const Arguments& arguments) {
  Draft out = Draft::object({{"clientVersion", Draft::object({{"major", "1"},
                                                              {"minor", "36"},
                                                              {"gitVersion", "v1.36.0"},
                                                              {"gitTreeState", "clean"},
                                                              {"platform", "linux/amd64"},
                                                              {"compiler", "gcc"}})},
                             {"kustomizeVersion", ""}});
  out.erase("kustomizeVersion");
  Result<void> failed;
  std::string server;
  if (!arguments.on("client")) {
    auto answer = session.call("GET", "/version");
    if (!answer) failed = std::unexpected(shown(answer.error()));
    else {
      out["serverVersion"] = Draft(*answer);
      server = (*answer)["gitVersion"].str();
    }
  }
  const std::string format = arguments.text("output");
  if (format.empty()) {
    fmt::print("Client Version: v1.36.0\n");
    if (!server.empty()) fmt::print("Server Version: {}\n", server);
  } else {
    auto output = Output::parse(format);
    if (!output || (output->type != Output::Type::json && output->type != Output::Type::yaml))
      return refuse("--output must be 'yaml' or 'json'");
    auto text = output->print({out.freeze()}, false, nullptr);
    if (!text) return std::unexpected(text.error());
    fmt::print("{}", *text);
  }
  if (!failed) return std::unexpected(failed.error());
  return 0;
}

}  // namespace

Command api_resources_command() {
  using namespace flags;
  return {"api-resources",
          "what kinds of objects there are",
          "[flags]",
          {output(), text("api-group", "of this group"),
           boolean("namespaced", "only what lies in namespaces (or, =false, what does not)", true),
           list("verbs", "only what can do all of these"), list("categories", "only what is in all of these categories"),
           boolean("no-headers", "without the line of column names"), text("sort-by", "name or kind"),
           boolean("cached", "accepted for compatibility")},
          api_resources};
}
Command api_versions_command() { return {"api-versions", "the API's groups and versions", "", {}, api_versions}; }
Command cluster_info_command() {
  using namespace flags;
  Command out{"cluster-info", "where the control plane is", "", {}, cluster_info};
  out.children = {
      {"dump",
       "everything about the cluster, for those who look for a fault",
       "[flags]",
       {output(), text("output-directory", "write files into this folder instead"), list("namespaces", "of these namespaces"),
        boolean("all-namespaces", "of all namespaces", false, 'A'), duration("pod-running-timeout", "accepted for compatibility", "20s")},
       dump}};
  return out;
}
Command version_command() {
  using namespace flags;
  return {"version",
          "the client's and the server's version",
          "[flags]",
          {output(), boolean("client", "only the client's"), boolean("short", "accepted for compatibility")},
          version};
}

}  // namespace kybern::cli
