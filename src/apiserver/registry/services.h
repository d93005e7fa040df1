// Cluster IPs and node ports. What is taken is read off the stored Services, so a restart neither leaks nor doubles one.
#pragma once

#include <bitset>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <unordered_map>

#include "apiserver/registry/registry.h"

namespace kybern::apiserver {

class ServiceAllocator {
 public:
  ServiceAllocator(Registry& registry, const RegistryOptions& options);

  // Fills spec.clusterIP, clusterIPs, ipFamilies and node ports of a new or changed Service. What it takes is held until
  // commit() or abandon() of the same work. Invalid when an asked one is taken or out of range.
  ApiResult<void> assign(Work& work, Draft& service, Value before);
  void commit(const Work& work, Value before, Value now);  // the service is stored (or deleted: `now` absent)
  void abandon(const Work& work);
  std::string first_ip() const;  // of the `kubernetes` Service
  const std::string& cidr() const { return cidr_; }
  std::string dns_ip() const;  // the tenth, by convention the cluster's DNS

 private:
  void load();
  std::string ip_text(std::uint32_t offset) const;
  std::optional<std::uint32_t> offset_of(std::string_view ip) const;
  ApiResult<void> assign_ip(Work& work, Draft& service, Value before);
  ApiResult<void> assign_ports(Work& work, Draft& service, Value before);
  ApiResult<void> hold_port(Work& work, const Draft& holder, std::string path, std::string_view protocol);

  Registry& registry_;
  std::string cidr_;
  std::uint32_t base_ = 0, size_ = 0;
  int low_, high_;
  std::mutex mutex_;
  bool loaded_ = false;
  std::unordered_map<std::string, int> ips_, ports_;                                 // how many services hold it (ports: "TCP/30080")
  std::unordered_map<const Work*, std::vector<std::pair<bool, std::string>>> held_;  // by works under way: (is_ip, text)
};

}  // namespace kybern::apiserver
