#include "apiserver/registry/registry.h"

#include <fmt/format.h>

#include "apiserver/admission/webhooks.h"
#include "apiserver/custom/custom.h"
#include "apiserver/custom/resources.h"
#include "apiserver/registry/decode.h"
#include "apiserver/registry/rules.h"
#include "apiserver/registry/services.h"
#include "base/strings.h"
#include "machinery/metadata.h"
#include "schema/convert.h"

namespace kybern::apiserver {

Registry::Registry(store::Store& store, World world, RegistryOptions options) : store_(store), world_(world), may_wait_(options.may_wait) {
  services_ = std::make_unique<ServiceAllocator>(*this, options);
  customs_ = std::make_unique<CustomResources>(*this, catalog_);
  hook_clients_ = std::make_unique<HookClients>(*this);
  waiting_room_ = std::make_unique<WaitingRoom>();
  webhooks_ = std::make_unique<admission::Webhooks>(*this, *hook_clients_, *waiting_room_);
}
// First what still runs by itself: it uses the rest.
Registry::~Registry() {
  customs_->stop();
  waiting_room_.reset();
}

ApiResult<Document> check_kind(std::string_view api_version, std::string_view kind, Document body) {
  Value root = body.root();
  if (!root.is_object()) {
    static constexpr std::string_view names[] = {"null", "bool", "number", "number", "string", "array", "object"};
    return fail(
        bad_request(fmt::format("couldn't get version/kind; json parse error: json: cannot unmarshal {} into Go value of type struct {{ "
                                "APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; Kind string \"json:\\\"kind,omitempty\\\"\" }}",
                                names[static_cast<int>(root.kind())])));
  }
  std::string_view given_version = root["apiVersion"].as_string(), given_kind = root["kind"].as_string();
  if (given_version == api_version && given_kind == kind) return body;
  std::string whole_version(given_version.empty() ? api_version : given_version), whole_kind(given_kind.empty() ? kind : given_kind);
  if (whole_version != api_version || whole_kind != kind) {
    if (!schema::find_type(whole_version, whole_kind)) {
      auto slash = whole_version.find('/');
      std::string_view version =
          slash == std::string::npos ? std::string_view(whole_version) : std::string_view(whole_version).substr(slash + 1);
      return fail(
          bad_request(fmt::format("{} in version {} cannot be handled as a {}: no kind {} is registered for version {} in scheme "
                                  "\"pkg/api/legacyscheme/scheme.go:30\"",
                                  whole_kind, go_quote(version), kind, go_quote(whole_kind), go_quote(whole_version))));
    }
    return fail(bad_request(
        fmt::format("the API version in the data ({}) does not match the expected API version ({})", whole_version, api_version)));
  }
  Draft draft = Draft::object();
  draft["kind"] = kind;
  draft["apiVersion"] = api_version;
  for (Member m : root.members())
    if (m.key != "kind" && m.key != "apiVersion") draft[m.key] = m.value;
  return draft.freeze();
}

ApiResult<Document> Registry::typed(Work& work, const Served& served, Document body) {
  Value given_managers = body["metadata"]["managedFields"];
  work.forget_managers = given_managers.is_array() && given_managers.empty();
  if (served.custom) return custom_typed(work, served, std::move(body));
  auto checked = check_kind(served.api_version, served.kind(), std::move(body));
  if (!checked) return checked;
  schema::DecodeReport report;
  auto decoded = schema::to_typed(*served.resource->type, checked->root(), &report);
  auto unfit = [&](std::string_view why) {
    return fail(bad_request(fmt::format("{} in version {} cannot be handled as a {}: {}", served.kind(), go_quote(served.resource->version),
                                        served.kind(), why)));
  };
  if (!decoded) return unfit(decoded.error().message);
  if (work.field_validation != FieldValidation::ignore) {
    report.duplicate_fields = std::exchange(work.duplicates, {});
    if (work.field_validation == FieldValidation::strict && !(report.unknown_fields.empty() && report.duplicate_fields.empty()))
      return unfit("strict decoding error: " + report.text());
    for (std::string& finding : report.unknown_fields) work.warnings.push_back(std::move(finding));
    for (const std::string& path : report.duplicate_fields) work.warnings.push_back(fmt::format("duplicate field {}", go_quote(path)));
  }
  Draft draft(*decoded);
  apply_defaults(served, draft);
  return draft.freeze();
}

ApiResult<void> read_write_options(Work& work, std::string_view options_kind) {
  FieldErrors errors;
  auto dry = work.query.all("dryRun");
  for (const std::string& value : dry) {
    if (value == "All") {
      work.dry_run = true;
    } else if (!value.empty()) {
      std::vector<std::string> quoted;
      for (const std::string& v : dry) quoted.push_back(go_quote(v));
      errors.push_back(
          {FieldError::Type::not_supported, "dryRun", fmt::format("[]string{{{}}}", join(quoted, ", ")), "supported values: \"All\""});
      break;
    }
  }
  std::string validation = work.query.get("fieldValidation");
  if (validation == "Ignore") work.field_validation = FieldValidation::ignore;
  else if (validation == "Strict") work.field_validation = FieldValidation::strict;
  else if (validation.empty() || validation == "Warn") work.field_validation = FieldValidation::warn;
  else
    errors.push_back(
        {FieldError::Type::not_supported, "fieldValidation", go_quote(validation), "supported values: \"Ignore\", \"Strict\", \"Warn\""});
  work.field_manager = work.query.get("fieldManager");
  for (FieldError& error : validate_field_manager(work.field_manager, Path("fieldManager"))) errors.push_back(std::move(error));
  if (!errors.empty()) return fail(invalid("meta.k8s.io", options_kind, "", errors));
  return {};
}

}  // namespace kybern::apiserver
