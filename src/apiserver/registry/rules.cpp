#include "apiserver/registry/rules.h"

#include "apiserver/custom/custom.h"
#include "base/strings.h"
#include "machinery/custom/definition.h"
#include "machinery/defaults/defaults.h"
#include "machinery/metadata.h"
#include "machinery/validate/validate.h"
#include "machinery/validate/warnings.h"
#include "net/certificates.h"
#include "net/tls_pair.h"

namespace kybern::apiserver {

void apply_defaults(const Served& served, Draft& object) { kybern::apply_defaults(*served.resource, object); }

namespace {
bool is_definition(const Served& served) {
  return served.plural() == "customresourcedefinitions" && served.group() == "apiextensions.k8s.io";
}

// The request within the request: well-formed, and signed by the key that it is for.
FieldErrors check_certificate_request(Value object) {
  Value request = object["spec"]["request"];
  auto read = net::read_request(base64_decode(request.as_string()).value_or(""));
  if (read) return {};
  return {field::invalid(Path("spec.request"), request, read.error().message)};
}

}  // namespace

FieldErrors validate_create(const Served& served, Value object) {
  if (served.custom) return served.custom->validate(object, {});
  if (!is_definition(served)) {
    FieldErrors errors = kybern::validate(*served.resource, object);
    if (errors.empty() && served.plural() == "certificatesigningrequests") errors = check_certificate_request(object);
    return errors;
  }
  FieldErrors errors = validate_object_meta(object["metadata"], false, name_is_subdomain);
  field::append(errors, custom::validate_definition(object));
  return errors;
}

FieldErrors validate_update(const Served& served, Value object, Value before, std::string_view subresource,
                            std::vector<std::string>* warnings) {
  if (subresource == "binding") return {};  // it sets what a pod update may not, and was judged by its own rules
  if (served.custom) return served.custom->validate(object, before, warnings);
  if (is_definition(served)) {  // its finalizers need no qualified names
    FieldErrors errors = validate_object_meta_update(object["metadata"], before["metadata"]);
    field::append(errors, validate_object_meta(object["metadata"], false, name_is_subdomain));
    if (subresource.empty()) field::append(errors, custom::validate_definition_update(object, before));
    return errors;
  }
  if (subresource.empty()) return kybern::validate_update(*served.resource, object, before);
  return kybern::validate_subresource_update(*served.resource, subresource, object, before);
}

std::vector<std::string> warnings_of(const Served& served, Value object, Value before) {
  if (served.custom) return finalizer_warnings(object["metadata"], before["metadata"]);
  if (is_definition(served)) return custom::definition_warnings(object, before);
  std::vector<std::string> out = write_warnings(*served.resource, object, before);
  if (served.group().empty() && served.plural() == "secrets" && object["type"].as_string() == "kubernetes.io/tls") {
    auto data = [&](const char* key) { return base64_decode(object["data"][key].as_string()).value_or(""); };
    if (std::string fault = net::tls_pair_fault(data("tls.crt"), data("tls.key")); !fault.empty()) out.push_back(std::move(fault));
  }
  return out;
}

}  // namespace kybern::apiserver
