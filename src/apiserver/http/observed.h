// An exchange as the metrics see it: what was asked, what was answered, how large, how long it took. It also adds the
// headers that every answer has, and compresses large ones.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "apiserver/audit/audit.h"
#include "apiserver/flow/levels.h"
#include "apiserver/http/open_streams.h"
#include "apiserver/http/request_info.h"
#include "base/world.h"
#include "net/server.h"

namespace kybern::apiserver {

struct RequestSeries;

// What a whole answer to such a request is counted in; for who counts many of one kind. Lives for ever.
RequestSeries& series_of(const RequestInfo& info);
void count_answer(RequestSeries& series, int code, Duration taken, std::size_t bytes);
inline constexpr std::string_view audit_id_header = "audit-id", flow_schema_header = "x-kubernetes-pf-flowschema-uid",
                                  priority_level_header = "x-kubernetes-pf-prioritylevel-uid";

// One request on its way, from over HTTP or from inside. Counted when the last holder lets go of it.
class Observation {
 public:
  explicit Observation(World world);
  ~Observation();
  Observation(const Observation&) = delete;
  Observation& operator=(const Observation&) = delete;

  // `known`: the resource is one of ours. What is not is counted without its name, so that nobody can grow the metrics.
  void describe(const RequestInfo& info, bool known, bool dry_run, std::string_view content_type);
  void answered(int code) {
    code_ = code;
    if (record_) record_->responded(code, long_running_);
  }
  // Its trail, when there is one.
  void audited(std::shared_ptr<audit::Record> record) { record_ = std::move(record); }
  audit::Record* record() const { return record_.get(); }
  void sent(std::size_t bytes) { bytes_ += bytes; }
  // Listed below /debug/watches from now on.
  void opened_by(std::string_view user);
  bool long_running() const { return long_running_; }
  // The seat that it works on; given back when it is answered or its stream has begun.
  void take_seat(std::shared_ptr<Levels> levels, Seat seat) { levels_ = std::move(levels), seat_ = std::move(seat); }
  void settle();

 private:
  World world_;
  Instant begun_;
  RequestSeries* series_ = nullptr;  // once it is described
  std::shared_ptr<Levels> levels_;
  Seat seat_;
  std::unique_ptr<OpenStream> open_;
  std::shared_ptr<audit::Record> record_;
  int code_ = 0;
  std::size_t bytes_ = 0;
  bool long_running_ = false;
};

class ObservedExchange final : public net::Exchange {
 public:
  ObservedExchange(std::shared_ptr<net::Exchange> inner, World world);
  Observation& observation() { return *observation_; }
  void add_header(std::string_view name, std::string value) { headers_.emplace_back(name, std::move(value)); }
  std::string_view audit_id() const { return headers_.front().second; }
  void may_compress() { compress_ = true; }

  const net::Request& request() const override { return inner_->request(); }
  net::Request& request() override { return inner_->request(); }
  void respond(net::Response response) override;
  void respond_pulled(int status, net::Headers headers, std::function<bool(std::string& out)> produce) override;
  std::shared_ptr<net::BodyStream> respond_stream(int status, net::Headers headers) override;
  std::shared_ptr<net::RawStream> upgrade(net::Headers headers) override;
  bool canceled() const override { return inner_->canceled(); }

 private:
  void decorate(net::Headers& headers) const;

  std::shared_ptr<net::Exchange> inner_;
  std::shared_ptr<Observation> observation_;
  std::vector<std::pair<std::string_view, std::string>> headers_;
  bool compress_ = false;
};

}  // namespace kybern::apiserver
