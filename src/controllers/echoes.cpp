#include "controllers/echoes.h"

#include "controllers/objects.h"

namespace kybern::controllers {

void Echoes::decided(const std::string& key, Value object, const Plan& plan) {
  // With actions the status is not the last word.
  if (!plan.actions.empty()) return forget(key);
  const std::uint64_t content = content_hash64(plan.status ? plan.status->body["status"] : object["status"]);
  std::lock_guard lock(mutex_);
  statuses_[key] = content;
}

void Echoes::forget(const std::string& key) {
  std::lock_guard lock(mutex_);
  statuses_.erase(key);
}

bool Echoes::is_echo(const std::string& key, Value before, Value now) const {
  if (before.is_null() || now.is_null()) return false;
  const Value was = before["metadata"], is = now["metadata"];
  for (const char* field : {"uid", "generation", "deletionTimestamp", "labels", "annotations", "ownerReferences", "finalizers"})
    if (!(was[field] == is[field])) return false;
  const std::uint64_t content = content_hash64(now["status"]);
  std::lock_guard lock(mutex_);
  const auto found = statuses_.find(key);
  return found != statuses_.end() && found->second == content;
}

}  // namespace kybern::controllers
