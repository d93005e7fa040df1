// A user as the API shows one: authentication.k8s.io/v1 UserInfo.
#pragma once

#include "apiserver/user.h"
#include "document/document.h"

namespace kybern::apiserver {

Draft user_info(const User& user);

}  // namespace kybern::apiserver
