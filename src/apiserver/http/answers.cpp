#include "apiserver/http/answers.h"

#include "apiserver/http/observed.h"
#include "apiserver/http/query.h"

namespace kybern::apiserver {
namespace {

// What is answered, for those who keep a trail of it.
void note_answer(net::Exchange& exchange, Value object) {
  auto* observed = dynamic_cast<ObservedExchange*>(&exchange);
  if (audit::Record* record = observed ? observed->observation().record() : nullptr) record->answered(object);
}

// The form of a Status: one that the client takes, else JSON that a person can read.
Accepted status_form(const net::Request& request) {
  auto accepted = negotiate(request.headers.get("accept"), false);
  Accepted form = accepted.value_or(Accepted{});
  form.pretty = form.pretty || !accepted || wants_pretty(Query(request.query).get("pretty"), request.headers.get("user-agent"));
  return form;
}

}  // namespace

void respond_object(net::Exchange& exchange, const Accepted& accepted, int code, Value object, const std::vector<std::string>& warnings,
                    std::string json) {
  note_answer(exchange, object);
  net::Response response;
  response.status = code;
  Accepted used = accepted;
  if (!json.empty()) {
    response.body = std::move(json);
    response.body += '\n';
  } else if (auto ok = encode(used, object, response.body); !ok) {
    used = Accepted{};
    response.status = ok.error().code;
    response.body.clear();
    (void)encode(used, ok.error().document().root(), response.body);
  }
  response.headers.set("content-type", used.content_type());
  response.headers.set("cache-control", "no-cache, private");
  add_warnings(response.headers, warnings);
  exchange.respond(std::move(response));
}

void respond_status(net::Exchange& exchange, const Status& status, const std::vector<std::string>& warnings) {
  net::Response response;
  Accepted form = status_form(exchange.request());
  response.status = status.code;
  Document document = status.document();
  note_answer(exchange, document);
  (void)encode(form, document.root(), response.body);
  response.headers.set("content-type", form.content_type());
  response.headers.set("cache-control", "no-cache, private");
  if (status.retry_after_seconds > 0) response.headers.set("retry-after", std::to_string(status.retry_after_seconds));
  add_warnings(response.headers, warnings);
  exchange.respond(std::move(response));
}

void respond_text(net::Exchange& exchange, int code, std::string text) {
  net::Response response;
  response.status = code;
  response.headers.set("content-type", "text/plain; charset=utf-8");
  response.headers.set("x-content-type-options", "nosniff");
  response.body = std::move(text);
  exchange.respond(std::move(response));
}

void respond_busy(net::Exchange& exchange, int retry_after_seconds) {
  net::Response response;
  response.status = 429;
  response.headers.set("content-type", "text/plain; charset=utf-8");
  response.headers.set("x-content-type-options", "nosniff");
  response.headers.set("retry-after", std::to_string(retry_after_seconds));
  response.body = "Too many requests, please try again later.\n";
  exchange.respond(std::move(response));
}

}  // namespace kybern::apiserver
