// The trail of a request: audit.k8s.io/v1 Events at its stages.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "apiserver/audit/policy.h"
#include "apiserver/audit/sink.h"
#include "apiserver/http/request_info.h"
#include "apiserver/user.h"
#include "base/world.h"
#include "document/document.h"

namespace kybern::net {
struct Request;
}

namespace kybern::apiserver::audit {

class Auditor;

// One request. Told by whoever works on it, one thread at a time.
class Record {
 public:
  ~Record();  // the last stage
  bool keeps_objects() const { return level_ >= Level::request; }
  bool keeps_answers() const { return level_ == Level::request_response; }
  void impersonated(const User& user, std::string constraint);
  void annotate(std::string_view key, std::string value);
  void annotate(const std::map<std::string, std::string>& all);
  void asked(Value body);                       // the body, as it came
  void answered(Value object);                  // what is answered, a Status too
  void responded(int code, bool long_running);  // the head of the answer goes out

 private:
  friend class Auditor;
  Record(std::shared_ptr<Auditor> auditor, Verdict verdict) : auditor_(std::move(auditor)), level_(verdict.level), verdict_(verdict) {}
  bool emit(Stage stage);

  const std::shared_ptr<Auditor> auditor_;
  const Level level_;
  const Verdict verdict_;
  Draft head_, status_, object_ref_, impersonated_;
  Document request_, answer_;
  std::map<std::string, std::string> annotations_;
  std::string received_, constraint_;  // of an impersonation
  bool long_running_ = false, silent_ = false;
};

class Auditor : public std::enable_shared_from_this<Auditor> {
 public:
  // nullptr: nothing is set up to be audited.
  static Result<std::shared_ptr<Auditor>> make(const SinkOptions& options, World world);

  // nullptr: the policy does not ask for a trail. `ok` becomes false when a strict sink could not keep the first event.
  // `notes`: annotations that are known already, of the credentials.
  using Annotations = std::map<std::string, std::string>;
  std::shared_ptr<Record> begin(const User& user, const RequestInfo& info, const net::Request& request, std::string_view id, bool& ok,
                                const Annotations& notes = {});
  // A request whose credentials are no good.
  void refused(const RequestInfo& info, const net::Request& request, std::string_view id, int code, const Annotations& notes = {});

 private:
  friend class Record;
  Auditor(Policy policy, std::unique_ptr<Sink> sink, World world) : policy_(std::move(policy)), sink_(std::move(sink)), world_(world) {}
  std::shared_ptr<Record> open(const User& user, const RequestInfo& info, const net::Request& request, std::string_view id);

  const Policy policy_;
  const std::unique_ptr<Sink> sink_;
  World world_;
};

}  // namespace kybern::apiserver::audit
