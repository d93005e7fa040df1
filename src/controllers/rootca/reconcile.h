// The ConfigMap "kube-root-ca.crt" of every namespace: how pods verify the API server.
#pragma once

#include <string_view>

#include "controllers/plan.h"

namespace kybern::controllers::rootca {

inline constexpr std::string_view map_name = "kube-root-ca.crt";

Plan reconcile(const Document& ns, const Document& map, std::string_view ca_pem);

}  // namespace kybern::controllers::rootca
