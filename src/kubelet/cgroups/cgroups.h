// The pods' cgroups: one per pod with the sum of its containers' figures, below one per quality of service, below one for
// all pods.
//
//   BASE/kubepods/besteffort/pod<uid>   BASE/kubepods/burstable/pod<uid>   BASE/kubepods/guaranteed/pod<uid>
//
// cgroup v1 has a hierarchy per controller and the same tree in each; v2 has one. Container cgroups below a pod's are the
// runtime's. Paths are relative to the hierarchies' roots and begin with '/'.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "kubelet/plan/resources.h"

namespace kybern::kubelet {

struct CgroupUsage {
  std::uint64_t cpu_nanoseconds = 0;
  std::uint64_t memory_bytes = 0;       // usage
  std::uint64_t working_set_bytes = 0;  // usage without inactive file pages: what eviction and `kubectl top` look at
  std::uint64_t rss_bytes = 0;
  std::uint64_t page_faults = 0, major_page_faults = 0;
  std::uint64_t processes = 0;
};

class Cgroups {
 public:
  // Finds the hierarchies among the mounts. `base`: "" or "/some/group", made when missing.
  static Result<std::unique_ptr<Cgroups>> open(std::string base);

  bool v2() const { return !unified_.empty(); }
  std::string pods_path() const { return base_ + "/kubepods"; }
  std::string qos_path(std::string_view qos_class) const;
  std::string pod_path(const PodView& pod) const;

  // The three folders, and what all pods together may use.
  Result<void> make_roots(std::int64_t milli_cpu, std::int64_t memory_bytes);
  // Shares of the burstable pods together: best effort ones get what they leave.
  Result<void> set_burstable_shares(std::int64_t shares);
  // Changes what is there. A limit of -1 is taken away.
  Result<void> update(const std::string& path, const CgroupFigures& figures) { return set(path, figures); }
  bool matches(const std::string& path, const CgroupFigures& figures) const;  // it has these figures now
  std::optional<std::int64_t> memory_limit(const std::string& path) const;    // absent: none
  Result<void> make_pod(const std::string& path, const CgroupFigures& figures);
  // Ends what still runs in it, then removes it and everything below, in every hierarchy. Fine when it is not there.
  Result<void> remove(const std::string& path);
  std::map<std::string, std::string> pods() const;  // uid -> path, of all there are
  std::optional<CgroupUsage> usage(const std::string& path) const;
  bool exists(const std::string& path) const;
  std::optional<int> first_process(const std::string& path) const;

 private:
  Result<void> make(const std::string& path);
  Result<void> set(const std::string& path, const CgroupFigures& figures);
  std::string folder(std::string_view controller, const std::string& path) const;  // "" when there is no such controller

  std::string base_;
  std::string unified_;                                          // v2: where it is mounted
  std::map<std::string, std::string, std::less<>> hierarchies_;  // v1: controller -> mount point
};

}  // namespace kybern::kubelet
