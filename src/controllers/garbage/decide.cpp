#include "controllers/garbage/decide.h"

#include <algorithm>

#include "controllers/objects.h"

namespace kybern::controllers::garbage {

Verdict decide(Value object, const Known& known) {
  const std::vector<Reference> references = references_of(object);
  if (references.empty()) return {};
  bool solid = false, waiting = false;
  std::vector<std::string> shed;
  for (std::size_t i = 0; i < references.size(); ++i) {
    solid = solid || known.owners[i] == OwnerState::solid;
    waiting = waiting || known.owners[i] == OwnerState::waiting;
    if (known.owners[i] != OwnerState::solid) shed.push_back(references[i].uid);
  }
  if (solid) {
    if (shed.empty()) return {};
    return {Verdict::Kind::shed, std::move(shed), false, {}};
  }
  if (waiting && known.has_dependents) return {Verdict::Kind::erase, {}, known.dependent_waits, "Foreground"};
  const char* propagation = has_finalizer(object, orphan_finalizer)       ? "Orphan"
                            : has_finalizer(object, foreground_finalizer) ? "Foreground"
                                                                          : "Background";
  return {Verdict::Kind::erase, {}, false, propagation};
}

}  // namespace kybern::controllers::garbage
