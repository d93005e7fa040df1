#include "bin/local_transport.h"

#include "base/check.h"
#include "base/log.h"
#include "base/strings.h"

namespace kybern::bin {
namespace {

class LocalSubscription : public client::Subscription {
 public:
  explicit LocalSubscription(std::unique_ptr<apiserver::LocalWatch> watch) : watch_(std::move(watch)) {}

 private:
  std::unique_ptr<apiserver::LocalWatch> watch_;
};

std::string_view patch_name(client::PatchType type) {
  switch (type) {
    case client::PatchType::json: return "json";
    case client::PatchType::merge: return "merge";
    case client::PatchType::strategic: return "strategic";
    case client::PatchType::apply: return "apply";
  }
  return "";
}

class LocalTransport : public client::Transport {
 public:
  LocalTransport(apiserver::ApiServer& server, apiserver::User user) : server_(server), user_(std::move(user)) {}

  ApiResult<Document> call(client::Call call) override {
    return server_.call(user_, call.method, call.path, call.query, std::move(call.body), patch_name(call.patch));
  }

  std::unique_ptr<client::Subscription> subscribe(std::string path, std::string query, client::Listener listener) override {
    auto shared = std::make_shared<client::Listener>(std::move(listener));
    auto watch = server_.subscribe(
        user_, path, query,
        [shared](std::vector<Document> objects, std::uint64_t revision) {
          shared->replaced(std::move(objects));
          if (shared->progressed) shared->progressed(revision);
        },
        [shared](std::vector<apiserver::LocalEvent> changes, std::uint64_t revision) {
          std::vector<client::Event> events;
          events.reserve(changes.size());
          for (apiserver::LocalEvent& change : changes)
            events.push_back({change.erased ? client::Event::Type::erased : client::Event::Type::put, std::move(change.object)});
          if (!events.empty()) shared->changed(std::move(events));
          if (shared->progressed) shared->progressed(revision);
        });
    // A component of this program that may not read what it needs is a mistake in its role, not a state to wait out.
    if (!watch)
      log_error("kybern", "a component may not watch what it needs",
                {{"user", user_.name}, {"path", path}, {"why", watch.error().message}});
    return std::make_unique<LocalSubscription>(watch ? std::move(*watch) : nullptr);
  }

 private:
  apiserver::ApiServer& server_;
  apiserver::User user_;
};

}  // namespace

std::unique_ptr<client::Transport> local_transport(apiserver::ApiServer& server, apiserver::User user) {
  return std::make_unique<LocalTransport>(server, std::move(user));
}

apiserver::User component_user(const std::string& name) {
  apiserver::User user{name, "", {"system:authenticated"}, {}};
  constexpr std::string_view account = "system:serviceaccount:";
  if (name.starts_with(account)) {
    auto parts = split(std::string_view(name).substr(account.size()), ':');
    user.groups.insert(user.groups.begin(), {"system:serviceaccounts", "system:serviceaccounts:" + std::string(parts[0])});
  } else if (name.starts_with("system:node:")) {
    user.groups.insert(user.groups.begin(), "system:nodes");
  }
  return user;
}

}  // namespace kybern::bin
