// The definitions of custom resources at work: their conditions, what they add to the catalog, and the cleaning up of
// their objects when they go. Definitions and objects are told of by the registry, after each commit.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "apiserver/registry/registry.h"

namespace kybern::apiserver {

class CustomResources {
 public:
  static constexpr int deletes_per_turn = 500;

  CustomResources(Registry& registry, Catalog& catalog);
  ~CustomResources();
  void stop();  // nothing is followed any more; what is being written for it has ended

  void load();                             // the stored definitions, when the server starts
  void changed(Value before, Value now);   // of a definition; `now` absent: it is gone
  void object_gone(const Served& served);  // an object of a custom resource is no more
  void follow(std::string api_service);    // in a while it is there or not, as its group-version ("v1.example.com") is served

 private:
  // What the definitions of a group were promised, and who of them still waits for a name.
  struct Group {
    std::map<std::string, std::string, std::less<>> names, kinds;  // to the definition that has it
    std::set<std::string, std::less<>> waiting;
  };
  void settle(const std::string& name);  // conditions, then the catalog
  void publish(const Document& definition);
  void remember_names(Value definition);
  void forget_names(std::string_view group, std::string_view name);
  void clean_up(const std::string& name);
  void clean_up_later(const std::string& name, Duration delay = Duration(0));
  bool clean_up_next();  // false: there is none
  void settle_others(std::string_view group, std::string_view name);
  void follow_versions(Value definition);
  bool follow_next();  // false: there is none
  Work work_for(const std::string& name, std::string subresource) const;

  Registry& registry_;
  Catalog& catalog_;
  std::mutex mutex_;
  std::map<std::string, Document, std::less<>> published_;  // spec and names that the catalog shows
  std::map<std::string, Group, std::less<>> groups_;
  // Tasks, which the executor may run when this object is no more: one follows APIServices, one deletes objects.
  struct Tasks;
  std::shared_ptr<Tasks> tasks_;
  std::mutex task_mutex_;
  std::set<std::string> to_follow_;                             // APIServices
  std::set<std::string, std::less<>> to_clean_;                 // definitions
  std::string last_cleaned_;                                    // each gets its turn
  bool loaded_ = false, following_ = false, cleaning_ = false;  // following, cleaning: a task is at work on them
};

// Hooks of the registry.
ApiResult<void> prepare_definition(Work& work, Draft& definition);
ApiResult<void> prepare_changed_definition(Work& work, Draft& definition, Value before);
void definition_committed(Work& work, Value before, Value now);

}  // namespace kybern::apiserver
