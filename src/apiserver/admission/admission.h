// Admission: what is said about a write after it is authorized and before it is stored. The plug-ins run in a fixed
// order (upstream's), first those that change the object, then those that only judge. Webhooks and policies come after
// the built-in ones, and before the quotas; they see only requests (Work::dynamic), not what the server writes by itself.
#pragma once

#include "apiserver/registry/registry.h"

namespace kybern::apiserver {

ApiResult<void> admit_mutating(const AdmissionAttributes& attributes, Draft& object);
ApiResult<void> admit_validating(const AdmissionAttributes& attributes, Value object);
// Both, of a deletion: `before` is what goes.
ApiResult<void> admit_deletion(const AdmissionAttributes& attributes);
// Both, of a request whose body is another thing than the object that it leads to: Scale, Binding, Eviction, TokenRequest,
// the options of a CONNECT. Only webhooks and policies are asked; the writes that follow are then not theirs any more.
ApiResult<Document> admit_body(Work& work, std::string_view operation, std::string_view subresource, Document body, Value before = {});
// A stream to a pod, service or node: exec, attach, portforward, proxy.
ApiResult<void> admit_connect(Work& work);

}  // namespace kybern::apiserver
