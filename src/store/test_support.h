// What the store's tests share. Not part of the library.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "document/document.h"
#include "document/json.h"
#include "store/local_store.h"
#include "store/store.h"

namespace kybern::store::testing {

// A folder of its own, removed at the end.
class Folder {
 public:
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "kybern_store_XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// By key: the revision and the JSON of each.
using Contents = std::map<std::string, std::string>;
inline Contents contents(const Snapshot& s) {
  Contents all;
  s.scan("", "", [&](const EntryPtr& e) { return all[e->key] = std::to_string(e->revision) + " " + to_json(e->value.root()), true; });
  return all;
}

// An object as the API server would store one: a blank resource version, a number, and padding to about `bytes`.
inline Document object(std::string_view name, std::int64_t number, std::size_t bytes = 0) {
  BlockWriter w;
  w.begin_object();
  w.key("metadata");
  w.begin_object();
  w.key("name");
  w.string(name);
  w.key("resourceVersion");
  w.string(Document::stamp_blank());
  w.end_object();
  w.key("number");
  w.integer(number);
  if (bytes > 120) {
    w.key("padding");
    w.string(std::string(bytes - 120, static_cast<char>('a' + number % 26)));
  }
  w.end_object();
  return w.finish();
}

inline std::int64_t number_of(const EntryPtr& entry) { return entry->value["number"].as_int(-1); }
inline std::string version_of(const EntryPtr& entry) { return entry->value["metadata"]["resourceVersion"].str(); }

inline Write put(std::string key, std::int64_t number, std::optional<Revision> expected = std::nullopt, std::size_t bytes = 0) {
  Document value = object(key, number, bytes);
  return {std::move(key), std::move(value), expected};
}
inline Write erase(std::string key, std::optional<Revision> expected = std::nullopt) { return {std::move(key), std::nullopt, expected}; }

template <class T>
std::string why(const Result<T>& r) {
  return r ? "no error" : r.error().message;
}

inline std::unique_ptr<Store> open_or_die(const std::string& path, const LocalLimits& limits = {}) {
  StoreOptions options;
  options.path = path;
  Result<std::unique_ptr<Store>> store = open_local_store(options, limits);
  EXPECT_TRUE(store) << why(store);
  return store ? std::move(*store) : nullptr;
}

// A bounded wait for something that another thread does.
class Signal {
 public:
  void raise() {
    {
      std::lock_guard lock(mutex_);
      ++count_;
    }
    changed_.notify_all();
  }
  int count() {
    std::lock_guard lock(mutex_);
    return count_;
  }
  bool wait_for_count(int n, std::chrono::seconds limit = std::chrono::seconds(20)) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, limit, [&] { return count_ >= n; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int count_ = 0;
};

}  // namespace kybern::store::testing
