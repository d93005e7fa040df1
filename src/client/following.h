// A transport for programs that run longer than their credentials.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>

#include "base/result.h"
#include "client/transport.h"

namespace kybern::client {

// http_transport() with what `read` gives, which is asked again once a minute and when the server answers 401: a kubeconfig
// whose certificate was renewed needs no restart. What was read before stays while `read` fails. A call that
// waits to ask a busy server again ends with the server's answer when a stop is requested.
Result<std::unique_ptr<Transport>> following_transport(std::function<Result<HttpOptions>()> read, std::stop_token stop = {});

}  // namespace kybern::client
