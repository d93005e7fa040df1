// The one path that every resource takes, built-in or custom: decode, default, admit, prepare, validate, store.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "apiserver/registry/hot_texts.h"
#include "apiserver/registry/served.h"
#include "apiserver/registry/work.h"
#include "base/world.h"
#include "machinery/fields.h"
#include "machinery/labels.h"
#include "store/store.h"

namespace kybern::apiserver {

class Authenticator;
class Authorizer;
class CustomResources;
class HookClients;
class ServiceAllocator;
class TokenIssuer;
class WaitingRoom;
namespace admission {
class Webhooks;
}

enum class PatchKind { json, merge, strategic, apply };

struct DeleteOptions {
  std::optional<std::int64_t> grace_period_seconds;
  std::string uid, resource_version;  // preconditions
  std::optional<bool> orphan_dependents;
  std::string propagation_policy;  // "", Orphan, Background, Foreground
};

struct ListOptions {
  LabelSelector labels;
  FieldSelector fields;
  std::int64_t limit = 0;
  std::string continue_token, resource_version, resource_version_match;
  bool watch = false, bookmarks = false, send_initial_events = false, has_send_initial_events = false;
  std::int64_t timeout_seconds = 0;
};

// A list that is read as it is sent: the objects come out of the snapshot one by one.
struct Listing {
  store::Snapshot snapshot;
  std::string prefix, after;                  // the next key is the first > `after` under `prefix`
  std::int64_t limit = 0;                     // 0: all
  std::function<bool(Value stored)> matches;  // empty: all
  bool unconverted = false;                   // webhooks convert nothing: only the version's name is changed
  bool selective = false;                     // a selector is at work: remainingItemCount is not told
  ServedRef served{};
  std::string resource_version;

  // The next object in the served version's form; empty at the end of the page.
  Document next();
  // Before the first next(), where objects are converted by a webhook: all of the page at once.
  ApiResult<void> prefetch();
  // Before the first next(): all of the page at once, in an order of its own.
  void sort(bool (*first)(Value, Value));
  // After the last next(): where to go on, "" when nothing is left.
  std::string continue_token();
  std::optional<std::int64_t> remaining();

 private:
  store::EntryPtr next_entry();
  std::int64_t given_ = 0;
  std::vector<Document> fetched_;  // last first
  bool prefetched_ = false;
  bool look_ahead();
  std::vector<store::EntryPtr> ahead_{};  // those before taken_ are given
  std::size_t taken_ = 0;
  bool ended_ = false;  // nothing comes after ahead_
};

// One step of a watch.
struct WatchEvent {
  enum class Type { added, modified, deleted, bookmark, error } type;
  Document object;          // in the served version's form
  store::ChangePtr change;  // when the object is the stored one unchanged: encodings can be shared
};

struct WatchPlan {
  std::optional<Listing> initial;  // objects to send as ADDED first
  store::Revision after = 0;
  std::string prefix;
  std::function<bool(Value stored)> matches;
  bool initial_bookmark = false;  // k8s.io/initial-events-end
};

// Called before an object is stored (create, update, delete): may change it, or refuse.
struct AdmissionAttributes {
  Work& work;
  std::string_view operation;  // CREATE UPDATE DELETE CONNECT
  Value before;
};
using Mutator = ApiResult<void> (*)(const AdmissionAttributes&, Draft& object);
using Validator = ApiResult<void> (*)(const AdmissionAttributes&, Value object);

struct RegistryOptions {
  std::string service_cidr = "10.96.0.0/12";
  int node_port_low = 30000, node_port_high = 32767;
  bool may_wait = true;  // requests have threads of their own: one may wait a moment for what another writes
};

class Registry {
 public:
  Registry(store::Store& store, World world, RegistryOptions options);
  ~Registry();

