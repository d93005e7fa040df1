// What the cells of many kinds have in common: ages, selectors, lists that are cut, container names.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "document/document.h"

namespace kybern::apiserver {

// A row while it is made. Cells are added in the order of the resource's columns; integers and booleans stay what they are.
struct Row {
  Value object;
  Time now;
  Draft cells = Draft::array();

  void add(Draft cell) { cells.push_back(std::move(cell)); }
  template <class... T>
  void add_all(T&&... more) {
    (add(Draft(std::forward<T>(more))), ...);
  }
  Value meta() const { return object["metadata"]; }
  Value spec() const { return object["spec"]; }
  Value status() const { return object["status"]; }
  std::string name() const { return meta()["name"].str(); }
  std::string age() const { return since(meta()["creationTimestamp"]); }
  std::string since(Value time) const;  // "<unknown>" without a time
  bool in_deletion() const { return !meta()["deletionTimestamp"].is_null(); }
};
using CellsFunction = void (*)(Row&);

// `otherwise` for an absent or empty text.
std::string text_or(Value text, std::string_view otherwise);
std::string labels_text(Value labels);                          // a=b,c=d sorted by key; "<none>" when there are none
std::string selector_text(Value label_selector);                // of a LabelSelector; "<none>" when it says nothing
std::string list_text(Value list, std::string_view separator);  // of texts
// The names and the images of containers, each joined by commas.
std::pair<std::string, std::string> container_texts(Value containers);
std::string quantity_text(Value quantity);  // canonical; "0" when absent
std::string int_or_string_text(Value value);
// The condition of that type, absent when there is none.
Value condition_of(Value conditions, std::string_view type);
bool condition_is_true(Value conditions, std::string_view type);

// At most three entries: "a,b,c + 2 more...".
class ShortList {
 public:
  void add(std::string text);
  std::string str() const;

 private:
  std::vector<std::string> shown_;
  std::size_t count_ = 0;
};

// The kinds, one file for each family: cells_pods.cpp, cells_workloads.cpp, cells_network.cpp, cells_core.cpp,
// cells_storage.cpp, cells_policy.cpp.
void pod_cells(Row&);
void pod_template_cells(Row&);
void deployment_cells(Row&);
void replica_set_cells(Row&);
void replication_controller_cells(Row&);
void stateful_set_cells(Row&);
void daemon_set_cells(Row&);
void controller_revision_cells(Row&);
void job_cells(Row&);
void cron_job_cells(Row&);
void autoscaler_cells(Row&);
void disruption_budget_cells(Row&);
void usage_cells(Row&);
void service_cells(Row&);
void endpoints_cells(Row&);
void endpoint_slice_cells(Row&);
void ingress_cells(Row&);
void ingress_class_cells(Row&);
void network_policy_cells(Row&);
void ip_address_cells(Row&);
void service_cidr_cells(Row&);
void node_cells(Row&);
void namespace_cells(Row&);
void config_map_cells(Row&);
void secret_cells(Row&);
void service_account_cells(Row&);
void event_cells(Row&);
void resource_quota_cells(Row&);
void component_status_cells(Row&);
void lease_cells(Row&);
void runtime_class_cells(Row&);
void priority_class_cells(Row&);
void volume_cells(Row&);
void volume_claim_cells(Row&);
void storage_class_cells(Row&);
void csi_driver_cells(Row&);
void csi_node_cells(Row&);
void csi_capacity_cells(Row&);
void volume_attachment_cells(Row&);
void volume_attributes_class_cells(Row&);
void role_binding_cells(Row&);
void certificate_request_cells(Row&);
void webhooks_cells(Row&);
void validating_policy_cells(Row&);
void mutating_policy_cells(Row&);
void policy_binding_cells(Row&);
void flow_schema_cells(Row&);
void priority_level_cells(Row&);
void api_service_cells(Row&);
void resource_claim_cells(Row&);
void resource_slice_cells(Row&);

}  // namespace kybern::apiserver
