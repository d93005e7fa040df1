// Objects in memory behind the transport's calls, to feed a kubelet in its own tests. It stores what it is given: no
// defaults, no validation, no admission. How a kubelet and the real API server get along is for the scenario tests.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "client/transport.h"

namespace kybern::kubelet::testing {

class MemoryApi : public client::Transport {
 public:
  ApiResult<Document> call(client::Call call) override;
  std::unique_ptr<client::Subscription> subscribe(std::string path, std::string query, client::Listener listener) override;

  // For the test itself. `path`: as in calls.
  Document get(const std::string& path);
  Document put(const std::string& collection, const std::string& json);  // creates or replaces; metadata is completed
  void change(const std::string& path, const std::function<void(Draft&)>& edit);
  void erase(const std::string& path);
  // As a client's DELETE of a pod: marks it, and the kubelet does the rest.
  void mark_deleted(const std::string& path, std::int64_t grace_s);
  std::vector<Document> list(const std::string& collection);
  std::vector<std::string> events_of(const std::string& name);  // "Normal Pulled: ..." in order of coming
  std::string token_life = "3600s";
  int tokens_made = 0;

 private:
  struct Watch;
  void tell(const std::string& path, const Document& before, const Document& now);
  Document stamp(Draft object);
  static std::string collection_of(const std::string& path);

  std::recursive_mutex mutex_;
  std::map<std::string, Document> objects_;  // by path
  std::vector<Watch*> watches_;
  std::uint64_t version_ = 100;
};

}  // namespace kybern::kubelet::testing