  const Catalog& catalog() const { return catalog_; }
  store::Store& store() { return store_; }
  World world() const { return world_; }
  bool may_wait() const { return may_wait_; }
  ServiceAllocator& services() { return *services_; }
  CustomResources& customs() { return *customs_; }
  admission::Webhooks& webhooks() { return *webhooks_; }
  HookClients& hook_clients() { return *hook_clients_; }
  WaitingRoom& waiting_room() { return *waiting_room_; }
  void set_token_issuer(TokenIssuer* issuer) { issuer_ = issuer; }
  TokenIssuer* token_issuer() const { return issuer_; }
  // For the reviews of tokens and access, and the check against escalation.
  void set_access(const Authenticator* authenticator, const Authorizer* authorizer) {
    authenticator_ = authenticator, authorizer_ = authorizer;
  }
  const Authenticator* authenticator() const { return authenticator_; }
  const Authorizer* authorizer() const { return authorizer_; }

  ApiResult<Answer> get(Work& work);
  ApiResult<Answer> create(Work& work, Document body);
  ApiResult<Answer> update(Work& work, Document body);
  ApiResult<Answer> patch(Work& work, PatchKind kind, Document body);
  ApiResult<Answer> remove(Work& work, const DeleteOptions& options);
  ApiResult<Answer> remove_collection(Work& work, const DeleteOptions& options, const ListOptions& selection);
  ApiResult<Listing> list(Work& work, const ListOptions& options);
  ApiResult<WatchPlan> watch(Work& work, const ListOptions& options);

  // Reading by the server's own parts (authorization, admission, printing): no checks.
  Document read(std::string_view group, std::string_view version, std::string_view plural, std::string_view ns,
                std::string_view name) const;
  void each(std::string_view group, std::string_view version, std::string_view plural, std::string_view ns,
            const std::function<bool(Value)>& visit) const;

  // The current stored object, NotFound in the served resource's words otherwise.
  ApiResult<store::EntryPtr> current(const Work& work) const;
  // A resourceVersion of a read: 400 when it is no number, 504 when it is ahead of the store.
  ApiResult<void> check_revision(std::string_view version) const;
  // Decodes a body into the typed form with defaults: unknown and duplicate fields are judged by fieldValidation.
  ApiResult<Document> typed(Work& work, const Served& served, Document body);
  // Applies `change` to the current object until it is stored without a conflict. `change` gets the object in the served
  // version's form and makes the new one; an equal result is not stored.
  using Change = std::function<ApiResult<Draft>(Value before)>;
  ApiResult<Answer> modify(Work& work, const Change& change, bool retry_conflicts);
  // Removes for good, whatever finalizers say: after the last one is gone.
  ApiResult<Document> erase(Work& work, const store::EntryPtr& entry);
  Document in_served_form(const Served& served, Value stored) const;
  // The same, and to_stored, where a conversion may fail.
  ApiResult<Document> converted(const Served& served, Value stored) const;
  static ApiResult<Document> for_store(const Served& served, Document object);

 private:
  friend struct WritePath;
  store::Store& store_;
  World world_;
  bool may_wait_;
  HotTexts hot_texts_;
  Catalog catalog_;
  std::unique_ptr<ServiceAllocator> services_;
  std::unique_ptr<CustomResources> customs_;
  std::unique_ptr<HookClients> hook_clients_;
  std::unique_ptr<WaitingRoom> waiting_room_;
  std::unique_ptr<admission::Webhooks> webhooks_;
  TokenIssuer* issuer_ = nullptr;
  const Authenticator* authenticator_ = nullptr;
  const Authorizer* authorizer_ = nullptr;
};

ApiResult<ListOptions> read_list_options(const Served& served, const Query& query);
ApiResult<DeleteOptions> read_delete_options(Value body, const Query& query);
ApiResult<void> read_write_options(Work& work, std::string_view options_kind);  // dryRun, fieldValidation, fieldManager of the query

Status status_of(const Work& work, const Error& error);  // of a store's refusal

}  // namespace kybern::apiserver
