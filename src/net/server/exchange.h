// What a handler gets: the request, and the ways to answer it (net/server.h).
#pragma once

#include <atomic>
#include <memory>

#include "net/server.h"
#include "net/server/stream_core.h"

namespace kybern::net {

class ServerExchange final : public Exchange {
 public:
  // `counter` counts the exchanges that handlers hold, per HTTP/2 connection; may be null.
  ServerExchange(Request request, std::shared_ptr<StreamCore> core, std::shared_ptr<std::atomic<std::size_t>> counter = nullptr);
  ~ServerExchange() override;  // a handler that gave no answer is answered for: 500

  const Request& request() const override { return request_; }
  Request& request() override { return request_; }
  void respond(Response response) override;
  void respond_pulled(int status, Headers headers, std::function<bool(std::string& out)> produce) override;
  std::shared_ptr<BodyStream> respond_stream(int status, Headers headers) override;
  std::shared_ptr<RawStream> upgrade(Headers headers) override;
  bool canceled() const override { return core_->canceled(); }
  bool gone() const { return core_->gone(); }
  std::uint64_t flow() const { return core_->form().flow; }

 private:
  bool complete_once();
  Request request_;
  std::shared_ptr<StreamCore> core_;
  std::shared_ptr<std::atomic<std::size_t>> counter_;
  std::atomic<bool> completed_ = false;
};

}  // namespace kybern::net
