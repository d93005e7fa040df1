#include "apiserver/http/connect.h"

namespace kybern::apiserver {
namespace {

class NoConnector : public Connector {
 public:
  bool connects(const Work&) const override { return false; }
  void connect(Work, std::string, std::shared_ptr<net::Exchange>) override {}
};

}  // namespace

Result<std::unique_ptr<Connector>> Connector::make(ConnectorOptions, Registry&) { return std::make_unique<NoConnector>(); }

}  // namespace kybern::apiserver
