// The scale subresource (autoscaling/v1 Scale): the number of replicas of an object, wherever the object has it.
#pragma once

#include "apiserver/http/requests.h"

namespace kybern::apiserver {

// Where a kind has its numbers. Objects are in the form that they are served in.
struct ScaleShape {
  Document (*read)(const Work& work, Value object);  // its Scale, begun by scale_head()
  ApiResult<Draft> (*with_replicas)(Value object, std::int64_t replicas, const Work& work);
};
Draft scale_head(Value object);  // kind and metadata
// GET, PUT and PATCH, server-side apply too. `object`: what is stored now.
ApiResult<Answer> exchange_scale(SubresourceCall& call, Value object, const ScaleShape& shape);

ApiResult<Answer> built_in_scale(SubresourceCall& call);  // spec.replicas, status.replicas and spec.selector

}  // namespace kybern::apiserver
