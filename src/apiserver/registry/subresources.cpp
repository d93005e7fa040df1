// Subresources that exchange objects: binding, eviction, token, approval, finalize, ephemeral containers, resize.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "apiserver/admission/admission.h"
#include "apiserver/admission/plugins.h"
#include "apiserver/http/requests.h"
#include "apiserver/registry/decode.h"
#include "apiserver/registry/eviction.h"
#include "apiserver/registry/patches.h"
#include "apiserver/registry/scale.h"
#include "apiserver/tokens.h"
#include "base/strings.h"
#include "schema/convert.h"

namespace kybern::apiserver {

ApiResult<Document> typed_body(std::string_view api_version, std::string_view kind, Document body) {
  auto checked = check_kind(api_version, kind, std::move(body));
  if (!checked) return checked;
  auto decoded = schema::to_typed(*schema::find_type(api_version, kind), checked->root());
  if (!decoded)
    return fail(bad_request(
        fmt::format("{} in version {} cannot be handled as a {}: {}", kind, go_quote(api_version), kind, decoded.error().message)));
  return *decoded;
}

Document success_status(int code) {
  return Draft::object({{"kind", "Status"}, {"apiVersion", "v1"}, {"metadata", Draft::object()}, {"status", "Success"}, {"code", code}})
      .freeze();
}

namespace {

// --- binding

ApiResult<Answer> bind(SubresourceCall& call) {
  Work& work = call.work;
  auto body = typed_body("v1", "Binding", call.body);
  if (!body) return fail(std::move(body.error()));
  Value binding = body->root();
  if (std::string_view name = binding["metadata"]["name"].as_string(); !name.empty() && name != work.name)
    return fail(bad_request("name in URL does not match name in Binding object"));
  FieldErrors errors;
  std::string_view kind = binding["target"]["kind"].as_string(), node = binding["target"]["name"].as_string();
  if (!kind.empty() && kind != "Node")
    errors.push_back({FieldError::Type::not_supported, "target.kind", go_quote(kind), "supported values: \"Node\", \"\""});
  if (node.empty()) errors.push_back({FieldError::Type::required, "target.name", "", ""});
  if (!errors.empty()) {
    // Upstream gives these findings as a plain error, not as an Invalid.
    Status status;
    std::vector<std::string> texts;
    for (const FieldError& e : errors) texts.push_back(e.field + ": " + e.message());
    status.message = texts.size() == 1 ? texts[0] : "[" + join(texts, ", ") + "]";
    return fail(std::move(status));
  }
  body = admission::with_topology_labels(work.registry, std::move(*body));
  auto admitted = admit_body(work, "CREATE", "binding", std::move(*body));
  if (!admitted) return fail(std::move(admitted.error()));
  binding = admitted->root();
  node = binding["target"]["name"].as_string();
  work.subresource = "binding";
  work.untracked = true;
  auto answer = work.registry.modify(
      work,
      [&](Value before) -> ApiResult<Draft> {
        auto refuse = [&](std::string why) { return fail(conflict("", "pods/binding", work.name, why)); };
        if (std::string_view uid = binding["metadata"]["uid"].as_string(); !uid.empty() && uid != before["metadata"]["uid"].as_string())
          return fail(conflict("", "pods/binding", work.name,
                               fmt::format("Precondition failed: UID in precondition: {}, UID in object meta: {}", uid,
                                           before["metadata"]["uid"].as_string())));
        if (before["metadata"]["deletionTimestamp"].exists())
          return refuse(fmt::format("pod {} is being deleted, cannot be assigned to a host", work.name));
        if (std::string_view there = before["spec"]["nodeName"].as_string(); !there.empty())
          return refuse(fmt::format("pod {} is already assigned to node {}", work.name, go_quote(there)));
        if (!before["spec"]["schedulingGates"].empty()) return refuse(fmt::format("pod {} has non-empty .spec.schedulingGates", work.name));
        Draft now(before);
        now["spec"]["nodeName"] = node;
        if (now["status"].find("nominatedNodeName")) now["status"].erase("nominatedNodeName");  // it has come true, or is void
        for (Member m : binding["metadata"]["annotations"].members()) now["metadata"]["annotations"][m.key] = m.value;
        for (Member m : binding["metadata"]["labels"].members()) now["metadata"]["labels"][m.key] = m.value;
        Draft condition = Draft::object({{"type", "PodScheduled"},
                                         {"status", "True"},
                                         {"lastProbeTime", nullptr},
                                         {"lastTransitionTime", format_rfc3339(work.world.clock.now())}});
        Draft conditions = Draft::array();
        for (Value c : before["status"]["conditions"].items())
          if (c["type"].as_string() != "PodScheduled") conditions.push_back(c);
        if (before["metadata"]["generation"].exists()) condition["observedGeneration"] = before["metadata"]["generation"];
        conditions.push_back(std::move(condition));
        now["status"]["conditions"] = std::move(conditions);
        return now;
      },
      true);
  if (!answer) return answer;
  return Answer{201, success_status()};
}

ApiResult<Answer> token(SubresourceCall& call) {
  auto body = typed_body("authentication.k8s.io/v1", "TokenRequest", call.body);
  if (!body) return fail(std::move(body.error()));
  if (auto ok = admission::node_restriction_of_token(call.work, body->root()); !ok) return fail(std::move(ok.error()));
  body = admit_body(call.work, "CREATE", "token", std::move(*body));
  if (!body) return fail(std::move(body.error()));
  if (!call.work.registry.token_issuer()) return fail(internal_error("no token issuer is set up"));
  auto issued = call.work.registry.token_issuer()->issue(call.work, body->root());
  if (!issued) return fail(std::move(issued.error()));
  return Answer{201, std::move(*issued)};
}

// --- writes of a part of the object: what the request changes elsewhere is put back

// Takes over into `now`, the object as it is, what may change.
using Take = void (*)(Draft& now, Value after);
ApiResult<Answer> write_part(SubresourceCall& call, Take take) {
  Work& work = call.work;
  if (call.verb == "get") return work.registry.get(work);
  const Served& served = *work.served;
  Document body = call.body;
  if (call.verb == "update") {
    auto typed = work.registry.typed(work, served, body);
    if (!typed) return fail(std::move(typed.error()));
    body = std::move(*typed);
    if (std::string_view name = body["metadata"]["name"].as_string(); name != work.name)
      return fail(bad_request(fmt::format("the name of the object ({}) does not match the name on the URL ({})", name, work.name)));
  }
  return work.registry.modify(
      work,
      [&](Value before) -> ApiResult<Draft> {
        Document after = body;
        if (call.verb == "patch") {
          auto patched = apply_patch(work, call.patch, before, body);
          if (!patched) return fail(std::move(patched.error()));
          auto typed = work.registry.typed(work, served, *patched);
          if (!typed) return fail(std::move(typed.error()));
          after = std::move(*typed);
        }
        std::string_view version = after["metadata"]["resourceVersion"].as_string();
        if (!version.empty() && version != before["metadata"]["resourceVersion"].as_string())
          return fail(conflict(served.group(), served.plural(), work.name,
                               "the object has been modified; please apply your changes to the latest version and try again"));
        Draft now(before);
        take(now, after.root());
        return now;
      },
      call.verb == "patch");
}

void put(Draft& at, std::string_view key, Value value) {
  if (value.exists()) at[key] = value;
  else at.erase(key);
}

ApiResult<Answer> ephemeral_containers(SubresourceCall& call) {
  return write_part(call, [](Draft& now, Value after) { put(now["spec"], "ephemeralContainers", after["spec"]["ephemeralContainers"]); });
}
ApiResult<Answer> approval(SubresourceCall& call) {
  return write_part(call, [](Draft& now, Value after) { put(now["status"], "conditions", after["status"]["conditions"]); });
}

// Of the containers that there are, in whatever order they come, the amounts and how they may change.
ApiResult<Answer> resize(SubresourceCall& call) {
  return write_part(call, [](Draft& now, Value after) {
    for (std::string_view list : {"containers", "initContainers"}) {
      Draft* containers = now["spec"].find(list);
      if (!containers) continue;
      std::map<std::string_view, Value> asked;
      for (Value container : after["spec"][list].items()) asked.emplace(container["name"].as_string(), container);
      for (Draft& container : containers->items()) {
        const Draft* name = container.find("name");
        auto found = name ? asked.find(name->as_string()) : asked.end();
        if (found == asked.end()) continue;
        put(container, "resources", found->second["resources"]);
        put(container, "resizePolicy", found->second["resizePolicy"]);
      }
    }
  });
}

ApiResult<Answer> finalize(SubresourceCall& call) {
  Work& work = call.work;
  auto body = work.registry.typed(work, *work.served, call.body);
  if (!body) return fail(std::move(body.error()));
  if (std::string_view name = (*body)["metadata"]["name"].as_string(); name != work.name)
    return fail(bad_request(fmt::format("the name of the object ({}) does not match the name on the URL ({})", name, work.name)));
  // The last of its finalizers gone, so is the namespace.
  return work.registry.modify(
      work,
      [&](Value before) -> ApiResult<Draft> {
        std::string_view version = (*body)["metadata"]["resourceVersion"].as_string();
        if (!version.empty() && version != before["metadata"]["resourceVersion"].as_string())
          return fail(conflict("", "namespaces", work.name,
                               "the object has been modified; please apply your changes to the latest version and try again"));
        Draft now(before);
        Value finalizers = (*body)["spec"]["finalizers"];
        if (finalizers.empty()) now["spec"].erase("finalizers");
        else now["spec"]["finalizers"] = finalizers;
        return now;
      },
      false);
}

struct SubresourceRow {
  std::string_view group, plural, subresource;
  SubresourceHandler handler;
};
constexpr SubresourceRow subresource_rows[] = {
    {"apps", "deployments", "scale", built_in_scale},
    {"apps", "replicasets", "scale", built_in_scale},
    {"apps", "statefulsets", "scale", built_in_scale},
    {"", "replicationcontrollers", "scale", built_in_scale},
    {"", "pods", "binding", bind},
    {"", "pods", "eviction", evict},
    {"", "pods", "ephemeralcontainers", ephemeral_containers},
    {"", "pods", "resize", resize},
    {"", "serviceaccounts", "token", token},
    {"", "namespaces", "finalize", finalize},
    {"certificates.k8s.io", "certificatesigningrequests", "approval", approval},
};

}  // namespace

SubresourceHandler find_subresource(std::string_view group, std::string_view plural, std::string_view subresource) {
  for (const SubresourceRow& row : subresource_rows)
    if (row.subresource == subresource && row.plural == plural && row.group == group) return row.handler;
  return nullptr;
}

}  // namespace kybern::apiserver
