// A transport for programs that run longer than their credentials.
#pragma once

#include <functional>
#include <memory>

#include "base/result.h"
#include "client/transport.h"

namespace kybern::client {

// http_transport() with what `read` gives, which is asked again once a minute and when the server answers 401: a kubeconfig
// whose certificate was renewed needs no restart. What was read before stays while `read` fails.
Result<std::unique_ptr<Transport>> following_transport(std::function<Result<HttpOptions>()> read);

}  // namespace kybern::client
