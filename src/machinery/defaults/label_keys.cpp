// matchLabelKeys and mismatchLabelKeys of a new pod (KEP-3243, KEP-3633): what its own labels say goes into the selectors.
#include "machinery/defaults/defaults.h"
#include "machinery/defaults/fill.h"

namespace kybern {
namespace {

void add(Draft& selector, const Draft& keys, const Draft& labels, const char* op) {
  if (!keys.is_array()) return;
  for (const Draft& key : keys.items()) {
    const Draft* label = labels.find(key.as_string());
    if (label == nullptr) continue;
    Draft& expressions = selector["matchExpressions"];
    if (!expressions.is_array()) expressions = Draft::array();
    expressions.push_back(Draft::object({{"key", key.as_string()}, {"operator", op}, {"values", Draft::array({*label})}}));
  }
}

void merge(Draft& term, const Draft& labels) {
  Draft* selector = term.find("labelSelector");
  if (selector == nullptr || !selector->is_object()) return;
  if (const Draft* keys = term.find("matchLabelKeys")) add(*selector, *keys, labels, "In");
  if (const Draft* keys = term.find("mismatchLabelKeys")) add(*selector, *keys, labels, "NotIn");
}

}  // namespace

void merge_label_keys(Draft& pod) {
  Draft *spec = pod.find("spec"), *found = pod.find_path({"metadata", "labels"});
  if (spec == nullptr || found == nullptr || !found->is_object()) return;
  Draft* affinity = spec->find("affinity");
  if (affinity == nullptr && spec->find("topologySpreadConstraints") == nullptr) return;
  const Draft labels = *found;
  if (affinity != nullptr && affinity->is_object()) {
    for (const char* kind : {"podAffinity", "podAntiAffinity"}) {
      Draft* terms = affinity->find(kind);
      if (terms == nullptr || !terms->is_object()) continue;
      defaults::each(*terms, "requiredDuringSchedulingIgnoredDuringExecution", [&](Draft& term) { merge(term, labels); });
      defaults::each(*terms, "preferredDuringSchedulingIgnoredDuringExecution", [&](Draft& weighted) {
        if (Draft* term = weighted.find("podAffinityTerm"); term != nullptr && term->is_object()) merge(*term, labels);
      });
    }
  }
  defaults::each(*spec, "topologySpreadConstraints", [&](Draft& constraint) { merge(constraint, labels); });
}

}  // namespace kybern
