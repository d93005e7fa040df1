// What becomes of one object, when all about it is known. Pure.
#pragma once

#include <string>
#include <vector>

#include "controllers/garbage/graph.h"

namespace kybern::controllers::garbage {

enum class OwnerState {
  solid,    // exists
  gone,     // does not exist, or is another object of that name
  waiting,  // is being deleted and waits for its dependents
};

struct Known {
  std::vector<OwnerState> owners;  // one for each of the object's references
  bool has_dependents = false;
  bool dependent_waits = false;  // one of them is being deleted in the foreground itself: a cycle, perhaps
};

struct Verdict {
  enum class Kind { keep, shed, erase } kind = Kind::keep;
  std::vector<std::string> shed;  // uids of owners to drop from the references
  bool unblock = false;           // of erase: first give up blockOwnerDeletion, or a cycle waits for itself
  std::string propagation;        // of erase: Background, Foreground or Orphan
  friend bool operator==(const Verdict&, const Verdict&) = default;
};

// `object` as the API has it now; not being deleted in the foreground itself.
Verdict decide(Value object, const Known& known);

}  // namespace kybern::controllers::garbage
