// What the API accepts: the rules of the built-in kinds, with upstream's field paths, words and order of findings.
//
// Objects come in typed, defaulted and prepared (as the server does before it validates): generated names filled in, the
// fields that a client may not set reset. An empty answer accepts the object; otherwise machinery/status.h's invalid()
// makes the 422.
#pragma once

#include "document/document.h"
#include "machinery/metadata.h"
#include "machinery/status.h"
#include "schema/schema.h"

namespace kybern {

// A creation. Kinds without rules of their own have their metadata checked.
FieldErrors validate(const schema::Resource& resource, Value object);
// A change by PUT or PATCH of the main resource.
FieldErrors validate_update(const schema::Resource& resource, Value object, Value old);
// A change of a subresource: "status", and "approval", "ephemeralcontainers", "resize", "finalize" where the kind has it.
FieldErrors validate_subresource_update(const schema::Resource& resource, std::string_view subresource, Value object, Value old);

// What a kind's objects may be named.
NameRule name_rule(const schema::Resource& resource);

// autoscaling/v1 Scale, core/v1 Binding, policy/v1 Eviction, authentication/v1 TokenRequest: bodies of subresources.
FieldErrors validate_scale(Value scale);
FieldErrors validate_binding(Value binding);
FieldErrors validate_token_request(Value request);
FieldErrors validate_pod_log_options(Value options);
FieldErrors validate_delete_options(Value options);

// Guaranteed, Burstable or BestEffort, from what the containers request.
std::string_view pod_qos(Value pod);

}  // namespace kybern
