// kybern bench: the flags of bench/bench.h.
#include "bench/bench.h"

#include <fmt/format.h>

#include "base/strings.h"
#include "bin/commands.h"
#include "bin/flags.h"

namespace kybern::bin {

int run_bench(const std::vector<std::string>& arguments) {
  bench::Options options;
  Flags flags("bench", "measures a Kubernetes API from outside: throughput, latencies, the server's memory");
  flags.add("kubeconfig", &options.target.kubeconfig, "how the API is reached; without it KUBECONFIG or ~/.kube/config");
  flags.add("context", &options.target.context, "of the kubeconfig");
  flags.add("server", &options.target.server, "the API's URL, instead of a kubeconfig");
  flags.add("token", &options.target.token, "a bearer token");
  flags.add("ca-file", &options.target.ca_file, "certificates that the server's must come from");
  flags.add("insecure", &options.target.insecure, "do not verify the server's certificate");
  flags.section("What is measured");
  flags.add("scenarios", &options.scenarios,
            fmt::format("in this order, of {}; without it all but schedule, which makes nodes, and flood, which holds others up",
                        join(bench::scenario_names(), ", ")));
  flags.add("connections", &options.connections, "each with one request at a time");
  flags.add("count", &options.count, "objects to make, and operations of a scenario that makes some, at most");
  flags.add("seconds", &options.seconds, "of a scenario at most; 0: only the count ends it");
  flags.add("rate", &options.rate, "operations a second, with latencies from when each was due; 0: as fast as answers come");
  flags.add("pod-bytes", &options.pod_bytes, "of a pod as it is sent");
  flags.add("watchers", &options.watchers, "of the watch scenario");
  flags.add("nodes", &options.nodes, "that the schedule scenario makes, with no machine behind them");
  flags.add("page", &options.page, "objects a page of the pages scenario");
  flags.add("think-ms", &options.think_ms, "between two requests of a user of the mixed scenario");
  flags.section("The run");
  flags.add("namespace", &options.ns, "where objects are made; without it one of its own");
  flags.add("keep", &options.keep, "do not delete what was made");
  flags.add("server-pid", &options.server_pid, "of a server on this machine: its processor time and memory are told too");
  flags.add("output", &options.output, "table or json");
  flags.add("progress", &options.progress, "tell on standard error how it goes");
  bool help = false;
  if (auto ok = flags.parse(arguments, help); !ok) return complain(ok.error().message);
  if (help) return fmt::print("{}", flags.help()), 0;
  return bench::run(options);
}

}  // namespace kybern::bin
