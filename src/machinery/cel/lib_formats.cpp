// format.named("dns1123Label") and the authorizer.
#include <algorithm>

#include <fmt/format.h>

#include "base/strings.h"
#include "machinery/cel/cel.h"
#include "machinery/cel/civil.h"
#include "machinery/cel/functions.h"
#include "machinery/names.h"

namespace kybern::cel {

namespace {

using Args = std::span<const Val>;
using Check = names::Messages (*)(std::string_view);

template <names::Messages (*check)(std::string_view)>
names::Messages prefix(std::string_view text) {
  return check(names::without_trailing_dash(text));
}

names::Messages uuid(std::string_view text) {
  bool good = text.size() == 36;
  for (std::size_t i = 0; good && i < text.size(); ++i)
    good = i == 8 || i == 13 || i == 18 || i == 23 ? text[i] == '-' : std::isxdigit(static_cast<unsigned char>(text[i])) != 0;
  return good ? names::Messages{} : names::Messages{"does not match the UUID format"};
}
names::Messages bytes(std::string_view text) {
  if (base64_decode(text) && text.size() % 4 == 0) return {};
  return {"invalid base64"};
}
names::Messages date(std::string_view text) {
  return text.size() == 10 && parse_instant(text) ? names::Messages{} : names::Messages{"invalid date"};
}
names::Messages date_time(std::string_view text) {
  return text.size() > 10 && parse_instant(text) ? names::Messages{} : names::Messages{"invalid datetime"};
}
names::Messages uri(std::string_view text) {
  bool good = !text.empty() && (text[0] == '/' || text.find(':') != text.npos) && text.find(' ') == text.npos;
  return good ? names::Messages{} : names::Messages{fmt::format("parse {}: invalid URI for request", go_quote(text))};
}

struct Row {
  std::string_view function, name;
  Check check;
};
constexpr Row named[] = {
    {"format.dns1123Label", "dns1123Label", names::dns1123_label},
    {"format.dns1123Subdomain", "dns1123Subdomain", names::dns1123_subdomain},
    {"format.dns1035Label", "dns1035Label", names::dns1035_label},
    {"format.qualifiedName", "qualifiedName", names::qualified_name},
    {"format.dns1123LabelPrefix", "dns1123LabelPrefix", prefix<names::dns1123_label>},
    {"format.dns1123SubdomainPrefix", "dns1123SubdomainPrefix", prefix<names::dns1123_subdomain>},
    {"format.dns1035LabelPrefix", "dns1035LabelPrefix", prefix<names::dns1035_label>},
    {"format.labelValue", "labelValue", names::label_value},
    {"format.uri", "uri", uri},
    {"format.uuid", "uuid", uuid},
    {"format.byte", "byte", bytes},
    {"format.date", "date", date},
    {"format.datetime", "datetime", date_time},
};

struct NamedFormat : Opaque {
  explicit NamedFormat(const Row* r) : row(r) {}
  const Row* row;
  std::string_view type_name() const override { return "kubernetes.NamedFormat"; }
  bool equals(const Opaque& other) const override {
    const auto* format = dynamic_cast<const NamedFormat*>(&other);
    return format && format->row == row;
  }
};

Val find_format(Evaluation& e, Args a) {
  const Row* row = std::ranges::find(named, a[0].str(), &Row::name);
  return row == std::end(named) ? e.none() : e.some(e.make<NamedFormat>(row));
}
template <std::size_t i>
Val get_format(Evaluation& e, Args) {
  return e.make<NamedFormat>(&named[i]);
}

Val validate(Evaluation& e, Args a) {
  std::string_view text = a[1].str();
  names::Messages found = static_cast<const NamedFormat&>(*a[0].opaque).row->check(text);
  if (found.empty()) return e.none();
  BuiltList* out = e.new_list(found.size());
  for (const std::string& message : found) e.push(*out, e.string(message));
  return e.some(e.list(out));
}

#define KYBERN_CEL_FORMAT(i) \
  { named[i].function, named[i].function, "() kubernetes.NamedFormat", get_format<i> }
constexpr FunctionRow format_table[] = {
    {"format.named", "format-named", "(string) optional<kubernetes.NamedFormat>", find_format},
    {"validate", "format-validate", "kubernetes.NamedFormat.(string) optional<list<string>>", validate},
    KYBERN_CEL_FORMAT(0),
    KYBERN_CEL_FORMAT(1),
    KYBERN_CEL_FORMAT(2),
    KYBERN_CEL_FORMAT(3),
    KYBERN_CEL_FORMAT(4),
    KYBERN_CEL_FORMAT(5),
    KYBERN_CEL_FORMAT(6),
    KYBERN_CEL_FORMAT(7),
    KYBERN_CEL_FORMAT(8),
    KYBERN_CEL_FORMAT(9),
    KYBERN_CEL_FORMAT(10),
    KYBERN_CEL_FORMAT(11),
    KYBERN_CEL_FORMAT(12),
};
#undef KYBERN_CEL_FORMAT

// --- authorizer: a question is built step by step, and asked by check(verb) ---

struct Question : Opaque {
  Question(std::string_view kind, Authorizer& asked, AuthorizationQuestion what)
      : type(kind), authorizer(asked), question(std::move(what)) {}
  std::string_view type;
  Authorizer& authorizer;
  AuthorizationQuestion question;
  std::string_view type_name() const override { return type; }
  bool equals(const Opaque& other) const override { return &other == this; }
};
struct Decision : Opaque {
  explicit Decision(AuthorizationAnswer a) : answer(std::move(a)) {}
  AuthorizationAnswer answer;
  std::string_view type_name() const override { return "kubernetes.authorization.Decision"; }
  bool equals(const Opaque& other) const override { return &other == this; }
};
constexpr std::string_view authorizer_name = "kubernetes.authorization.Authorizer", path_name = "kubernetes.authorization.PathCheck",
                           group_name = "kubernetes.authorization.GroupCheck", resource_name = "kubernetes.authorization.ResourceCheck";

const Question& question(const Val& v) { return static_cast<const Question&>(*v.opaque); }
const AuthorizationAnswer& answer(const Val& v) { return static_cast<const Decision&>(*v.opaque).answer; }

Val next(Evaluation& e, const Val& from, std::string_view type, std::string AuthorizationQuestion::*member, std::string_view value) {
  AuthorizationQuestion changed = question(from).question;
  changed.*member = value;
  return e.make<Question>(type, question(from).authorizer, std::move(changed));
}
Val path(Evaluation& e, Args a) {
  if (a[1].str().empty()) return e.error("path must not be empty");
  return next(e, a[0], path_name, &AuthorizationQuestion::path, a[1].str());
}
Val group(Evaluation& e, Args a) { return next(e, a[0], group_name, &AuthorizationQuestion::group, a[1].str()); }
Val resource(Evaluation& e, Args a) {
  if (a[1].str().empty()) return e.error("resource must not be empty");
  return next(e, a[0], resource_name, &AuthorizationQuestion::resource, a[1].str());
}
Val subresource(Evaluation& e, Args a) { return next(e, a[0], resource_name, &AuthorizationQuestion::subresource, a[1].str()); }
Val in_namespace(Evaluation& e, Args a) { return next(e, a[0], resource_name, &AuthorizationQuestion::ns, a[1].str()); }
Val with_name(Evaluation& e, Args a) { return next(e, a[0], resource_name, &AuthorizationQuestion::name, a[1].str()); }
Val field_selector(Evaluation& e, Args a) { return next(e, a[0], resource_name, &AuthorizationQuestion::field_selector, a[1].str()); }
Val label_selector(Evaluation& e, Args a) { return next(e, a[0], resource_name, &AuthorizationQuestion::label_selector, a[1].str()); }
Val service_account(Evaluation& e, Args a) {
  if (!names::dns1123_label(a[1].str()).empty()) return e.error("Invalid service account namespace");
  if (!names::dns1123_subdomain(a[2].str()).empty()) return e.error("Invalid service account name");
  Val half = next(e, a[0], authorizer_name, &AuthorizationQuestion::service_account_namespace, a[1].str());
  return next(e, half, authorizer_name, &AuthorizationQuestion::service_account_name, a[2].str());
}
Val ask(Evaluation& e, Args a) {
  AuthorizationQuestion asked = question(a[0]).question;
  asked.verb = a[1].str();
  return e.make<Decision>(question(a[0]).authorizer.authorize(asked));
}
Val allowed(Evaluation&, Args a) { return Val::of(answer(a[0]).allowed); }
Val reason(Evaluation&, Args a) { return Val::of(std::string_view(answer(a[0]).reason)); }
Val errored(Evaluation&, Args a) { return Val::of(!answer(a[0]).error.empty()); }
Val error(Evaluation&, Args a) { return Val::of(std::string_view(answer(a[0]).error)); }

#define KYBERN_CEL_AUTHZ "kubernetes.authorization."
constexpr FunctionRow authorizer_table[] = {
    {"path", "authorizer_path", KYBERN_CEL_AUTHZ "Authorizer.(string) " KYBERN_CEL_AUTHZ "PathCheck", path},
    {"group", "authorizer_group", KYBERN_CEL_AUTHZ "Authorizer.(string) " KYBERN_CEL_AUTHZ "GroupCheck", group},
    {"serviceAccount", "authorizer_serviceaccount", KYBERN_CEL_AUTHZ "Authorizer.(string, string) " KYBERN_CEL_AUTHZ "Authorizer",
     service_account},
    {"resource", "groupcheck_resource", KYBERN_CEL_AUTHZ "GroupCheck.(string) " KYBERN_CEL_AUTHZ "ResourceCheck", resource},
    {"subresource", "resourcecheck_subresource", KYBERN_CEL_AUTHZ "ResourceCheck.(string) " KYBERN_CEL_AUTHZ "ResourceCheck", subresource},
    {"namespace", "resourcecheck_namespace", KYBERN_CEL_AUTHZ "ResourceCheck.(string) " KYBERN_CEL_AUTHZ "ResourceCheck", in_namespace},
    {"name", "resourcecheck_name", KYBERN_CEL_AUTHZ "ResourceCheck.(string) " KYBERN_CEL_AUTHZ "ResourceCheck", with_name},
    {"fieldSelector", "authorizer_fieldselector", KYBERN_CEL_AUTHZ "ResourceCheck.(string) " KYBERN_CEL_AUTHZ "ResourceCheck",
     field_selector},
    {"labelSelector", "authorizer_labelselector", KYBERN_CEL_AUTHZ "ResourceCheck.(string) " KYBERN_CEL_AUTHZ "ResourceCheck",
     label_selector},
    {"check", "pathcheck_check", KYBERN_CEL_AUTHZ "PathCheck.(string) " KYBERN_CEL_AUTHZ "Decision", ask},
    {"check", "resourcecheck_check", KYBERN_CEL_AUTHZ "ResourceCheck.(string) " KYBERN_CEL_AUTHZ "Decision", ask},
    {"allowed", "decision_allowed", KYBERN_CEL_AUTHZ "Decision.() bool", allowed},
    {"reason", "decision_reason", KYBERN_CEL_AUTHZ "Decision.() string", reason},
    {"errored", "decision_errored", KYBERN_CEL_AUTHZ "Decision.() bool", errored},
    {"error", "decision_error", KYBERN_CEL_AUTHZ "Decision.() string", error},
};
#undef KYBERN_CEL_AUTHZ

}  // namespace

std::span<const FunctionRow> format_rows() { return format_table; }
std::span<const FunctionRow> authorizer_rows() { return authorizer_table; }

const Type* authorizer_type() { return named_type(authorizer_name); }
const Type* resource_check_type() { return named_type(resource_name); }
std::unique_ptr<Opaque> authorizer_value(Authorizer& authorizer) {
  return std::make_unique<Question>(authorizer_name, authorizer, AuthorizationQuestion{});
}
std::unique_ptr<Opaque> resource_check_value(Authorizer& authorizer, const AuthorizationQuestion& resource) {
  return std::make_unique<Question>(resource_name, authorizer, resource);
}

}  // namespace kybern::cel
