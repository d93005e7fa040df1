// Recording of core/v1 Events: the same event again within a while raises its count (aggregation by object, reason and
// message; many different messages of one reason are folded into "(combined from similar events)"). Never blocks.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/world.h"
#include "client/transport.h"

namespace kybern::client {

class EventRecorder {
 public:
  EventRecorder(Transport& transport, World world, std::string component, std::string host = {});
  ~EventRecorder();
  // `about`: the object, of which kind, apiVersion, namespace, name, uid and resourceVersion are taken.
  void record(Value about, std::string_view type, std::string_view reason, std::string message, std::string_view field_path = {});
  void normal(Value about, std::string_view reason, std::string message) { record(about, "Normal", reason, std::move(message)); }
  void warning(Value about, std::string_view reason, std::string message) { record(about, "Warning", reason, std::move(message)); }
  void flush();  // what was recorded before is written, or given up

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace kybern::client
