#include "apiserver/custom/converter.h"

#include <fmt/format.h>

#include <functional>

#include "apiserver/hooks/hook_client.h"
#include "apiserver/hooks/waiting_room.h"
#include "base/strings.h"
#include "machinery/labels.h"
#include "machinery/metadata.h"

namespace kybern::apiserver {
namespace {

constexpr std::chrono::seconds call_limit(30);
constexpr std::string_view user_agent = "kube-apiserver-admission";

Status failure(std::string message) {
  Status status;
  status.code = 500;
  status.message = std::move(message);
  return status;
}

// "" when the converted object is still the same one.
std::string check_identity(Value in, Value out) {
  if (in["kind"].as_string() != out["kind"].as_string())
    return fmt::format("must have the same kind: {} != {}", in["kind"].as_string(), out["kind"].as_string());
  for (auto [field, shown] : {std::pair("name", "name"), std::pair("namespace", "namespace"), std::pair("uid", "UID")}) {
    std::string_view expected = in["metadata"][field].as_string(), got = out["metadata"][field].as_string();
    if (expected != got) return fmt::format("must have the same {}: {} != {}", shown, expected, got);
  }
  return "";
}

std::string_view go_type(Value v) {
  static constexpr std::string_view names[] = {"<nil>", "bool", "int64", "float64", "string", "[]interface {}", "map[string]interface {}"};
  return names[static_cast<int>(v.kind())];
}

// The converted object with the metadata that it had, but for labels and annotations. An error's text otherwise.
std::expected<Document, std::string> with_metadata(Value in, Value out) {
  Value given = out["metadata"];
  if (!given.exists()) return std::unexpected("missing metadata in converted object");
  if (!given.is_object()) return std::unexpected(fmt::format("invalid metadata of type {} in converted object", go_type(given)));
  Draft whole(out);
  Draft metadata(in["metadata"]);
  for (std::string_view field : {"labels", "annotations"}) {
    Value changed = given[field];
    if (!changed.exists() || changed.is_null()) {
      metadata.erase(field);
      continue;
    }
    if (!changed.is_object())
      return std::unexpected(fmt::format("invalid metadata.{} of type {} in converted object", field, go_type(changed)));
    for (Member m : changed.members())
      if (!m.value.is_string())
        return std::unexpected(
            fmt::format("metadata.{}[{}] must be a string, but is {} in converted object", field, m.key, go_type(m.value)));
    if (field == "labels" && !(changed == in["metadata"]["labels"])) {
      const Path metadata_path("metadata"), path = metadata_path.child("labels");
      FieldErrors errors = validate_labels(changed, path);
      if (!errors.empty()) return std::unexpected(errors[0].field + ": " + errors[0].message());
    }
    metadata[field] = changed;
  }
  whole["metadata"] = std::move(metadata);
  return whole.freeze();
}

std::string kind_of(Value object, bool list) {
  return fmt::format("{}, Kind={}{}", object["apiVersion"].as_string(), object["kind"].as_string(), list ? "List" : "");
}

}  // namespace

Converter::Converter(Document definition, HookClients& clients, World world)
    : definition_(std::move(definition)), clients_(clients), world_(world), gate_(std::make_unique<Gate>()) {}
Converter::~Converter() = default;

std::size_t Converter::place(Value object, std::string_view to) {
  Value metadata = object["metadata"];
  std::hash<std::string_view> hash;
  return (hash(metadata["uid"].as_string()) * 31 + hash(metadata["resourceVersion"].as_string()) * 7 + hash(to)) % remembered;
}

// By the very block: what is stored never changes.
Document Converter::recall(Value object, std::string_view to) const {
  Document held = object.document();
  std::lock_guard lock(mutex_);
  if (slots_.empty()) return {};
  const Slot& s = slots_[place(object, to)];
  return s.made && s.to == to && s.from.same_block(held) ? s.made : Document();
}

void Converter::remember(Value object, std::string_view to, const Document& made) const {
  auto bytes_of = [](const Slot& s) { return s.made ? s.from.memory() + s.made.memory() : 0; };
  Slot fresh{object.document(), made, std::string(to)};
  const std::size_t bytes = bytes_of(fresh);
  if (bytes > remembered_max_bytes) return;
  std::vector<Slot> old;  // goes without the lock
  std::lock_guard lock(mutex_);
  if (bytes_ + bytes > remembered_max_bytes) std::swap(slots_, old), bytes_ = 0;
  if (slots_.empty()) slots_.resize(remembered);
  std::swap(slots_[place(object, to)], fresh);
  bytes_ = bytes_ + bytes - bytes_of(fresh);
}

ApiResult<std::vector<Document>> Converter::convert(std::span<const Value> objects, std::string_view to, bool list) const {
  std::vector<Document> out(objects.size());
  std::vector<std::size_t> open;
  for (std::size_t i = 0; i < objects.size(); ++i) {
    out[i] = objects[i]["apiVersion"].as_string() == to ? objects[i].document() : recall(objects[i], to);
    if (!out[i]) open.push_back(i);
  }
  for (std::size_t from = 0; from < open.size(); from += max_objects) {
    std::vector<Value> some;
    for (std::size_t i = from; i < open.size() && i < from + max_objects; ++i) some.push_back(objects[open[i]]);
    auto made = ask(some, to, list);
    if (!made) return fail(std::move(made.error()));
    for (std::size_t i = 0; i < some.size(); ++i) {
      // What is about to be stored has no version yet; it is stamped in place, so nobody else may hold it.
      if (some[i]["metadata"]["resourceVersion"].as_string() != Document::stamp_blank()) remember(some[i], to, (*made)[i]);
      out[open[from + i]] = std::move((*made)[i]);
    }
  }
  return out;
}

ApiResult<std::vector<Document>> Converter::ask(std::span<const Value> objects, std::string_view to, bool list) const {
  Value webhook = definition_["spec"]["conversion"]["webhook"];
  std::string version;
  for (Value v : webhook["conversionReviewVersions"].items())
    if (version.empty() && (v.as_string() == "v1" || v.as_string() == "v1beta1")) version = v.str();
  if (version.empty()) return fail(failure("no supported conversion review versions"));
  std::string what = "conversion webhook for " + kind_of(objects[0], list);
  auto failed = [&](std::string_view why) { return fail(failure(fmt::format("{} failed: {}", what, why))); };
  std::string uid = new_uuid(world_.random), review_version = "apiextensions.k8s.io/" + version;
  Draft review = Draft::object({{"kind", "ConversionReview"}, {"apiVersion", review_version}});
  review["request"] = Draft::object({{"uid", uid}, {"desiredAPIVersion", to}, {"objects", Draft::array()}});
  for (Value object : objects) {
    Draft sent(object);
    if (const Draft* stamp = sent.find_path({"metadata", "resourceVersion"}); stamp && stamp->as_string() == Document::stamp_blank())
      sent["metadata"].erase("resourceVersion");
    review["request"]["objects"].push_back(std::move(sent));
  }
  Instant deadline = std::chrono::time_point_cast<Duration>(std::chrono::steady_clock::now()) + call_limit;
  Gate::Place place = gate_->enter(deadline);
  if (!place) return fail(too_many_requests(what + ": too many requests wait for it, please try again later", 1));
  auto answer = clients_.post(webhook["clientConfig"], review.freeze().root(),
                              std::chrono::duration_cast<std::chrono::milliseconds>(call_limit), user_agent);
  place.reset();
  if (!answer) return failed(answer.error().message);
  Value root = answer->root(), response = root["response"];
  if (version == "v1") {
    std::string_view given = root["apiVersion"].as_string(), kind = root["kind"].as_string();
    if (given != review_version || kind != "ConversionReview")
      return failed(fmt::format("expected webhook response of {}, Kind=ConversionReview, got {}{}, Kind={}", review_version,
                                given.find('/') == std::string_view::npos ? "/" : "", given, kind));
  }
  if (!response.is_object()) return failed("no response provided");
  if (version == "v1" && response["uid"].as_string() != uid)
    return failed(fmt::format("expected response.uid={}, got {}", go_quote(uid), go_quote(response["uid"].as_string())));
  if (std::string_view status = response["result"]["status"].as_string(); status != "Success") {
    if (std::string_view message = response["result"]["message"].as_string(); !message.empty()) return failed(message);
    return failed(fmt::format("response.result.status was '{}', not 'Success'", status));
  }
  Value converted = response["convertedObjects"];
  if (converted.size() != objects.size())
    return fail(failure(fmt::format("{} returned {} objects, expected {}", what, converted.size(), objects.size())));
  std::vector<Document> out;
  for (std::size_t i = 0; i < objects.size(); ++i) {
    Value in = objects[i], made = converted[i];
    std::string_view invalid = list ? "returned invalid converted object at index" : "returned invalid object at index";
    if (std::string_view got = made["apiVersion"].as_string(); got != to)
      return fail(failure(fmt::format("{} {} {}: invalid groupVersion (expected {}, received {})", what, invalid, i, to, got)));
    if (in["kind"].as_string() != made["kind"].as_string())
      return fail(failure(fmt::format("{} {} {}: invalid kind (expected {}, received {})", what, invalid, i, in["kind"].as_string(),
                                      made["kind"].as_string())));
    if (std::string why = check_identity(in, made); !why.empty())
      return fail(
          failure(list ? fmt::format("{} {} {}: {}", what, invalid, i, why) : fmt::format("{} returned invalid object: {}", what, why)));
    auto whole = with_metadata(in, made);
    if (!whole)
      return fail(failure(list ? fmt::format("{} returned invalid metadata in object at index {}: {}", what, i, whole.error())
                               : fmt::format("{} returned invalid metadata: {}", what, whole.error())));
    out.push_back(std::move(*whole));
  }
  return out;
}

Document failed_conversion(const Status& status) { return status.document(); }

std::optional<Status> conversion_failure(Value object) {
  if (object["apiVersion"].as_string() != "v1" || object["kind"].as_string() != "Status") return std::nullopt;
  return Status::read(object);
}

}  // namespace kybern::apiserver
