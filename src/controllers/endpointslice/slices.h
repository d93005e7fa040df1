// How endpoints are spread over slices, with as few writes as possible. Shared by the EndpointSlices of Services and the
// mirrored ones of Endpoints.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "controllers/plan.h"

namespace kybern::controllers::endpointslice {

inline constexpr std::size_t endpoints_per_slice = 100;

// Endpoints of one address family, by the set of their ports.
struct Groups {
  struct Group {
    Document ports;
    std::vector<std::pair<std::string, Document>> wanted;  // by what makes an endpoint the same one; in the order of adding
  };
  std::map<std::string, Group> by_ports;
  void add(const Document& ports, Document endpoint);
};
std::string ports_key(Value ports);  // the same for any order of ports, and for none, null and []

// Whom the slices belong to, and what they all carry.
struct Owner {
  Document object, labels, annotations;
};
// `existing`: the slices there are, of this owner only. A family without endpoints keeps one empty slice; slices of
// families that are not named go. Creations first, deletions last.
std::vector<Action> reconcile_slices(const Owner& owner, const std::map<std::string, Groups>& families,
                                     const std::vector<Document>& existing);

}  // namespace kybern::controllers::endpointslice
