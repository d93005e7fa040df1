// Mirror<T>: the state of one collection in memory, kept current. In the all-in-one program its documents are the very
// blocks of the store. T is a generated accessor (api/<group>_<version>.h) made from a Value: `T(value)`.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "client/transport.h"
#include "document/document.h"

namespace kybern::client {

// An object kept alive, with its typed view.
template <class T>
struct Object {
  Document document;
  explicit operator bool() const { return static_cast<bool>(document); }
  T view() const { return T(document.root()); }
  T operator*() const { return view(); }
  struct Arrow {
    T value;
    const T* operator->() const { return &value; }
  };
  Arrow operator->() const { return {view()}; }
};

// The untyped store behind every Mirror<T>. Thread-safe. Keys are "namespace/name" or "name".
//
// Reads see one's own writes: what `wrote` and `erased` were told shows at once, before the stream brings it, so a
// decision is never made from a state older than one's last action. Example: a pod made at resource version 9 shows in
// list() as soon as wrote(pod) returns; when the stream later delivers it, the handlers are called; a stream event of
// version 8 for the same pod in between changes nothing for readers. Resource versions are compared as numbers
// (KEP-5504); a version that is not a number is never noted.
class MirrorCore {
 public:
  // An index groups objects under the texts that `keys` returns for each: by owner uid, by node, by label.
  using IndexKeys = std::function<std::vector<std::string>(Value object)>;
  // Called in order, outside the lock; `before` is empty for a new object, `now` for one that is gone.
  using Handler = std::function<void(const Document& before, const Document& now)>;

  MirrorCore(Transport& transport, std::string path, std::string query = {});
  ~MirrorCore();
  void add_index(std::string name, IndexKeys keys);  // before start()
  void add_handler(Handler handler);                 // before start()
  void start();
  void stop();          // no handler runs after it; what is there stays readable
  bool synced() const;  // the first list is in
  bool wait_synced(std::chrono::milliseconds limit) const;

  Document get(std::string_view key) const;  // empty when not there
  std::vector<Document> list() const;
  std::vector<Document> list_namespace(std::string_view ns) const;
  std::vector<Document> by_index(std::string_view index, std::string_view key) const;
  std::size_t size() const;

  void wrote(const Document& object);                       // the answer of a create, update or patch of an object of this collection
  void erased(std::string_view key, std::string_view uid);  // a delete was answered with "gone"

 private:
  struct State;
  std::unique_ptr<State> state_;
};

template <class T>
class Mirror {
 public:
  Mirror(Transport& transport, std::string path, std::string query = {}) : core_(transport, std::move(path), std::move(query)) {}
  MirrorCore& core() { return core_; }
  const MirrorCore& core() const { return core_; }
  void start() { core_.start(); }
  bool synced() const { return core_.synced(); }
  Object<T> get(std::string_view key) const { return {core_.get(key)}; }
  std::vector<Object<T>> list() const { return wrap(core_.list()); }
  std::vector<Object<T>> list_namespace(std::string_view ns) const { return wrap(core_.list_namespace(ns)); }
  std::vector<Object<T>> by_index(std::string_view index, std::string_view key) const { return wrap(core_.by_index(index, key)); }

 private:
  static std::vector<Object<T>> wrap(std::vector<Document> documents) {
    std::vector<Object<T>> out;
    out.reserve(documents.size());
    for (Document& d : documents) out.push_back({std::move(d)});
    return out;
  }
  MirrorCore core_;
};

std::uint64_t resource_version_of(Value object);  // 0 when it is not a number
std::string key_of(Value object);                 // "namespace/name" or "name" from its metadata

}  // namespace kybern::client
