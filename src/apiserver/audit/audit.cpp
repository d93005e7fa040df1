#include "apiserver/audit/audit.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "apiserver/authn/user_info.h"
#include "base/strings.h"
#include "document/json.h"
#include "net/http.h"

namespace kybern::apiserver::audit {
namespace {

constexpr std::size_t user_agent_max = 1024;

// The addresses that a request says it went through, then the peer's own.
Draft source_addresses(const net::Request& request) {
  std::vector<std::string> out;
  auto add = [&](std::string_view text) {
    text = trim(text);
    if (!text.empty() && std::find(out.begin(), out.end(), text) == out.end()) out.emplace_back(text);
  };
  for (std::string_view one : split(request.headers.get("x-forwarded-for"), ',')) add(one);
  add(request.headers.get("x-real-ip"));
  std::string_view peer = request.remote_address;
  peer = peer.substr(0, peer.rfind(':'));
  if (peer.starts_with('[') && peer.ends_with(']')) peer = peer.substr(1, peer.size() - 2);
  add(peer);
  Draft list = Draft::array();
  for (std::string& one : out) list.push_back(std::move(one));
  return list;
}

Draft without_managers(Value object) {
  Draft out(object);
  auto strip = [](Draft& of) {
    if (Draft* metadata = of.find("metadata"); metadata && metadata->is_object()) metadata->erase("managedFields");
  };
  if (!out.is_object()) return out;
  strip(out);
  if (Draft* items = out.find("items"); items && items->is_array())
    for (Draft& item : items->items())
      if (item.is_object()) strip(item);
  return out;
}

}  // namespace

Result<std::shared_ptr<Auditor>> Auditor::make(const SinkOptions& options, World world) {
  if (options.policy_file.empty()) return std::shared_ptr<Auditor>();
  std::ifstream in(options.policy_file);
  std::stringstream text;
  text << in.rdbuf();
  if (!in) return fail(Code::invalid, fmt::format("loading audit policy file: {}: cannot be read", options.policy_file));
  auto policy = Policy::parse(text.str());
  if (!policy) return fail(Code::invalid, fmt::format("loading audit policy file: {}: {}", options.policy_file, policy.error().message));
  auto sink = make_sink(options, world);
  if (!sink) return std::unexpected(sink.error());
  if (!*sink) return std::shared_ptr<Auditor>();
  return std::shared_ptr<Auditor>(new Auditor(std::move(*policy), std::move(*sink), world));
}

std::shared_ptr<Record> Auditor::open(const User& user, const RequestInfo& info, const net::Request& request, std::string_view id) {
  Verdict verdict = policy_.judge(user, info);
  if (verdict.level == Level::none) return nullptr;
  std::shared_ptr<Record> record(new Record(shared_from_this(), verdict));
  record->received_ = format_rfc3339_micro(world_.clock.now());
  Draft& head = record->head_ = Draft::object(
      {{"kind", "Event"}, {"apiVersion", "audit.k8s.io/v1"}, {"level", text_of(verdict.level)}, {"auditID", id}, {"stage", ""}});
  head["requestURI"] = request.query.empty() ? request.path : request.path + "?" + request.query;
  head["verb"] = info.verb;
  head["user"] = user_info(user);
  if (Draft from = source_addresses(request); !from.empty()) head["sourceIPs"] = std::move(from);
  if (std::string_view agent = request.headers.get("user-agent"); !agent.empty())
    head["userAgent"] = agent.size() > user_agent_max ? fmt::format("{}...TRUNCATED", agent.substr(0, user_agent_max)) : std::string(agent);
  if (info.is_resource) {
    Draft& ref = record->object_ref_ = Draft::object();
    const std::pair<std::string_view, const std::string*> parts[] = {{"resource", &info.resource},  {"namespace", &info.ns},
                                                                     {"name", &info.name},          {"apiGroup", &info.group},
                                                                     {"apiVersion", &info.version}, {"subresource", &info.subresource}};
    for (const auto& [field, text] : parts)
      if (!text->empty()) ref[field] = *text;
  }
  return record;
}

std::shared_ptr<Record> Auditor::begin(const User& user, const RequestInfo& info, const net::Request& request, std::string_view id,
                                       bool& ok, const Annotations& notes) {
  auto record = open(user, info, request, id);
  if (record) record->annotate(notes);
  ok = !record || record->emit(Stage::request_received);
  return record;
}

void Auditor::refused(const RequestInfo& info, const net::Request& request, std::string_view id, int code, const Annotations& notes) {
  auto record = open({}, info, request, id);
  if (!record) return;
  record->annotate(notes);
  std::vector<std::string> tried;
  std::string_view authorization = request.headers.get("authorization");
  if (std::string scheme = to_lower(authorization.substr(0, authorization.find(' '))); !scheme.empty()) tried.push_back(scheme);
  if (request.peer || !request.peer_error.empty()) tried.push_back("x509");
  record->silent_ = true;
  record->status_ = Draft::object({{"metadata", Draft::object()},
                                   {"status", "Failure"},
                                   {"message", "Authentication failed, " + (tried.empty() ? std::string("no credentials provided")
                                                                                          : "attempted: " + join(tried, ", "))},
                                   {"code", code}});
  record->emit(Stage::response_started);
}

Record::~Record() {
  if (silent_) return;
  if (status_.is_null()) {
    status_ = Draft::object({{"metadata", Draft::object()}, {"status", "Success"}, {"message", "Connection closed early"}, {"code", 200}});
    if (long_running_) emit(Stage::response_started);
  }
  emit(Stage::response_complete);
}

void Record::impersonated(const User& user, std::string constraint) {
  impersonated_ = user_info(user);
  constraint_ = std::move(constraint);
}
void Record::annotate(std::string_view key, std::string value) { annotations_.emplace(key, std::move(value)); }
void Record::annotate(const std::map<std::string, std::string>& all) { annotations_.insert(all.begin(), all.end()); }

void Record::asked(Value body) {
  if (body.is_object() && object_ref_.is_object()) {
    Value metadata = body["metadata"];
    for (auto [field, from] : {std::pair("namespace", "namespace"), std::pair("name", "name"), std::pair("uid", "uid"),
                               std::pair("resourceVersion", "resourceVersion")})
      if (!object_ref_.find(field) && !metadata[from].as_string().empty()) object_ref_[field] = metadata[from];
  }
  if (keeps_objects() && body.exists()) request_ = verdict_.omit_managed_fields ? without_managers(body).freeze() : Draft(body).freeze();
}

void Record::answered(Value object) {
  if (object["kind"].as_string() == "Status" && object["apiVersion"].as_string() == "v1") {
    status_ = Draft::object({{"metadata", Draft::object()}});
    for (std::string_view field : {"status", "message", "reason", "details", "code"})
      if (object[field].exists()) status_[field] = object[field];
  }
  if (keeps_answers() && object.exists())
    answer_ = verdict_.omit_managed_fields ? without_managers(object).freeze() : Draft(object).freeze();
}

void Record::responded(int code, bool long_running) {
  if (status_.is_null()) status_ = Draft::object({{"metadata", Draft::object()}});
  status_["code"] = code;
  long_running_ = long_running;
  if (long_running_) emit(Stage::response_started);
}

bool Record::emit(Stage stage) {
  if (verdict_.omitted_stages & static_cast<unsigned>(stage)) return true;
  Draft event(head_);
  event["stage"] = text_of(stage);
  if (impersonated_.is_object()) event["impersonatedUser"] = impersonated_;
  if (!constraint_.empty()) event["authenticationMetadata"]["impersonationConstraint"] = constraint_;
  if (object_ref_.is_object()) event["objectRef"] = object_ref_;
  if (status_.is_object()) event["responseStatus"] = status_;
  event["requestReceivedTimestamp"] = received_;
  event["stageTimestamp"] = stage == Stage::request_received ? received_ : format_rfc3339_micro(auditor_->world_.clock.now());
  if (!annotations_.empty()) {
    Draft& annotations = event["annotations"] = Draft::object();
    for (const auto& [key, value] : annotations_) annotations[key] = value;
  }
  Line line;
  if (request_ || answer_) {
    Draft small(event);
    small["annotations"]["audit.k8s.io/truncated"] = "true";
    line.small = to_json(small);
    if (request_) event["requestObject"] = request_;
    if (answer_) event["responseObject"] = answer_;
  }
  line.whole = to_json(event);
  if (line.small.empty()) line.small = line.whole;
  return auditor_->sink_->put(line);
}

}  // namespace kybern::apiserver::audit
