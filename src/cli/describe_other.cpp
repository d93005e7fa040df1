// describe: services, configuration, rights, storage and limits.
#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "cli/describe_page.h"
#include "cli/jsonpath.h"
#include "cli/table.h"
#include "machinery/duration_text.h"
#include "machinery/quantity.h"

namespace kybern::cli {
namespace {

void service(Page& page, Value o, const std::vector<Document>& slices) {
  const Value spec = o["spec"];
  const auto text_list = [](Value list) {
    std::vector<std::string> out;
    for (Value item : list.items()) out.push_back(item.str());
    return out.empty() ? std::string("<none>") : join(out, ",");
  };
  page.head(o);
  page.labels(o);
  std::vector<std::string> selector;
  for (Member m : spec["selector"].members()) selector.push_back(std::string(m.key) + "=" + m.value.str());
  std::sort(selector.begin(), selector.end());
  page.line(0, "Selector", selector.empty() ? "<none>" : join(selector, ","));
  page.line(0, "Type", spec["type"].as_string());
  if (spec["ipFamilyPolicy"].exists()) page.line(0, "IP Family Policy", spec["ipFamilyPolicy"].as_string());
  if (spec["ipFamilies"].exists()) page.line(0, "IP Families", text_list(spec["ipFamilies"]));
  page.line(0, "IP", spec["clusterIP"].as_string());
  page.line(0, "IPs", text_list(spec["clusterIPs"]));
  if (spec["externalName"].exists()) page.line(0, "External Name", spec["externalName"].as_string());
  if (!spec["externalIPs"].empty()) page.line(0, "External IPs", text_list(spec["externalIPs"]));
  for (Value ingress : o["status"]["loadBalancer"]["ingress"].items())
    page.line(0, "LoadBalancer Ingress", ingress["ip"].exists() ? ingress["ip"].as_string() : ingress["hostname"].as_string());
  for (Value port : spec["ports"].items()) {
    const std::string name = port["name"].as_string().empty() ? "<unset>" : port["name"].str(), protocol = port["protocol"].str();
    page.text += fmt::format("Port:\t{}\t{}/{}\n", name, port["port"].as_int(), protocol);
    page.line(0, "TargetPort", plain_text(port["targetPort"]) + "/" + protocol);
    if (port["nodePort"].as_int() != 0) page.text += fmt::format("NodePort:\t{}\t{}/{}\n", name, port["nodePort"].as_int(), protocol);
    std::vector<std::string> ends;
    for (const Document& slice : slices) {
      for (Value p : slice["ports"].items()) {
        if (p["name"].as_string() != port["name"].as_string()) continue;
        for (Value end : slice["endpoints"].items())
          if (end["conditions"]["ready"].as_bool(true))
            for (Value address : end["addresses"].items()) ends.push_back(address.str() + ":" + plain_text(p["port"]));
      }
    }
    const std::size_t all = ends.size();
    if (all > 3) ends.resize(3);
    page.line(0, "Endpoints", join(ends, ",") + (all > 3 ? fmt::format(" + {} more...", all - 3) : ""));
  }
  page.line(0, "Session Affinity", spec["sessionAffinity"].as_string());
  if (spec["externalTrafficPolicy"].exists()) page.line(0, "External Traffic Policy", spec["externalTrafficPolicy"].as_string());
  if (spec["internalTrafficPolicy"].exists()) page.line(0, "Internal Traffic Policy", spec["internalTrafficPolicy"].as_string());
}

void secret_or_config_map(Page& page, Value o) {
  page.head(o);
  page.labels(o);
  if (o["kind"].as_string() == "Secret") {
    page.text += "\nType:  " + o["type"].str() + "\n\nData\n====\n";
    for (Member m : o["data"].members())
      page.text += std::string(m.key) + ":\t" + std::to_string(base64_decode(m.value.as_string()).value_or("").size()) + " bytes\n";
    return;
  }
  page.text += "\nData\n====\n";
  for (Member m : o["data"].members()) page.text += std::string(m.key) + ":\n----\n" + m.value.str() + "\n\n";
  page.text += "\nBinaryData\n====\n";
  for (Member m : o["binaryData"].members())
    page.text += std::string(m.key) + ": " + std::to_string(base64_decode(m.value.as_string()).value_or("").size()) + " bytes\n";
  page.text += "\n";
}

void name_space(Page& page, Value o, const std::vector<Document>& related) {
  page.line(0, "Name", o["metadata"]["name"].as_string());
  page.labels(o);
  page.line(0, "Status", o["status"]["phase"].as_string());
  const auto quotas =
      std::count_if(related.begin(), related.end(), [](const Document& d) { return d["kind"].as_string() == "ResourceQuota"; });
  if (quotas == 0) page.text += "\nNo resource quota.\n";
  else page.text += "\nResource Quotas\n";
  for (const Document& quota : related) {
    if (quota["kind"].as_string() != "ResourceQuota") continue;
    page.text += "  Name:\t" + quota["metadata"]["name"].str() + "\n  Resource\tUsed\tHard\n  --------\t---\t---\n";
    for (Member m : quota["status"]["hard"].members())
      page.text += fmt::format("  {}\t{}\t{}\n", m.key, plain_text(quota["status"]["used"][m.key]), plain_text(m.value));
  }
  const bool limited = std::any_of(related.begin(), related.end(), [](const Document& d) { return d["kind"].as_string() == "LimitRange"; });
  if (!limited) {
    page.text += "\nNo LimitRange resource.\n";
    return;
  }
  page.text +=
      "\nResource Limits\n Type\tResource\tMin\tMax\tDefault Request\tDefault Limit\tMax Limit/Request Ratio\n "
      "----\t--------\t---\t---\t---------------\t-------------\t-----------------------\n";
}

void limit_rows(Page& page, Value range) {
  for (Value limit : range["spec"]["limits"].items()) {
    std::vector<std::string> names;
    for (const char* part : {"max", "min", "default", "defaultRequest", "maxLimitRequestRatio"})
      for (Member m : limit[part].members())
        if (std::find(names.begin(), names.end(), m.key) == names.end()) names.emplace_back(m.key);
    std::sort(names.begin(), names.end());
    const auto amount = [&](const char* part, const std::string& name) {
      return limit[part][name].exists() ? plain_text(limit[part][name]) : std::string("-");
    };
    for (const std::string& name : names)
      page.text += fmt::format("{}\t{}\t{}\t{}\t{}\t{}\t{}\n", limit["type"].as_string(), name, amount("min", name), amount("max", name),
                               amount("defaultRequest", name), amount("default", name), amount("maxLimitRequestRatio", name));
  }
}

void limit_range(Page& page, Value o) {
  page.head(o);
  page.text +=
      "Type\tResource\tMin\tMax\tDefault Request\tDefault Limit\tMax Limit/Request "
      "Ratio\n----\t--------\t---\t---\t---------------\t-------------\t-----------------------\n";
  limit_rows(page, o);
}

void quota(Page& page, Value o) {
  page.head(o);
  if (!o["spec"]["scopes"].empty()) {
    std::vector<std::string> scopes;
    for (Value scope : o["spec"]["scopes"].items()) scopes.push_back(scope.str());
    page.line(0, "Scopes", join(scopes, ", "));
  }
  page.text += "Resource\tUsed\tHard\n--------\t----\t----\n";
  std::vector<std::string> names;
  for (Member m : o["status"]["hard"].members()) names.emplace_back(m.key);
  std::sort(names.begin(), names.end());
  for (const std::string& name : names)
    page.text += fmt::format("{}\t{}\t{}\n", name, plain_text(o["status"]["used"][name]), plain_text(o["status"]["hard"][name]));
}

std::string words_text(Value list) {
  std::vector<std::string> out;
  for (Value item : list.items()) out.push_back(item.str());
  return "[" + join(out, " ") + "]";
}

void role(Page& page, Value o) {
  page.line(0, "Name", o["metadata"]["name"].as_string());
  page.labels(o);
  page.text +=
      "PolicyRule:\n  Resources\tNon-Resource URLs\tResource Names\tVerbs\n  ---------\t-----------------\t--------------\t-----\n";
  std::vector<std::pair<std::string, std::string>> rows;  // by group and resource; URLs first
  for (Value rule : o["rules"].items()) {
    for (Value group : rule["apiGroups"].items())
      for (Value resource : rule["resources"].items())
        rows.emplace_back("1" + group.str() + "/" + resource.str(),
                          fmt::format("  {}{}\t[]\t{}\t{}\n", resource.as_string(), group.as_string().empty() ? "" : "." + group.str(),
                                      words_text(rule["resourceNames"]), words_text(rule["verbs"])));
    for (Value url : rule["nonResourceURLs"].items())
      rows.emplace_back("2[" + url.str() + "]", fmt::format("  \t[{}]\t{}\t{}\n", url.as_string(), "[]", words_text(rule["verbs"])));
  }
  std::stable_sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [key, row] : rows) page.text += row;
}

void role_binding(Page& page, Value o) {
  page.line(0, "Name", o["metadata"]["name"].as_string());
  page.labels(o);
  page.title(0, "Role");
  page.line(1, "Kind", o["roleRef"]["kind"].as_string());
  page.line(1, "Name", o["roleRef"]["name"].as_string());
  page.text += "Subjects:\n  Kind\tName\tNamespace\n  ----\t----\t---------\n";
  for (Value subject : o["subjects"].items())
    page.text += fmt::format("  {}\t{}\t{}\n", subject["kind"].as_string(), subject["name"].as_string(), subject["namespace"].as_string());
}

void service_account(Page& page, Value o) {
  page.head(o);
  page.labels(o);
  const auto names = [](Value list) {
    std::vector<std::string> out;
    for (Value item : list.items()) out.push_back(item["name"].str());
    return out.empty() ? std::string("<none>") : join(out, "\n\t");
  };
  page.line(0, "Image pull secrets", names(o["imagePullSecrets"]));
  page.line(0, "Mountable secrets", names(o["secrets"]));
  page.line(0, "Tokens", "<none>");
}

void disruption_budget(Page& page, Value o) {
  const Value spec = o["spec"], status = o["status"];
  page.head(o);
  if (spec["minAvailable"].exists()) page.line(0, "Min available", plain_text(spec["minAvailable"]));
  else if (spec["maxUnavailable"].exists()) page.line(0, "Max unavailable", plain_text(spec["maxUnavailable"]));
  page.line(0, "Selector", spec["selector"].exists() ? labels_text(spec["selector"]["matchLabels"]) : "<unset>");
  page.title(0, "Status");
  for (const auto& [field, name] : {std::pair{"disruptionsAllowed", "Allowed disruptions"}, std::pair{"currentHealthy", "Current"},
                                    std::pair{"desiredHealthy", "Desired"}, std::pair{"expectedPods", "Total"}})
    page.line(2, name, std::to_string(status[field].as_int()));
}

void priority_class(Page& page, Value o) {
  page.line(0, "Name", o["metadata"]["name"].as_string());
  page.line(0, "Value", plain_text(o["value"]));
  page.line(0, "GlobalDefault", o["globalDefault"].as_bool() ? "true" : "false");
  page.line(0, "PreemptionPolicy", o["preemptionPolicy"].as_string());
  page.line(0, "Description", o["description"].as_string());
  page.map(0, "Annotations", o["metadata"]["annotations"], ": ");
}

void storage_class(Page& page, Value o) {
  page.line(0, "Name", o["metadata"]["name"].as_string());
  page.line(0, "IsDefaultClass",
            o["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"].as_string() == "true" ? "Yes" : "No");
  page.line(0, "Annotations", labels_text(o["metadata"]["annotations"]));
  page.line(0, "Provisioner", o["provisioner"].as_string());
  page.line(0, "Parameters", labels_text(o["parameters"]));
  page.line(0, "AllowVolumeExpansion",
            o["allowVolumeExpansion"].exists() ? (o["allowVolumeExpansion"].as_bool() ? "True" : "False") : "<unset>");
  std::vector<std::string> options;
  for (Value option : o["mountOptions"].items()) options.push_back(option.str());
  page.line(0, "MountOptions", options.empty() ? "<none>" : join(options, "\n\t"));
  page.line(0, "ReclaimPolicy", o["reclaimPolicy"].as_string());
  page.line(0, "VolumeBindingMode", o["volumeBindingMode"].as_string());
}

std::string access_modes(Value list) {
  std::vector<std::string> out;
  for (const auto& [name, shorter] : {std::pair{"ReadWriteOnce", "RWO"}, std::pair{"ReadOnlyMany", "ROX"},
                                      std::pair{"ReadWriteMany", "RWX"}, std::pair{"ReadWriteOncePod", "RWOP"}})
    for (Value mode : list.items())
      if (mode.as_string() == name) {
        out.emplace_back(shorter);
        break;
      }
  return join(out, ",");
}

void volume_claim(Page& page, Value o, const std::vector<Document>& related) {
  const Value spec = o["spec"], status = o["status"];
  const bool bound = !spec["volumeName"].as_string().empty();
  page.head(o);
  page.line(0, "StorageClass", spec["storageClassName"].as_string());
  page.line(0, "Status", o["metadata"]["deletionTimestamp"].exists() ? "Terminating" : status["phase"].as_string());
  page.line(0, "Volume", spec["volumeName"].as_string());
  page.labels(o);
  page.line(0, "Finalizers", words_text(o["metadata"]["finalizers"]));
  page.line(0, "Capacity", bound ? plain_text(status["capacity"]["storage"]) : "");
  page.line(0, "Access Modes", bound ? access_modes(status["accessModes"]) : "");
  if (spec["volumeMode"].exists()) page.line(0, "VolumeMode", spec["volumeMode"].as_string());
  std::vector<std::string> users;
  for (const Document& pod : related)
    for (Value volume : pod["spec"]["volumes"].items())
      if (volume["persistentVolumeClaim"]["claimName"].as_string() == o["metadata"]["name"].as_string())
        users.push_back(pod["metadata"]["name"].str());
  page.line(0, "Used By", users.empty() ? "<none>" : join(users, "\n\t"));
}

}  // namespace

bool describe_other(Page& page, Value object, const std::vector<Document>& related) {
  const std::string_view kind = object["kind"].as_string();
  if (kind == "Service") service(page, object, related);
  else if (kind == "Secret" || kind == "ConfigMap") secret_or_config_map(page, object);
  else if (kind == "Namespace") {
    name_space(page, object, related);
    for (const Document& item : related)
      if (item["kind"].as_string() == "LimitRange") limit_rows(page, item);
  } else if (kind == "ResourceQuota") quota(page, object);
  else if (kind == "LimitRange") limit_range(page, object);
  else if (kind == "Role" || kind == "ClusterRole") role(page, object);
  else if (kind == "RoleBinding" || kind == "ClusterRoleBinding") role_binding(page, object);
  else if (kind == "ServiceAccount") service_account(page, object);
  else if (kind == "PodDisruptionBudget") disruption_budget(page, object);
  else if (kind == "PriorityClass") priority_class(page, object);
  else if (kind == "StorageClass") storage_class(page, object);
  else if (kind == "PersistentVolumeClaim") volume_claim(page, object, related);
  else return false;
  return true;
}

}  // namespace kybern::cli
