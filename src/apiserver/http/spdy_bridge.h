// Clients that stream over SPDY/3.1 (kubectl before 1.31; port-forward of all, for newer ones inside a WebSocket), served
// by WebSockets to the kubelet: one for an exec or attach, one for each connection of a port-forward.
#pragma once

#include <memory>
#include <string>

#include "apiserver/http/tunnel.h"

namespace kybern::apiserver {

// Whether the request asks for SPDY, bare or tunnelled.
bool wants_spdy(const net::Request& request);

// Takes the exchange over. `target` names the kubelet's WebSocket endpoint: of an exec or attach as it is; of a port-forward
// without `port=`, which is added for each connection. `what` names it where it cannot be reached.
void bridge_spdy(TunnelTarget target, std::string what, bool port_forward, std::shared_ptr<net::Exchange> exchange);

}  // namespace kybern::apiserver
