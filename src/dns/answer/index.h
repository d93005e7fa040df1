// What the cluster zone is answered from: immutable, shared between the thread that answers and the one that makes the next
// version. A new version copies only the parts (1 of 256) that changed.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "api/core_v1.h"
#include "api/discovery_v1.h"
#include "dns/answer/ip.h"

namespace kybern::dns {

struct Port {
  std::string name, protocol;  // lower case; name may be empty
  std::uint16_t number = 0;
};
struct Endpoint {
  Ip ip;
  std::string hostname;  // spec.hostname of the pod; "" for none
  std::string label() const { return hostname.empty() ? ip.dashed() : hostname; }
};
struct EndpointGroup {  // of one slice: its endpoints all have the same ports
  std::vector<Port> ports;
  std::vector<Endpoint> endpoints;  // ready ones (or all, when the service publishes those that are not)
};
struct Service {
  enum class Kind : std::uint8_t { cluster_ip, headless, external };
  Kind kind = Kind::cluster_ip;
  std::string ns, name;
  std::vector<Ip> ips;
  std::vector<Port> ports;
  std::string external_name;  // of external: without a trailing dot
  std::vector<EndpointGroup> groups;
};

// The records of one service; null when it has none (no cluster IP yet).
std::shared_ptr<const Service> read_service(api::core_v1::Service service, const std::vector<api::discovery_v1::EndpointSlice>& slices);

class Index {
 public:
  static constexpr std::size_t parts = 256;

  const Service* service(std::string_view ns, std::string_view name) const;
  bool has_namespace(std::string_view ns) const;
  // The services one of whose cluster IPs, or else one of whose endpoints, this is. In the order of their keys.
  std::vector<std::shared_ptr<const Service>> at(const Ip& ip) const;
  std::size_t services() const { return services_; }

  bool synced = false;       // everything has been read once; before, the zone is not answered
  std::uint32_t serial = 0;  // of the SOA record: seconds since 1970 of the last change

 private:
  friend class IndexWriter;
  struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  using Services = std::unordered_map<std::string, std::shared_ptr<const Service>, TextHash, std::equal_to<>>;
  using Reverse = std::unordered_map<Ip, std::vector<std::shared_ptr<const Service>>, IpHash>;
  using Namespaces = std::unordered_set<std::string, TextHash, std::equal_to<>>;
  std::array<std::shared_ptr<const Services>, parts> by_name_;
  std::array<std::shared_ptr<const Reverse>, parts> by_ip_;
  std::shared_ptr<const Namespaces> namespaces_;
  std::size_t services_ = 0;
};

// Makes the next version from one.
class IndexWriter {
 public:
  explicit IndexWriter(const Index& from);
  ~IndexWriter();
  void put_service(const std::string& key, std::shared_ptr<const Service> service);  // "namespace/name"; null removes
  void put_namespace(const std::string& name, bool exists);
  // `serial` is taken when something changed.
  std::shared_ptr<const Index> finish(bool synced, std::uint32_t serial);

 private:
  std::shared_ptr<Index> next_;
  std::array<std::shared_ptr<Index::Services>, Index::parts> own_names_;
  std::array<std::shared_ptr<Index::Reverse>, Index::parts> own_ips_;
  std::shared_ptr<Index::Namespaces> own_namespaces_;
  bool changed_ = false;
  Index::Reverse& ips(const Ip& ip);
  void link(const std::shared_ptr<const Service>& service, bool add);
};

}  // namespace kybern::dns
