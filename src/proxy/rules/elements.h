// The nftables elements of a frontend, and the fixed part of the tables, as nft text.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/rules/frontend.h"
#include "proxy/rules/services.h"

namespace kybern::proxy {

enum class SetId : std::uint8_t {
  services,
  endpoints,
  from_inside,
  from_outside,
  fresh,
  affine,
  masquerade,
  no_endpoints,
  fenced,
  allowed,
  hairpin,
  cluster_ips,
};
constexpr std::size_t set_count = 12;
std::string_view set_name(SetId id);

struct Element {
  SetId set;
  bool v6 = false;
  std::string key;
  std::string value;  // "" for a plain set
  friend auto operator<=>(const Element&, const Element&) = default;
};
// A chain of affinity (with the maps it needs) that is made when a frontend first refers to it.
struct Object {
  bool v6 = false;
  std::string name;
  std::string commands;
};

// Up to which number of targets the chains pick-N and local-N exist, by family (0: IPv4, 1: IPv6). They are made in blocks,
// and only together with the map that they look into: nft 1.0.6 cannot add a rule that refers to a map whose type is not
// a list of named types, once the map is in the kernel ("conflicting protocols specified").
struct Chains {
  static constexpr std::size_t block = 32;
  std::size_t pick[2] = {block, block}, local[2] = {block, block};
  friend bool operator==(const Chains&, const Chains&) = default;
};
void need_chains(const FrontendKey& key, const Frontend& frontend, Chains& chains);  // raises what is too low

void append_key(const FrontendKey& key, std::string& out);  // "10.96.0.10 . tcp . 80"

// Elements that belong to this frontend alone.
void elements_of(const FrontendKey& key, const Frontend& frontend, std::vector<Element>& out);
// Elements that several frontends may have in common.
void shared_elements_of(const FrontendKey& key, const Frontend& frontend, std::vector<Element>& out);
void objects_of(const FrontendKey& key, const Frontend& frontend, std::vector<Object>& out);

// "affinity-fd00...01-tcp-80": what the objects of an IPv6 frontend with affinity are named after.
std::string affinity_name(const FrontendKey& key);

// Everything in both tables that does not depend on services; replaces tables that are there.
std::string tables(const NodeInfo& node, const Chains& chains);

}  // namespace kybern::proxy
