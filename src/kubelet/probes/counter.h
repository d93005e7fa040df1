// Turns single checks into a verdict: only so many in a row change it (failureThreshold, successThreshold).
#pragma once

#include <optional>

namespace kybern::kubelet {

struct ProbeCounter {
  int failure_threshold = 3, success_threshold = 1;
  std::optional<bool> verdict;  // none yet

  // True when the verdict changed.
  bool count(bool success) {
    run_ = last_ == success ? run_ + 1 : 1;
    last_ = success;
    if (run_ < (success ? success_threshold : failure_threshold) || verdict == success) return false;
    verdict = success;
    return true;
  }

 private:
  std::optional<bool> last_;
  int run_ = 0;
};

}  // namespace kybern::kubelet
