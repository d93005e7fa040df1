// What the API fills in: every default of the stable kinds, as their defaulting functions set them on the way in, and the
// few fields that exist twice (serviceAccount and serviceAccountName, stringData and data).
//
// Runs on an object that has been fitted to its type (schema::to_typed), before validation. Quantities are made canonical
// first. Filling in is idempotent. What the server decides by looking elsewhere (cluster IPs, tolerations by admission,
// metadata) is not here.
#pragma once

#include <string_view>

#include "document/document.h"
#include "schema/schema.h"

namespace kybern {

void apply_defaults(const schema::Resource& resource, Draft& object);
void apply_defaults(std::string_view group, std::string_view version, std::string_view kind, Draft& object);

// Every quantity of an object as the API prints it: "0.5" is "500m", "1024Ki" is "1Mi".
void canonical_quantities(const schema::Type& type, Draft& object);

// Parts of objects, for controllers that hash or compare templates.
void default_pod_template(Draft& pod_template);
void default_pod_spec(Draft& spec);

// What a new pod's matchLabelKeys and mismatchLabelKeys stand for, added to the selectors of its affinities and spreads.
void merge_label_keys(Draft& pod);

}  // namespace kybern
