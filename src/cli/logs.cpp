// logs: what containers wrote; of one pod, of a workload's pods, or of all that a selector finds.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

#include "base/strings.h"
#include "cli/command.h"
#include "cli/subjects.h"
#include "cli/workload.h"

namespace kybern::cli {
namespace {

struct Source {
  std::string ns, pod, container;
  std::string prefix;
};

std::vector<std::string> container_names(Value pod) {
  std::vector<std::string> out;
  for (const char* list : {"initContainers", "containers", "ephemeralContainers"})
    for (Value c : pod["spec"][list].items()) out.push_back(c["name"].str());
  return out;
}

Result<std::vector<Source>> sources_of(Value pod, const Arguments& arguments, bool quiet) {
  const std::string name = pod["metadata"]["name"].str(), ns = pod["metadata"]["namespace"].str();
  std::vector<std::string> chosen;
  if (arguments.on("all-containers")) {
    chosen = container_names(pod);
  } else if (const std::string wanted = arguments.text("container"); !wanted.empty()) {
    const auto all = container_names(pod);
    if (std::find(all.begin(), all.end(), wanted) == all.end())
      return refuse(fmt::format("container {} is not valid for pod {}", wanted, name));
    chosen = {wanted};
  } else {
    const std::string preferred = pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"].str();
    chosen = {preferred.empty() ? pod["spec"]["containers"][0]["name"].str() : preferred};
    const std::size_t all = container_names(pod).size();
    if (all > 1 && preferred.empty() && !quiet) {
      fmt::print(stderr, "Defaulted container {} out of: ", go_quote(chosen[0]));
      std::vector<std::string> names;
      for (Value c : pod["spec"]["containers"].items()) names.push_back(c["name"].str());
      for (Value c : pod["spec"]["ephemeralContainers"].items()) names.push_back(c["name"].str() + " (ephem)");
      for (Value c : pod["spec"]["initContainers"].items()) names.push_back(c["name"].str() + " (init)");
      fmt::print(stderr, "{}\n", join(names, ", "));
    }
  }
  std::vector<Source> out;
  for (const std::string& container : chosen)
    out.push_back({ns, name, container, arguments.on("prefix") ? fmt::format("[pod/{}/{}] ", name, container) : ""});
  return out;
}

Result<std::string> log_query(const Arguments& arguments, const std::string& container, bool by_selector) {
  auto tail = arguments.number("tail");
  if (!tail) return std::unexpected(tail.error());
  auto since = arguments.duration("since");
  if (!since) return std::unexpected(since.error());
  auto limit = arguments.number("limit-bytes");
  if (!limit) return std::unexpected(limit.error());
  std::int64_t lines = *tail;
  if (by_selector && !arguments.given("tail")) lines = 10;
  const auto flag = [&](std::string_view name) { return arguments.on(name) ? "true" : ""; };
  return query_of({{"container", container},
                   {"follow", flag("follow")},
                   {"previous", flag("previous")},
                   {"timestamps", flag("timestamps")},
                   {"tailLines", lines >= 0 ? std::to_string(lines) : ""},
                   {"limitBytes", *limit > 0 ? std::to_string(*limit) : ""},
                   {"sinceSeconds", since->count() > 0 ? std::to_string(std::chrono::ceil<std::chrono::seconds>(*since).count()) : ""},
                   {"sinceTime", arguments.text("since-time")}});
}

Result<void> copy(Session& session, const Arguments& arguments, const Source& source, bool by_selector, std::mutex& printing) {
  auto query = log_query(arguments, source.container, by_selector);
  if (!query) return std::unexpected(query.error());
  auto stream = session.stream("/api/v1/namespaces/" + url_encode(source.ns) + "/pods/" + url_encode(source.pod) + "/log", *query,
                               "application/json, */*");
  if (!stream) return std::unexpected(shown(stream.error()));
  bool line_start = true;
  while (true) {
    auto piece = (*stream)->read();
    if (!piece) return fail(piece.error().code, "error: " + piece.error().message);
    if (piece->empty()) return {};
    std::lock_guard lock(printing);
    if (source.prefix.empty()) {
      std::fwrite(piece->data(), 1, piece->size(), stdout);
    } else {
      std::string out;
      for (char c : *piece) {
        if (line_start) out += source.prefix;
        line_start = c == '\n';
        out += c;
      }
      std::fwrite(out.data(), 1, out.size(), stdout);
    }
    if (std::fflush(stdout) != 0) return {};
  }
}

Result<int> logs(Session& session, const Arguments& arguments) {
  const bool by_selector = !arguments.text("selector").empty();
  if (arguments.words.empty() && !by_selector)
    return refuse(
        "expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\nPOD or TYPE/NAME is a required argument for the logs command\nSee "
        "'kubectl logs -h' for help and examples");
  if (!arguments.words.empty() && by_selector) return refuse("only a selector (-l) or a POD name is allowed");
  if (arguments.given("since") && arguments.given("since-time"))
    return refuse("at most one of `sinceTime` or `sinceSeconds` may be specified");
  std::vector<Document> pods;
  if (by_selector) {
    auto list = session.call("GET", "/api/v1/namespaces/" + url_encode(session.ns()) + "/pods",
                             query_of({{"labelSelector", arguments.text("selector")}}));
    if (!list) return std::unexpected(shown(list.error()));
    for (Value item : (*list)["items"].items()) pods.push_back(item.document());
    if (pods.empty()) fmt::print(stderr, "No resources found in {} namespace.\n", session.ns());
  } else {
    auto subject = one_subject(session, arguments.words[0], "pods");
    if (constexpr std::string_view head = "Error from server (NotFound): "; !subject && subject.error().message.starts_with(head))
      return refuse(fmt::format("error from server (NotFound): {} in namespace {}", subject.error().message.substr(head.size()),
                                go_quote(session.ns())));
    if (!subject) return std::unexpected(subject.error());
    auto found = pods_of(session, *subject);
    if (!found) return std::unexpected(found.error());
    if (found->empty()) return refuse("no pods found for " + subject->shown());
    if (arguments.on("all-pods")) {
      pods = *found;
    } else {
      if (found->size() > 1)
        fmt::print(stderr, "Found {} pods, using pod/{}\n", found->size(), found->front()["metadata"]["name"].as_string());
      pods = {found->front()};
    }
  }
  std::vector<Source> sources;
  for (const Document& pod : pods) {
    if (arguments.words.size() == 2 && arguments.text("container").empty()) {  // logs POD CONTAINER
      sources.push_back({pod["metadata"]["namespace"].str(), pod["metadata"]["name"].str(), arguments.words[1], ""});
      continue;
    }
    auto more = sources_of(pod, arguments, false);
    if (!more) return std::unexpected(more.error());
    sources.insert(sources.end(), more->begin(), more->end());
  }
  std::mutex printing;
  std::string errors;
  const bool together = arguments.on("follow") && sources.size() > 1;
  auto limit = arguments.number("max-log-requests");
  if (!limit) return std::unexpected(limit.error());
  if (together && static_cast<std::int64_t>(sources.size()) > *limit)
    return refuse(fmt::format(
        "you are attempting to follow {} log streams, but maximum allowed concurrency is {}, use --max-log-requests to increase the limit",
        sources.size(), *limit));
  std::vector<std::thread> threads;
  const auto work = [&](const Source& source) {
    if (auto done = copy(session, arguments, source, by_selector, printing); !done) {
      std::lock_guard lock(printing);
      errors += (errors.empty() ? "" : "\n") + done.error().message;
    }
  };
  for (const Source& source : sources) {
    if (together) threads.emplace_back(work, source);
    else work(source);
  }
  for (std::thread& thread : threads) thread.join();
  if (!errors.empty()) return fail(Code::internal, errors);
  return 0;
}

}  // namespace

Command logs_command() {
  using namespace flags;
  return {"logs",
          "show what containers wrote",
          "(POD | TYPE/NAME | -l SELECTOR) [-c CONTAINER] [flags]",
          {selector(), boolean("follow", "go on as more is written", false, 'f'), text("container", "of this container", "", 'c'),
           boolean("all-containers", "of every container"), boolean("all-pods", "of every pod of the workload"),
           boolean("previous", "of the container before its last restart", false, 'p'), boolean("timestamps", "with the time of each line"),
           boolean("prefix", "with the pod and container before each line"), number("tail", "only this many last lines; -1: all", "-1"),
           duration("since", "only what is newer than this: 5s, 2m, 3h", "0s"),
           text("since-time", "only what is newer than this time (RFC 3339)"), number("limit-bytes", "at most so many bytes", "0"),
           number("max-log-requests", "how many may be followed at once", "5"), boolean("ignore-errors", "go on when one source fails"),
           text("pod-running-timeout", "accepted for compatibility", "20s")},
          logs};
}

}  // namespace kybern::cli
