// Certificate signing requests. What is inside a request or certificate is for those who sign; here only its wrapping is read.
#include <fmt/format.h>

#include <algorithm>
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

bool is_usage(std::string_view name) { return std::find(std::begin(usages), std::end(usages), name) != std::end(usages); }

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

// What was let through once and is still stored.
struct Odd {
  explicit Odd(Value old) {
    std::set<std::string_view> types, seen;
    for (Value condition : old["status"]["conditions"].items()) {
      repeated_type |= !types.insert(text(condition, "type")).second;
      empty_type |= text(condition, "type").empty();
    }
    both_decisions = types.contains("Approved") && types.contains("Denied");
    for (Value usage : old["spec"]["usages"].items()) {
      repeated_usage |= !seen.insert(usage.as_string()).second;
      unknown_usage |= !is_usage(usage.as_string());
    }
    legacy_signer = text(old["spec"], "signerName") == legacy_name;
  }
  static constexpr std::string_view legacy_name = "kubernetes.io/legacy-unknown";
  bool repeated_type = false, empty_type = false, both_decisions = false, repeated_usage = false, unknown_usage = false,
       legacy_signer = false;
};

void conditions(Findings& f, Value list, const Odd& odd) {
  const Path path("status.conditions");
  std::set<std::string, std::less<>> seen;
  std::size_t i = 0;
  for (Value condition : list.items()) {
    Path at = path.index(i++);
    std::string_view type = text(condition, "type"), status = text(condition, "status");
    if (type.empty() && !odd.empty_type) f.required(at.child("type"));
    bool final = type == "Approved" || type == "Denied" || type == "Failed";
    if (status.empty()) f.required(at.child("status"));
    else if (final) f.enumerated(at.child("status"), status, {"True"});
    else f.enumerated(at.child("status"), status, {"False", "True", "Unknown"});
    std::string_view other = type == "Approved" ? "Denied" : "Approved";
    if (!odd.both_decisions && (type == "Approved" || type == "Denied") && seen.contains(other))
      f.invalid(path, type, "Approved and Denied conditions are mutually exclusive");
    if (!seen.emplace(type).second && !odd.repeated_type) f.duplicate(at.child("type"), type);
  }
}

void request_spec(Findings& f, Value spec, const Odd& odd) {
  const Path path("spec");
  Path usages_path = path.child("usages"), signer = path.child("signerName");
  request(f, spec["request"]);
  if (spec["usages"].empty()) f.required(usages_path, "usages must be provided");
  std::size_t i = 0;
  for (Value usage : spec["usages"].items()) {
    Path at = usages_path.index(i++);
    if (!odd.unknown_usage && !is_usage(usage.as_string())) f.add(field::not_supported(at, usage.as_string(), usages));
  }
  std::set<std::string, std::less<>> seen;
  i = 0;
  for (Value usage : spec["usages"].items()) {
    Path at = usages_path.index(i++);
    if (!seen.emplace(usage.as_string()).second && !odd.repeated_usage) f.duplicate(at, usage.as_string());
  }
  if (text(spec, "signerName") == Odd::legacy_name && !odd.legacy_signer)
    f.invalid(signer, text(spec, "signerName"), "the legacy signerName is not allowed via this API version");
  else signer_name(f, text(spec, "signerName"), signer);
  Value lifetime = spec["expirationSeconds"];
  if (!lifetime.is_null() && lifetime.as_int() < lifetime_least_s) {
    f.invalid(path.child("expirationSeconds"), lifetime.as_int(), "may not specify a duration less than 600 seconds (10 minutes)");
  }
}

std::string certificate_fault_of(Value encoded) {
  return encoded.as_string().empty() ? "" : certificate_fault(base64_decode(encoded.as_string()).value_or(""));
}

void certificate(Findings& f, Value status) {
  if (std::string fault = certificate_fault_of(status["certificate"]); !fault.empty())
    f.invalid(Path("status.certificate"), "<certificate data>", fault);
}

std::vector<Value> of_type(Value list, std::string_view type) {
  std::vector<Value> out;
  for (Value condition : list.items()) {
    if (text(condition, "type") == type) out.push_back(condition);
  }
  return out;
}

constexpr std::string_view decided[] = {"Approved", "Denied", "Failed"};

void request_rules(Findings& f, Value object, Value old) {
  Odd odd(old);
  object_meta(f, object, false, name_is_anything);
  request_spec(f, object["spec"], odd);
  conditions(f, object["status"]["conditions"], odd);
  Value now = object["status"]["certificate"], before = old["status"]["certificate"];
  bool judged = old.is_null() || (!same(now, before) && certificate_fault_of(before).empty());
  if (judged) certificate(f, object["status"]);
}

// What has been decided is never unsaid; and who may not decide changes nothing of it.
void request_update(Findings& f, Value object, Value old, bool may_decide, bool may_issue) {
  request_rules(f, object, old);
  const Path conditions_path("status.conditions"), certificate_path("status.certificate");
  auto refuse = [&](const char* verb, std::string_view type) {
    f.forbidden(conditions_path, fmt::format("updates may not {} a condition of type {}", verb, go_quote(type)));
  };
  for (std::string_view type : decided) {
    if (of_type(object["status"]["conditions"], type).size() < of_type(old["status"]["conditions"], type).size()) refuse("remove", type);
  }
  for (std::string_view type : {decided[0], decided[1]}) {
    std::vector<Value> now = of_type(object["status"]["conditions"], type), before = of_type(old["status"]["conditions"], type);
    if (may_decide || now.size() < before.size()) continue;
    if (now.size() > before.size()) refuse("add", type);
    else if (!std::equal(now.begin(), now.end(), before.begin(), [](Value a, Value b) { return same(a, b); })) refuse("modify", type);
  }
  Value now = object["status"]["certificate"], before = old["status"]["certificate"];
  if (now.as_string() != before.as_string()) {
    if (!may_issue) f.forbidden(certificate_path, "updates may not set certificate content");
    else if (!before.as_string().empty()) f.forbidden(certificate_path, "updates may not modify existing certificate content");
  }
  object_meta_update(f, object, old);
}

}  // namespace

void certificate_request_create(Findings& f, Value object) { request_rules(f, object, {}); }
void certificate_request_update(Findings& f, Value object, Value old) { request_update(f, object, old, false, false); }
void certificate_approval_update(Findings& f, Value object, Value old) { request_update(f, object, old, true, false); }
void certificate_request_status(Findings& f, Value object, Value old) { request_update(f, object, old, false, true); }

}  // namespace kybern::rules
