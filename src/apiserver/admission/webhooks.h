// MutatingAdmissionWebhook and ValidatingAdmissionWebhook: the stored configurations at work (admissionregistration.k8s.io/v1).
//
// Calls block. Whoever lets a request come this far has made sure, by concerns(), that it is not on a thread that others
// need (hooks/waiting_room.h).
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "apiserver/admission/match.h"
#include "apiserver/admission/reinvocation.h"
#include "apiserver/hooks/hook_client.h"
#include "apiserver/hooks/waiting_room.h"

namespace kybern::apiserver::admission {

class Webhooks {
 public:
  Webhooks(Registry& registry, HookClients& clients, WaitingRoom& room);
  ~Webhooks();

  // Whether some webhook's rules name what the request may do. Selectors and conditions are not looked at.
  bool concerns(const Work& work);
  void changed() { stale_ = true; }  // a configuration was written

  // One after the other. `object` is nullptr for a deletion.
  ApiResult<void> mutate(const AdmissionAttributes& a, Draft* object, Reinvocation& again);
  // All at once.
  ApiResult<void> validate(const AdmissionAttributes& a, Value object);

 private:
  struct Hook;
  struct Call;
  struct Outcome;
  struct Set {
    std::vector<std::shared_ptr<const Hook>> mutating, validating;  // by the configurations' names, in their order
  };
  std::shared_ptr<const Set> hooks();
  void reload();
  // Whether the hook has a say: as which resource it is asked. nullptr: it has not.
  ApiResult<const Served*> concerned(const Hook& hook, const AdmissionAttributes& a, const MatchTarget& target);
  Outcome ask(const Hook& hook, const Call& call);
  std::chrono::milliseconds time_left(const Hook& hook, Work& work) const;

  Registry& registry_;
  HookClients& clients_;
  WaitingRoom& room_;
  std::atomic<bool> stale_{true};
  std::mutex mutex_;
  std::shared_ptr<const Set> set_;
  std::map<std::string, std::shared_ptr<Gate>> gates_;  // by uid
  std::unique_ptr<store::Watch> mutating_changes_, validating_changes_;
};

}  // namespace kybern::apiserver::admission
