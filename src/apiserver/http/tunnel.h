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
  enum class About { proxy, log, exec };  // what is asked for: it decides how a refusal is told. exec: attach too
  net::ClientOptions options;
  net::ClientRequest request;         // method, target, headers and body as the target is to see them
  bool plain_refusals = false;        // what cannot be reached is told as text, not as a Status
  std::optional<ProxyLinks> links{};  // links and redirects in answers are to lead back here
  About about = About::proxy;
  std::string pod{};  // whose log it is
};

// Sends the request on and gives its answer to the exchange as it comes. Works on a thread of its own, which ends when
// either side does. What cannot be reached is a Status that says so (`what` names it), a refusal of an upgrade is passed on;
// who runs something by the WebSocket protocol v5 hears of either on the error channel. What a kubelet says in place of a log
// is told as a Status.
void tunnel(TunnelTarget target, std::string what, std::shared_ptr<net::Exchange> exchange);

// Answers in place of an upgrade that the server behind did not make, which HttpClient::upgrade() told in these words: with its
// refusal, or that it cannot be reached.
void refuse_upgrade(net::Exchange& exchange, const std::string& why, const std::string& what);

// The headers of a request that go on to the next server: all but those of this connection and of the caller's identity.
net::Headers forwarded_headers(const net::Headers& headers, bool upgrade);
bool is_upgrade(const net::Request& request);

}  // namespace kybern::apiserver
