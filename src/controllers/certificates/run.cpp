#include "controllers/certificates/run.h"

#include <utility>

#include "base/log.h"
#include "base/strings.h"
#include "client/mirror.h"
#include "controllers/certificates/reconcile.h"
#include "controllers/objects.h"
#include "net/certificates.h"

namespace kybern::controllers::certificates {
namespace {

constexpr std::size_t workers = 2;
constexpr Duration review_again = std::chrono::seconds(30);  // after an approval that was not given: a binding may come

class Signer final : public Controller {
 public:
  Signer(const Environment& environment, SigningOptions options)
      : world_(environment.world),
        mirrors_(environment.mirrors),
        transport_(environment.transport),
        authority_(std::move(options.authority)),
        duration_(options.duration),
        runner_("certificate-controller", workers, environment.transport, environment.world, environment.mirrors,
                [this](const std::string& key, const Failure*) { return decide(key); }) {
    mirrors_.certificate_requests.add_handler([this](const Document&, const Document& now) {
      if (now) runner_.add(client::key_of(now));
    });
  }
  void start() override { runner_.start(); }
  void stop() override { runner_.stop(); }

 private:
  std::optional<Plan> decide(const std::string& key) {
    const Document request = mirrors_.certificate_requests.get(key);
    if (!request || is_deleting(request)) return {};
    Plan plan = work_on(request);
    if (!plan.actions.empty()) return plan;
    const std::optional<Time> end = end_of(request, ends(request));
    if (!end) return plan;
    const Time now = world_.clock.now();
    if (now >= *end) plan.actions.push_back(erase_action("certificatesigningrequests", request));
    else plan.wake_after = std::min<Duration>(plan.wake_after.value_or(*end - now), *end - now);
    return plan;
  }

  Plan work_on(const Document& request) {
    Plan plan;
    plan.about = request;
    if (failed(request) || issued(request)) return plan;
    const bool unsettled = !decided(request);
    const bool to_sign = approved(request) && authority_ && is_built_in(request["spec"]["signerName"].as_string());
    if (!unsettled && !to_sign) return plan;
    const std::string pem = base64_decode(request["spec"]["request"].as_string()).value_or("");
    auto info = net::read_request(pem);
    if (!info) {
      log_warn("controllers", "a certificate request cannot be read",
               {{"request", std::string(name_of(request))}, {"why", info.error().message}});
      return plan;
    }
    const Subject subject{info->common_name, info->organizations, info->dns_names, info->ip_addresses, info->emails, info->uris};
    return unsettled ? consider(request, subject) : sign(request, pem, subject);
  }

  // Asks whether who made the request may have it approved at once.
  Plan consider(const Document& request, const Subject& subject) {
    Plan plan;
    plan.about = request;
    for (const Recognized& way : recognize(request, subject)) {
      Value spec = request["spec"];
      Draft review = Draft::object({{"apiVersion", "authorization.k8s.io/v1"}, {"kind", "SubjectAccessReview"}});
      Draft& asked = review["spec"];
      asked["user"] = spec["username"];
      for (std::string_view field : {"uid", "groups", "extra"})
        if (spec[field].exists()) asked[field] = spec[field];
      asked["resourceAttributes"] = Draft::object({{"group", "certificates.k8s.io"},
                                                   {"resource", "certificatesigningrequests"},
                                                   {"subresource", way.subresource},
                                                   {"verb", "create"}});
      auto answer = transport_.call(
          {.method = "POST", .path = "/apis/authorization.k8s.io/v1/subjectaccessreviews", .query = {}, .body = review.freeze()});
      if (answer && (*answer)["status"]["allowed"].as_bool()) return approve(request, way.message);
      plan.wake_after = review_again;
    }
    return plan;
  }

  Plan sign(const Document& request, const std::string& pem, const Subject& subject) {
    const Time now = world_.clock.now();
    if (std::string fault = fault_of(request, subject); !fault.empty()) return give_up(request, fault, now);
    auto [authority, key] = authority_();
    const net::KeyPair ca{std::move(authority), std::move(key)};
    auto about = net::read_certificate(ca.certificate_pem);
    const Validity valid = validity(request, now, duration_, about ? about->not_after : Time::max());
    net::CertificateSpec spec;
    for (Value usage : request["spec"]["usages"].items()) spec.usages.push_back(usage.str());
    spec.not_before = valid.not_before;
    spec.not_after = valid.not_after;
    auto certificate = net::sign_request(ca, pem, spec);
    // Certificate and key are two files: between the writes of both they do not belong together.
    if (certificate && !net::issued_by(*certificate, ca.certificate_pem))
      certificate = fail(Code::unavailable, "the key is not that of the certificate authority");
    if (certificate) return publish(request, *certificate);
    log_warn("controllers", "a certificate request cannot be signed",
             {{"request", std::string(name_of(request))}, {"why", certificate.error().message}});
    Plan plan;
    plan.wake_after = review_again;
    return plan;
  }

  static std::optional<Time> ends(Value request) {
    if (!issued(request)) return {};
    auto info = net::read_certificate(base64_decode(request["status"]["certificate"].as_string()).value_or(""));
    if (!info) return {};
    return info->not_after;
  }

  const World world_;
  Mirrors& mirrors_;
  client::Transport& transport_;
  const std::function<std::pair<std::string, std::string>()> authority_;
  const Duration duration_;
  Runner runner_;
};

}  // namespace

std::unique_ptr<Controller> make_controller(const Environment& environment, SigningOptions options) {
  return std::make_unique<Signer>(environment, std::move(options));
}

}  // namespace kybern::controllers::certificates
