// Just enough of a server for recorded conversations about validity: creations, replacements and patches of one
// namespace, with the fields set that a server sets before it validates. For tests.
#pragma once

#include <map>
#include <string>

#include "machinery/defaults/defaults.h"
#include "machinery/patch/patch.h"
#include "machinery/testing/recorded.h"
#include "machinery/validate/validate.h"
#include "schema/convert.h"

namespace kybern::testing {

class MiniServer {
 public:
  struct Answer {
    bool judged = false;  // false: the step is about something else than validity
    Status status;        // code 200: accepted
    Document object;
  };

  Answer step(Value step) {
    Target at = target(step["path"].as_string());
    std::string_view method = step["method"].as_string();
    bool known_part = at.subresource.empty() || at.subresource == "status" || at.subresource == "approval" || at.subresource == "scale";
    if (at.resource == nullptr || !known_part || !step["body"].exists() || step["headers"]["Authorization"].exists() ||
        step["headers"]["Impersonate-User"].exists())
      return {};
    if (method == "POST" && at.name.empty()) return create(at, step["body"]);
    if (method == "PUT") return update(at, step["body"]);
    if (method == "PATCH") return patch(at, step["body"], step["headers"]["Content-Type"].as_string());
    return {};
  }

 private:
  static std::string key(const Target& at, std::string_view name) {
    return std::string(at.resource->group) + "/" + std::string(at.resource->plural) + "/" + std::string(name);
  }

  static bool has_status(const schema::Resource& resource) {
    for (const schema::Subresource& sub : resource.subresources) {
      if (sub.name == "status") return true;
    }
    return false;
  }

  // Typed and defaulted; not judged when the body does not fit its type (that is the decoder's business).
  static bool read(const Target& at, Value body, Draft& object) {
    auto typed = schema::to_typed(*at.resource->type, body);
    if (!typed) return false;
    object = Draft(*typed);
    if (body["kind"].as_string() != at.resource->kind) return false;
    apply_defaults(*at.resource, object);
    return true;
  }

  static Answer judge(const Target& at, const FieldErrors& errors, const Document& object) {
    Answer answer{true, {}, object};
    answer.status.code = 200;
    if (!errors.empty()) answer.status = invalid(at.resource->group, at.resource->kind, object["metadata"]["name"].as_string(), errors);
    return answer;
  }

  static void prepare_create(const Target& at, Draft& object) {
    if (at.resource->group.starts_with("auth")) return;  // questions are not stored
    Draft& meta = object["metadata"];
    for (const char* field : {"deletionTimestamp", "deletionGracePeriodSeconds"}) meta.erase(field);
    if (at.resource->namespaced) meta["namespace"] = at.space;
    const Draft* generate = meta.find("generateName");
    if (meta.find("name") == nullptr && generate != nullptr) meta["name"] = generate->str() + "x1y2z";
    meta["uid"] = "00000000-0000-0000-0000-000000000001";
    meta["resourceVersion"] = "1";
    meta["creationTimestamp"] = "2026-01-01T00:00:00Z";
    if (has_status(*at.resource) && at.resource->kind != "Node") object.erase("status");
    if (at.resource->kind == "Namespace" || at.resource->kind == "PersistentVolumeClaim" || at.resource->kind == "PersistentVolume")
      apply_defaults(*at.resource, object);
    if (at.resource->kind == "Service") {
      Draft* spec = object.find("spec");
      const Draft* ip = spec == nullptr ? nullptr : spec->find("clusterIP");
      std::string text = ip == nullptr ? "" : ip->str();
      if (spec != nullptr && !text.empty() && spec->find("clusterIPs") == nullptr) (*spec)["clusterIPs"] = Draft::array({Draft(text)});
    }
    if (at.resource->kind == "Job") {
      Draft& spec = object["spec"];
      const Draft* manual = spec.find("manualSelector");
      if (manual == nullptr || !manual->as_bool()) {
        spec["selector"]["matchLabels"]["batch.kubernetes.io/controller-uid"] = meta["uid"];
        for (const char* label : {"batch.kubernetes.io/controller-uid", "controller-uid"})
          spec["template"]["metadata"]["labels"][label] = meta["uid"];
        for (const char* label : {"batch.kubernetes.io/job-name", "job-name"}) spec["template"]["metadata"]["labels"][label] = meta["name"];
      }
    }
  }

