// Who is asked again: when a webhook or policy has changed the object, the mutating plug-ins run once more, and of the
// webhooks and policies those with reinvocationPolicy IfNeeded that came before the change.
#pragma once

#include <map>
#include <set>
#include <string>

#include "document/document.h"

namespace kybern::apiserver::admission {

class Reinvocation {
 public:
  // Of one plug-in.
  struct Memory {
    std::set<std::string> invoked;  // with IfNeeded, since the last change
    std::set<std::string> due;      // to be asked again
    Document last;                  // the object as this plug-in left it
  };
  Memory& of(const std::string& plugin) { return memories_[plugin]; }

  // At a plug-in's turn: in the second round everybody is due when others have changed the object meanwhile.
  void begin(Memory& memory, Value object) const {
    if (second && memory.last && !(memory.last.root() == object)) require(memory);
  }
  // Whether `uid` is asked in this round.
  bool asks(const Memory& memory, const std::string& uid) const { return !second || memory.due.contains(uid); }
  // `uid` was asked.
  void asked(Memory& memory, const std::string& uid, bool changed, bool if_needed) {
    if (changed) {
      require(memory);
      wanted = true;
    }
    if (if_needed) memory.invoked.insert(uid);
  }

  bool second = false;  // the second round
  bool wanted = false;  // there is to be one

 private:
  static void require(Memory& memory) {
    memory.due.merge(memory.invoked);
    memory.invoked.clear();
  }
  std::map<std::string, Memory> memories_;
};

}  // namespace kybern::apiserver::admission
