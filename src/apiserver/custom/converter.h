// Conversion of custom resources by a webhook: spec.conversion.strategy Webhook (ConversionReview of apiextensions.k8s.io/v1).
//
// Calls block. Of an object's metadata a webhook may change labels and annotations, nothing else. What was converted is
// remembered for a while: those who watch an object do not each ask for it.
#pragma once

#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/world.h"
#include "document/document.h"
#include "machinery/status.h"

namespace kybern::apiserver {

class Gate;
class HookClients;

class Converter {
 public:
  static constexpr std::size_t max_objects = 250;                                  // of one review
  static constexpr std::size_t remembered = 1024, remembered_max_bytes = 8 << 20;  // objects, and of what they were made

  Converter(Document definition, HookClients& clients, World world);
  ~Converter();

  // The objects in the version `to`, in their order; those that have it already are taken as they are. `list`: they are
  // what a list holds, and errors say so.
  ApiResult<std::vector<Document>> convert(std::span<const Value> objects, std::string_view to, bool list = false) const;

 private:
  struct Slot {
    Document from, made;
    std::string to;
  };
  ApiResult<std::vector<Document>> ask(std::span<const Value> objects, std::string_view to, bool list) const;
  Document recall(Value object, std::string_view to) const;
  void remember(Value object, std::string_view to, const Document& made) const;
  static std::size_t place(Value object, std::string_view to);

  Document definition_;
  HookClients& clients_;
  World world_;
  std::unique_ptr<Gate> gate_;
  mutable std::mutex mutex_;
  mutable std::vector<Slot> slots_;  // none before the first is remembered: most definitions convert nothing all day
  mutable std::size_t bytes_ = 0;    // of what the slots hold
};

// Where a conversion is expected to give an object and cannot, its result is the Status that says why: custom objects
// have a group in their apiVersion, it has none.
Document failed_conversion(const Status& status);
std::optional<Status> conversion_failure(Value object);

}  // namespace kybern::apiserver