  Answer create(const Target& at, Value body) {
    Draft object;
    if (!read(at, body, object)) return {};
    prepare_create(at, object);
    Document made = object.freeze();
    Answer answer = judge(at, validate(*at.resource, made), made);
    if (answer.status.code == 200) {
      if (at.resource->kind == "Service" && made["spec"]["type"].as_string() != "ExternalName" && !made["spec"]["clusterIP"].exists()) {
        Draft addressed(made);
        addressed["spec"]["clusterIP"] = "10.0.0.9";
        addressed["spec"]["clusterIPs"] = Draft::array({Draft("10.0.0.9")});
        addressed["spec"]["ipFamilies"] = Draft::array({Draft("IPv4")});
        addressed["spec"]["ipFamilyPolicy"] = "SingleStack";
        made = addressed.freeze();
      }
      objects_[key(at, made["metadata"]["name"].as_string())] = made;
    }
    return answer;
  }

  // Only the part that the subresource is about is taken over.
  Answer replace_part(const Target& at, Value object, Value old) {
    Draft made(old);
    if (at.subresource == "approval") made["status"]["conditions"] = Draft(object["status"]["conditions"]);
    else made["status"] = Draft(object["status"]);
    Document frozen = made.freeze();
    Answer answer = judge(at, validate_subresource_update(*at.resource, at.subresource, frozen, old), frozen);
    if (answer.status.code == 200) objects_[key(at, at.name)] = frozen;
    return answer;
  }

  Answer replace(const Target& at, Draft object, Value old) {
    if (!at.subresource.empty()) return replace_part(at, object.freeze(), Document(old.document()));
    Draft& meta = object["metadata"];
    for (const char* field : {"uid", "resourceVersion", "creationTimestamp", "generation", "deletionTimestamp", "namespace"}) {
      if (old["metadata"][field].exists() && (meta.find(field) == nullptr || std::string_view(field) == "creationTimestamp"))
        meta[field] = Draft(old["metadata"][field]);
    }
    if (has_status(*at.resource)) {
      if (old["status"].exists()) object["status"] = Draft(old["status"]);
      else object.erase("status");
    }
    if (at.resource->kind == "Service") {
      Draft& spec = object["spec"];
      const Draft *type = spec.find("type"), *ip = spec.find("clusterIP");
      if (type != nullptr && type->as_string() != "ExternalName") {
        for (const char* field : {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"}) {
          if (spec.find(field) == nullptr && old["spec"][field].exists()) spec[field] = Draft(old["spec"][field]);
        }
        ip = spec.find("clusterIP");
        if (ip != nullptr && ip->as_string() != old["spec"]["clusterIP"].as_string()) {
          std::string changed = ip->str();
          spec["clusterIPs"] = Draft::array({Draft(changed)});
        }
      }
    }
    Document made = object.freeze();
    Answer answer = judge(at, validate_update(*at.resource, made, old), made);
    if (answer.status.code == 200) objects_[key(at, at.name)] = made;
    return answer;
  }

  Answer update(const Target& at, Value body) {
    auto old = objects_.find(key(at, at.name));
    Draft object;
    if (at.subresource == "scale") return judge(at, validate_scale(body), {});
    if (old == objects_.end() || !read(at, body, object) || body["metadata"]["name"].as_string() != at.name) return {};
    return replace(at, std::move(object), old->second);
  }

  Answer patch(const Target& at, Value body, std::string_view type) {
    auto old = objects_.find(key(at, at.name));
    if (old == objects_.end() || at.subresource == "scale" || type.find("apply-patch") != std::string_view::npos) return {};
    ApiResult<Draft> patched = type.find("json-patch") != std::string_view::npos ? json_patch(old->second, body)
                               : type.find("strategic-merge") != std::string_view::npos
                                   ? strategic_merge(old->second, body, *at.resource->type)
                                   : merge_patch(old->second, body);
    if (!patched) return Answer{true, patched.error(), {}};
    if (std::string why = convert_error(*at.resource->type, *patched);
        !why.empty() && type.find("strategic-merge") != std::string_view::npos) {
      return Answer{true, patch_does_not_fit(body, why), {}};
    }
    Document frozen = patched->freeze();
    Draft object;
    bool moved = !(frozen["metadata"]["name"] == old->second["metadata"]["name"]) ||
                 !(frozen["metadata"]["resourceVersion"] == old->second["metadata"]["resourceVersion"]);
    if (moved || !read(at, frozen, object)) return {};
    return replace(at, std::move(object), old->second);
  }

  std::map<std::string, Document> objects_;
};

}  // namespace kybern::testing
