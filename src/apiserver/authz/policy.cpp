#include "apiserver/authz/authorizer.h"

namespace kybern::apiserver {

Result<void> reconcile_bootstrap_policy(Registry&, World) { return {}; }

}  // namespace kybern::apiserver
