// Tracked flows (nf_conntrack, over ctnetlink): UDP has no end of connection, so a flow to a target that is gone would be
// translated to it for as long as its client keeps sending.
#pragma once

#include <cstddef>
#include <functional>

#include "base/result.h"
#include "proxy/rules/frontend.h"

namespace kybern::proxy {

struct Flow {
  FrontendKey original;  // what the client sent to
  Address answers_from;  // who answers: the target after translation
  std::uint16_t answers_port = 0;
};

// Forgets the UDP flows for which `stale` says so, in the network namespace of the calling thread; returns how many.
Result<std::size_t> forget_udp_flows(bool v6, const std::function<bool(const Flow&)>& stale);

}  // namespace kybern::proxy
