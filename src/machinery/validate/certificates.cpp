// Certificate signing requests. What is inside a request or certificate is for those who sign; here only its wrapping is read.
#include <fmt/format.h>

#include <optional>

#include "base/strings.h"
#include "machinery/validate/rules.h"

namespace kybern::rules {
namespace {

constexpr std::size_t signer_domain_max = 253, signer_path_max = 253 + 1 + 63;
constexpr std::int64_t lifetime_least_s = 600;
constexpr std::string_view usages[] = {
    "any",           "cert sign",         "client auth",      "code signing",  "content commitment", "crl sign",     "data encipherment",
    "decipher only", "digital signature", "email protection", "encipher only", "ipsec end system",   "ipsec tunnel", "ipsec user",
    "key agreement", "key encipherment",  "microsoft sgc",    "netscape sgc",  "ocsp signing",       "s/mime",       "server auth",
    "signing",       "timestamping"};

struct PemBlock {
  std::string_view type, body;
};

// The next block of a PEM text, which is taken off it.
std::optional<PemBlock> take_block(std::string_view& pem) {
  constexpr std::string_view begin = "-----BEGIN ", end = "-----END ", dashes = "-----";
  std::size_t start = pem.find(begin);
  if (start == std::string_view::npos) return std::nullopt;
  std::string_view rest = pem.substr(start + begin.size());
  std::size_t type_end = rest.find(dashes);
  if (type_end == std::string_view::npos) return std::nullopt;
  PemBlock block{rest.substr(0, type_end), {}};
  rest = rest.substr(type_end + dashes.size());
  std::string closing = std::string(end) + std::string(block.type) + std::string(dashes);
  std::size_t stop = rest.find(closing);
  if (stop == std::string_view::npos) return std::nullopt;
  block.body = rest.substr(0, stop);
  pem = rest.substr(stop + closing.size());
  return block;
}

std::string certificate_fault(std::string_view pem) {
  std::size_t found = 0;
  while (auto block = take_block(pem)) {
    if (block->type != "CERTIFICATE") return fmt::format("only CERTIFICATE PEM blocks are allowed, found {}", go_quote(block->type));
    if (block->body.find(':') != std::string_view::npos) return "no PEM block headers are permitted";
    ++found;
  }
  return found == 0 ? "must contain at least one CERTIFICATE PEM block" : "";
}

void request(Findings& f, Value encoded) {
  std::string pem = base64_decode(encoded.as_string()).value_or("");
  std::string_view rest = pem;
  auto block = take_block(rest);
  if (block && block->type == "CERTIFICATE REQUEST") return;
  f.invalid(Path("spec.request"), encoded, "PEM block type must be CERTIFICATE REQUEST");
}

void labels_of(Findings& f, std::string_view segment, const Path& path) {
  for (std::string_view label : split(segment, '.')) {
    for (const std::string& message : names::dns1123_label(label))
      f.invalid(path, segment, fmt::format("validating label {}: {}", go_quote(label), message));
  }
}

void signer_name(Findings& f, std::string_view name, const Path& path) {
  if (name.empty()) return f.required(path, "signerName must be provided");
  std::vector<std::string_view> segments = split(name, '/');
  if (segments.size() != 2) return f.invalid(path, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'");
  if (segments[0].size() > signer_domain_max) f.too_long(path, signer_domain_max);
  labels_of(f, segments[0], path);
  if (segments[0].find('.') == std::string_view::npos)
    f.invalid(path, segments[0], "should be a domain with at least two segments separated by dots");
  if (segments[1].size() > signer_path_max) f.too_long(path, signer_path_max);
  labels_of(f, segments[1], path);
}

void conditions(Findings& f, Value list) {
  const Path path("status.conditions");
  std::set<std::string, std::less<>> seen;
  bool approved = false, denied = false;
  std::size_t i = 0;
  for (Value condition : list.items()) {
    Path at = path.index(i++);
    std::string_view type = text(condition, "type"), status = text(condition, "status");
    if (type.empty()) f.required(at.child("type"));
    bool final = type == "Approved" || type == "Denied" || type == "Failed";
    if (status.empty()) f.required(at.child("status"));
    else if (final) f.enumerated(at.child("status"), status, {"True"});
    else f.enumerated(at.child("status"), status, {"True", "False", "Unknown"});
    approved |= type == "Approved";
    denied |= type == "Denied";
    if (approved && denied && (type == "Approved" || type == "Denied"))
      f.invalid(at.child("type"), type, "Approved and Denied conditions are mutually exclusive");
    if (!seen.emplace(type).second) f.duplicate(at.child("type"), type);
  }
}

void request_spec(Findings& f, Value spec) {
  const Path path("spec");
  Path usages_path = path.child("usages"), signer = path.child("signerName");
  request(f, spec["request"]);
  if (spec["usages"].empty()) f.required(usages_path, "usages must be provided");
  std::set<std::string, std::less<>> seen;
  std::size_t i = 0;
  for (Value usage : spec["usages"].items()) {
    Path at = usages_path.index(i++);
    bool known = false;
    for (std::string_view one : usages) known |= one == usage.as_string();
    if (!known) f.add(field::not_supported(at, usage.as_string(), usages));
    if (!seen.emplace(usage.as_string()).second) f.duplicate(at, usage.as_string());
  }
  if (text(spec, "signerName") == "kubernetes.io/legacy-unknown")
    f.invalid(signer, text(spec, "signerName"), "the legacy signerName is not allowed via this API version");
  else signer_name(f, text(spec, "signerName"), signer);
  Value lifetime = spec["expirationSeconds"];
  if (!lifetime.is_null() && lifetime.as_int() < lifetime_least_s) {
    f.invalid(path.child("expirationSeconds"), lifetime.as_int(), "may not specify a duration less than 600 seconds (10 minutes)");
  }
}

void certificate(Findings& f, Value status) {
  std::string_view encoded = text(status, "certificate");
  if (encoded.empty()) return;
  std::string fault = certificate_fault(base64_decode(encoded).value_or(""));
  if (!fault.empty()) f.invalid(Path("status.certificate"), "<certificate data>", fault);
}

std::vector<Value> of_type(Value list, std::string_view type) {
  std::vector<Value> out;
  for (Value condition : list.items()) {
    if (text(condition, "type") == type) out.push_back(condition);
  }
  return out;
}

// What a request may be approved, denied or given up with, may only be said where `may_add` allows, and never unsaid.
void decisions(Findings& f, Value object, Value old, std::initializer_list<std::string_view> may_add) {
  const Path path("status.conditions");
  for (std::string_view type : {"Approved", "Denied", "Failed"}) {
    std::vector<Value> now = of_type(object["status"]["conditions"], type), before = of_type(old["status"]["conditions"], type);
    bool addable = false;
    for (std::string_view one : may_add) addable |= one == type;
    auto refuse = [&](const char* verb) {
      f.forbidden(path, fmt::format("updates may not {} a condition of type {}", verb, go_quote(type)));
    };
    if (now.size() < before.size()) refuse("remove");
    else if (addable) continue;
    else if (now.size() > before.size()) refuse("add");
    else if (!std::equal(now.begin(), now.end(), before.begin(), [](Value a, Value b) { return same(a, b); })) refuse("modify");
  }
}

void request_update(Findings& f, Value object, Value old, std::initializer_list<std::string_view> may_add) {
  conditions(f, object["status"]["conditions"]);
  if (!same(object["status"]["certificate"], old["status"]["certificate"])) certificate(f, object["status"]);
  object_meta_update(f, object, old);
  decisions(f, object, old, may_add);
}

}  // namespace

void certificate_request_create(Findings& f, Value object) {
  object_meta(f, object, false, name_is_anything);
  request_spec(f, object["spec"]);
  conditions(f, object["status"]["conditions"]);
  certificate(f, object["status"]);
}

void certificate_request_update(Findings& f, Value object, Value old) { request_update(f, object, old, {"Approved", "Denied"}); }

void certificate_approval_update(Findings& f, Value object, Value old) { request_update(f, object, old, {"Approved", "Denied"}); }

void certificate_request_status(Findings& f, Value object, Value old) {
  request_update(f, object, old, {"Failed"});
  Value before = old["status"]["certificate"];
  if (!before.as_string().empty() && !same(before, object["status"]["certificate"]))
    f.forbidden(Path("status.certificate"), "updates may not modify the certificate once it has been issued");
}

}  // namespace kybern::rules
