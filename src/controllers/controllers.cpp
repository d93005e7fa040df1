#include "controllers/controllers.h"

#include <algorithm>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "controllers/admissionpolicystatus/run.h"
#include "controllers/bootstraptokens/run.h"
#include "controllers/certificates/run.h"
#include "controllers/clusterroleaggregation/run.h"
#include "controllers/deployment/run.h"
#include "controllers/disruption/run.h"
#include "controllers/endpoints/run.h"
#include "controllers/endpointslice/run.h"
#include "controllers/endpointslicemirroring/run.h"
#include "controllers/environment.h"
#include "controllers/garbage/run.h"
#include "controllers/legacytokens/run.h"
#include "controllers/mirrors.h"
#include "controllers/namespace/run.h"
#include "controllers/nodelifecycle/run.h"
#include "controllers/podgc/run.h"
#include "controllers/replicaset/run.h"
#include "controllers/resourcequota/run.h"
#include "controllers/rootca/run.h"
#include "controllers/run.h"
#include "controllers/serviceaccount/run.h"
#include "controllers/serviceaccount/tokens_run.h"
#include "controllers/tainteviction/run.h"

namespace kybern::controllers {
namespace {

constexpr Duration first_check = std::chrono::milliseconds(2),
                   last_check = std::chrono::milliseconds(500);  // whether the first lists are in

}  // namespace

struct ControllerManager::State {
  // Lets the timer of the start find out that the manager is gone.
  struct Starting {
    std::mutex mutex;
    State* state = nullptr;
  };

  State(World w, Options o) : world(w), options(std::move(o)), mirrors(options.for_identity("system:kube-controller-manager")) {
    controllers.push_back(replicaset::make_runner(as("replicaset-controller")));
    controllers.push_back(replicaset::make_replication_runner(as("replication-controller")));
    controllers.push_back(deployment::make_runner(as("deployment-controller")));
    controllers.push_back(endpointslice::make_runner(as("endpointslice-controller")));
    controllers.push_back(endpointslicemirroring::make_runner(as("endpointslicemirroring-controller")));
    controllers.push_back(endpoints::make_runner(as("endpoint-controller")));
    controllers.push_back(serviceaccount::make_runner(as("service-account-controller")));
    controllers.push_back(rootca::make_runner(as("root-ca-cert-publisher"), options.ca_bundle));
    controllers.push_back(resourcequota::make_runner(as("resourcequota-controller")));
    controllers.push_back(disruption::make_runner(as("disruption-controller")));
    controllers.push_back(disruption::make_forgetting_runner(as("disruption-controller")));
    controllers.push_back(admissionpolicystatus::make_controller(as("validatingadmissionpolicy-status-controller")));
    controllers.push_back(namespaces::make_controller(as("namespace-controller")));
    controllers.push_back(nodelifecycle::make_controller(as("node-controller"), options.node_grace));
    controllers.push_back(tainteviction::make_controller(as("node-controller")));
    controllers.push_back(
        podgc::make_controller(as("pod-garbage-collector"), static_cast<std::size_t>(std::max(0, options.terminated_pods_limit))));
    controllers.push_back(
        certificates::make_controller(as("certificate-controller"), {options.signing_authority, options.signing_duration}));
    controllers.push_back(clusterroleaggregation::make_runner(as("clusterrole-aggregation-controller")));
    controllers.push_back(legacytokens::make_cleaner(as("legacy-service-account-token-cleaner"), options.unused_tokens_period));
    controllers.push_back(bootstraptokens::make_cleaner(as("token-cleaner")));
    controllers.push_back(bootstraptokens::make_signer(as("bootstrap-signer")));
    // The one that reads and writes Secrets everywhere works under the manager's own name, as upstream's.
    if (options.account_key_pem)
      controllers.push_back(serviceaccount::make_token_runner({options.for_identity("system:kube-controller-manager"), world, mirrors},
                                                              {options.account_key_pem, options.ca_bundle}));
    controllers.push_back(garbage::make_controller(as("generic-garbage-collector")));
  }

  Environment as(const std::string& account) {
    return {options.for_identity("system:serviceaccount:kube-system:" + account), world, mirrors};
  }

  void check_later(Duration delay) {
    world.executor.post_after(delay, [starting = starting, next = std::min(delay * 2, last_check)] {
      std::lock_guard lock(starting->mutex);
      if (!starting->state) return;
      if (starting->state->mirrors.synced()) starting->state->begin();
      else starting->state->check_later(next);
    });
  }
  void begin() {
    for (auto& controller : controllers) controller->start();
    log_info("controllers", "started", {{"controllers", std::to_string(controllers.size())}});
  }
  void stop() {
    {
      std::lock_guard lock(starting->mutex);
      starting->state = nullptr;
    }
    if (std::exchange(stopped, true)) return;
    mirrors.stop();  // first those who call the controllers
    for (auto& controller : controllers) controller->stop();
  }

  const World world;
  const Options options;
  Mirrors mirrors;
  std::vector<std::unique_ptr<Controller>> controllers;
  std::shared_ptr<Starting> starting = std::make_shared<Starting>();
  bool stopped = false;
};

ControllerManager::ControllerManager(World world, Options options) : state_(std::make_unique<State>(world, std::move(options))) {}

ControllerManager::~ControllerManager() { state_->stop(); }

void ControllerManager::start() {
  state_->starting->state = state_.get();
  state_->mirrors.start();
  state_->check_later(first_check);
}

void ControllerManager::stop() { state_->stop(); }

}  // namespace kybern::controllers
