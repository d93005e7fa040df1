// Thousands of simulated nodes. Each is a small model of a node agent: it registers its Node, renews its Lease, reports,
// runs the pods that are bound to it with delays like real ones, and talks to the API as system:node:NAME.
//
// One watch of all pods serves every node: what it brings is handed to the node that the pod is bound to. (A real node
// watches its own pods; thousands of filters would have to look at every change.) Each node's share travels with a delay
// of its own, in order.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "document/document.h"
#include "sim/network.h"
#include "sim/world.h"

namespace kybern::sim {

inline std::string_view uid_of(Value object) { return object["metadata"]["uid"].as_string(); }
inline bool is_deleting(Value object) { return object["metadata"]["deletionTimestamp"].exists(); }

struct NodeModel {
  std::string cpu = "32", memory = "128Gi";
  int pods = 110;
  int zones = 3;
  Duration lease_interval = std::chrono::seconds(10), status_interval = std::chrono::minutes(5);
  Duration shortest_start = std::chrono::milliseconds(500), longest_start = std::chrono::seconds(3);
  Duration shortest_stop = std::chrono::milliseconds(200), longest_stop = std::chrono::seconds(2);
  Duration shortest_ready = std::chrono::milliseconds(100), longest_ready = std::chrono::seconds(2);  // after the start
  Duration mean_life{};                               // of a container, until it crashes; zero: for ever
  Duration delivery = std::chrono::milliseconds(20);  // the longest way of a change to its node
};

class Fleet {
 public:
  Fleet(SimulatedWorld& world, Network& network, NodeModel model);
  ~Fleet();
  void add_nodes(int count, Duration within);  // they register one after another
  void stop();

  // What may happen to a node.
  void crash(std::size_t node);                    // the machine is gone, and what ran on it
  void restart(std::size_t node);                  // it is back; nothing runs there any more
  void restart_agent(std::size_t node);            // the agent alone: pods run on, it reads the API anew
  void mute(std::size_t node, Duration how_long);  // no heartbeat
  void remove(std::size_t node);                   // for good; its Node object is deleted by whoever removes machines

  std::size_t size() const { return nodes_.size(); }
  std::string name(std::size_t node) const;
  bool is_up(std::size_t node) const;
  std::size_t find(std::string_view name) const;  // size(): none
  std::string zone_of(std::size_t node) const;

  // For checks and the report.
  std::size_t running() const { return running_; }
  std::uint64_t started() const { return started_; }
  std::uint64_t refused() const { return refused_; }
  // Pods that were run in a way that must not be: twice, on two nodes, after they were gone. Empty: all is well.
  const std::vector<std::string>& violations() const { return violations_; }
  // Called when containers begin and end to run, with the node's number.
  bool runs(std::string_view uid) const { return runs_on_.contains(number_of(uid)); }

 private:
  struct Node;
  struct Pod;
  void register_node(Node& node);
  void heartbeat(Node& node);
  void report_status(Node& node);
  void report_status_now(Node& node);
  void arm(Node& node, Duration delay, void (Fleet::*what)(Node&));
  void begin_watch();
  void saw_node(const Document& object);
  void hand_over(const Document& before, const Document& now);
  void deliver(Node& node, Document pod, bool erased);
  void look(Node& node, const Document& pod);
  void admit(Node& node, Pod& pod);
  void start(Node& node, std::uint64_t uid);
  void ready(Node& node, std::uint64_t uid);
  void crash_container(Node& node, std::uint64_t uid);
  void finish(Node& node, std::uint64_t uid);
  void forget(Node& node, std::uint64_t uid);
  void retry(Node& node, std::uint64_t uid, void (Fleet::*what)(Node&, std::uint64_t));
  void later(Node& node, std::uint64_t uid, Duration delay, void (Fleet::*what)(Node&, std::uint64_t));
  void begins(Node& node, Pod& pod);
  void ends(Node& node, Pod& pod);
  bool report(Node& node, Pod& pod, bool is_ready);
  void reconcile(Node& node);  // the agent has just begun: what the API says, what runs

  SimulatedWorld& world_;
  Network& network_;
  const NodeModel model_;
  Lane& lane_;
  std::unique_ptr<client::Transport> transport_;
  std::unique_ptr<client::Subscription> watch_, nodes_watch_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::unordered_map<std::string, std::size_t> by_name_;
  // Of texts their hashes, as pods may be hundreds of thousands.
  static std::uint64_t number_of(std::string_view text) { return std::hash<std::string_view>()(text); }
  std::unordered_map<std::uint64_t, Document> seen_;          // by namespace/name, as the watch has brought them
  std::unordered_map<std::uint64_t, std::uint32_t> runs_on_;  // uid to node: containers that run now
  std::size_t running_ = 0;
  std::uint64_t started_ = 0, refused_ = 0;
  std::vector<std::string> violations_;
};

}  // namespace kybern::sim
