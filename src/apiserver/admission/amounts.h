// Amounts by name, as limits and quotas count them (machinery/quota/usage.h).
#pragma once

#include "machinery/quota/usage.h"

namespace kybern::apiserver::admission {

using quota::add;
using quota::Amounts;
using quota::amounts_of;
using quota::amounts_of_pod;
using quota::raise;

}  // namespace kybern::apiserver::admission
