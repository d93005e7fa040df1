// Bytes between a client's exchange and another server: a streamed answer, or both ways after an upgrade.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "apiserver/http/proxy_links.h"
#include "net/client.h"
#include "net/server.h"

namespace kybern::apiserver {

struct TunnelTarget {
  net::ClientOptions options;
  net::ClientRequest request;         // method, target, headers and body as the target is to see them
  bool plain_refusals = false;        // what cannot be reached is told as text, not as a Status
  std::optional<ProxyLinks> links{};  // links and redirects in answers are to lead back here
};

// Sends the request on and gives its answer to the exchange as it comes. Works on a thread of its own, which ends when
// either side does. What cannot be reached is a 503 (`what` names it), a refusal of an upgrade is passed on.
void tunnel(TunnelTarget target, std::string what, std::shared_ptr<net::Exchange> exchange);

// The headers of a request that go on to the next server: all but those of this connection and of the caller's identity.
net::Headers forwarded_headers(const net::Headers& headers, bool upgrade);
bool is_upgrade(const net::Request& request);

}  // namespace kybern::apiserver
