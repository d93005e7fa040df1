#include "net/server.h"

#include <openssl/crypto.h>
#include <unistd.h>

#include <future>
#include <thread>

#include "net/server/listener.h"
#include "net/server/server_core.h"

namespace kybern::net {
namespace {

class RunningServer final : public Server {
 public:
  RunningServer(ServerOptions options, Handler handler, std::shared_ptr<Runtime> runtime, std::shared_ptr<TlsContext> tls, int listen_fd)
      : port_(port_of(listen_fd)),
        runtime_(runtime),
        core_(std::make_unique<ServerCore>(std::move(options), std::move(handler), runtime, std::move(tls), listen_fd)) {
    runtime_->reactor->at_turn_end([core = core_.get()] { return core->at_turn_end(); });
    runtime_->reactor->post([core = core_.get()] { core->begin(); });
    thread_ = std::thread([runtime] {
      runtime->reactor->run();
      ::OPENSSL_thread_stop();
    });
    ::pthread_setname_np(thread_.native_handle(), "reactor");
  }
  ~RunningServer() override { stop(std::chrono::milliseconds(0)); }

  int port() const override { return port_; }
  std::size_t connections() const override { return core_ ? core_->connections() : 0; }
  void post(std::function<void()> task, std::uint64_t flow) override { runtime_->pool->post(std::move(task), flow); }

  void stop(std::chrono::milliseconds grace) override {
    if (!thread_.joinable()) return;
    runtime_->stopping = true;
    on_reactor([this] { core_->begin_stop(); });
    core_->wait_until_empty(grace);
    on_reactor([this] { core_->kill_all(); });
    // What is queued for the handler threads still runs: producers must hear that their streams have ended.
    runtime_->pool->stop();
    runtime_->reactor->stop();
    thread_.join();
    core_.reset();
  }

 private:
  void on_reactor(std::function<void()> task) {
    std::promise<void> done;
    runtime_->reactor->post([&] {
      task();
      done.set_value();
    });
    done.get_future().wait();
  }

  const int port_;
  std::shared_ptr<Runtime> runtime_;
  std::unique_ptr<ServerCore> core_;
  std::thread thread_;
};

}  // namespace

Result<std::unique_ptr<Server>> Server::start(ServerOptions options, Handler handler) {
  std::shared_ptr<TlsContext> tls;
  if (options.tls) {
    auto loaded = TlsContext::load(*options.tls);
    if (!loaded) return std::unexpected(loaded.error());
    tls = std::move(*loaded);
  }
  auto reactor = Reactor::make();
  if (!reactor) return std::unexpected(reactor.error());
  auto listen_fd = listen_on(options);
  if (!listen_fd) return std::unexpected(listen_fd.error());
  auto runtime = std::make_shared<Runtime>();
  runtime->reactor = std::move(*reactor);
  runtime->pool = std::make_unique<Pool>(Pool::Options{.min_threads = options.min_threads, .max_threads = options.max_threads},
                                         [reactor = runtime->reactor.get()] { reactor->wake(); });
  return std::unique_ptr<Server>(new RunningServer(std::move(options), std::move(handler), runtime, tls, *listen_fd));
}

}  // namespace kybern::net
