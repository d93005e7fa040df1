#include "controllers/admissionpolicystatus/run.h"

#include "client/mirror.h"
#include "controllers/admissionpolicystatus/reconcile.h"

namespace kybern::controllers::admissionpolicystatus {
namespace {

// What cannot be read now is not checked.
std::vector<Document> definitions_for(Value policy, client::Transport& transport) {
  std::vector<Document> out;
  if (!needs_definitions(policy)) return out;
  const auto list = transport.call({.method = "GET",
                                    .path = client::object_path("apiextensions.k8s.io/v1", "customresourcedefinitions", "", ""),
                                    .query = {},
                                    .body = {}});
  if (!list) return out;
  for (Value one : (*list)["items"].items()) out.push_back(one.document());
  return out;
}

// Nobody else reads policies here, so their mirror is this controller's own.
class TypeChecks : public Controller {
 public:
  explicit TypeChecks(const Environment& environment)
      : policies_(environment.transport, "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"),
        runner_("validatingadmissionpolicy-status", 1, environment.transport, environment.world, environment.mirrors,
                [this, &transport = environment.transport](const std::string& key, const Failure*) -> std::optional<Plan> {
                  const Document policy = policies_.get(key);
                  if (!policy) return {};
                  return reconcile(policy, definitions_for(policy, transport));
                }) {
    policies_.add_handler([this](const Document&, const Document& now) {
      if (now) runner_.add(client::key_of(now));
    });
  }
  void start() override {
    runner_.start();
    policies_.start();
  }
  void stop() override {
    policies_.stop();
    runner_.stop();
  }

 private:
  client::MirrorCore policies_;
  Runner runner_;
};

}  // namespace

std::unique_ptr<Controller> make_controller(const Environment& environment) { return std::make_unique<TypeChecks>(environment); }

}  // namespace kybern::controllers::admissionpolicystatus
