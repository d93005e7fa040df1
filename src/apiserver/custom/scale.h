// GET, PUT and PATCH of .../scale of a custom resource.
#pragma once

#include "apiserver/http/requests.h"

namespace kybern::apiserver {

ApiResult<Answer> custom_scale(SubresourceCall& call);

}  // namespace kybern::apiserver
