#include "dns/answer/index.h"

#include <algorithm>
#include <set>

#include "base/strings.h"

namespace kybern::dns {
namespace {

std::size_t part_of(std::size_t hash) { return (hash ^ hash >> 32 ^ hash >> 16) % Index::parts; }

Port port_of(std::string_view name, std::string_view protocol, std::int64_t number) {
  return {to_lower(name), protocol.empty() ? "tcp" : to_lower(protocol), static_cast<std::uint16_t>(number)};
}

std::vector<EndpointGroup> read_groups(const std::vector<api::discovery_v1::EndpointSlice>& slices) {
  std::vector<EndpointGroup> out;
  for (const auto& slice : slices) {
    if (slice.address_type() != "IPv4" && slice.address_type() != "IPv6") continue;
    EndpointGroup group;
    for (auto port : slice.ports()) {
      if (port.port()) group.ports.push_back(port_of(port.name().value_or(""), port.protocol().value_or("TCP"), *port.port()));
    }
    for (auto endpoint : slice.endpoints()) {
      if (!endpoint.conditions().ready().value_or(true)) continue;
      for (std::string_view text : endpoint.addresses()) {
        if (std::optional<Ip> ip = parse_ip(text)) group.endpoints.push_back({*ip, to_lower(endpoint.hostname().value_or(""))});
      }
    }
    if (!group.endpoints.empty()) out.push_back(std::move(group));
  }
  return out;
}

std::set<Ip> addresses(const Service& service) {
  std::set<Ip> out(service.ips.begin(), service.ips.end());
  for (const EndpointGroup& group : service.groups) {
    for (const Endpoint& endpoint : group.endpoints) out.insert(endpoint.ip);
  }
  return out;
}

}  // namespace

std::shared_ptr<const Service> read_service(api::core_v1::Service service, const std::vector<api::discovery_v1::EndpointSlice>& slices) {
  auto out = std::make_shared<Service>();
  out->ns = service.metadata().namespace_();
  out->name = service.metadata().name();
  const auto spec = service.spec();
  if (spec.type() == "ExternalName") {
    out->kind = Service::Kind::external;
    out->external_name = to_lower(spec.external_name());
    if (out->external_name.ends_with('.')) out->external_name.pop_back();
    // An address is no name: such a service has no record.
    if (out->external_name.empty() || parse_ip(out->external_name)) return nullptr;
    return out;
  }
  for (auto port : spec.ports()) out->ports.push_back(port_of(port.name(), port.protocol(), port.port()));
  out->groups = read_groups(slices);
  if (spec.cluster_ip() == "None") {
    out->kind = Service::Kind::headless;
    return out;
  }
  for (std::string_view text : spec.cluster_ips()) {
    if (std::optional<Ip> ip = parse_ip(text)) out->ips.push_back(*ip);
  }
  if (std::optional<Ip> ip = parse_ip(spec.cluster_ip()); ip && out->ips.empty()) out->ips.push_back(*ip);
  if (out->ips.empty()) return nullptr;
  return out;
}

const Service* Index::service(std::string_view ns, std::string_view name) const {
  std::string key;
  key.reserve(ns.size() + 1 + name.size());
  key.append(ns).append(1, '/').append(name);
  const auto& part = by_name_[part_of(TextHash()(key))];
  if (!part) return nullptr;
  auto found = part->find(key);
  return found == part->end() ? nullptr : found->second.get();
}

bool Index::has_namespace(std::string_view ns) const { return namespaces_ && namespaces_->contains(ns); }

std::vector<std::shared_ptr<const Service>> Index::at(const Ip& ip) const {
  const auto& part = by_ip_[part_of(IpHash()(ip))];
  if (!part) return {};
  auto found = part->find(ip);
  if (found == part->end()) return {};
  std::vector<std::shared_ptr<const Service>> out;
  std::ranges::copy_if(found->second, std::back_inserter(out),
                       [&](const auto& service) { return std::ranges::find(service->ips, ip) != service->ips.end(); });
  if (out.empty()) out = found->second;
  std::ranges::sort(out, {}, [](const auto& service) { return std::pair<std::string_view, std::string_view>(service->ns, service->name); });
  return out;
}

IndexWriter::IndexWriter(const Index& from) : next_(std::make_shared<Index>(from)) {}
IndexWriter::~IndexWriter() = default;

Index::Reverse& IndexWriter::ips(const Ip& ip) {
  const std::size_t part = part_of(IpHash()(ip));
  if (!own_ips_[part]) {
    own_ips_[part] = next_->by_ip_[part] ? std::make_shared<Index::Reverse>(*next_->by_ip_[part]) : std::make_shared<Index::Reverse>();
    next_->by_ip_[part] = own_ips_[part];
  }
  return *own_ips_[part];
}

void IndexWriter::link(const std::shared_ptr<const Service>& service, bool add) {
  for (const Ip& ip : addresses(*service)) {
    Index::Reverse& reverse = ips(ip);
    std::vector<std::shared_ptr<const Service>>& services = reverse[ip];
    if (add) services.push_back(service);
    else std::erase(services, service);
    if (services.empty()) reverse.erase(ip);
  }
}

void IndexWriter::put_service(const std::string& key, std::shared_ptr<const Service> service) {
  const std::size_t part = part_of(Index::TextHash()(key));
  if (!own_names_[part]) {
    own_names_[part] =
        next_->by_name_[part] ? std::make_shared<Index::Services>(*next_->by_name_[part]) : std::make_shared<Index::Services>();
    next_->by_name_[part] = own_names_[part];
  }
  Index::Services& services = *own_names_[part];
  if (auto found = services.find(key); found != services.end()) {
    link(found->second, false);
    services.erase(found);
    --next_->services_;
    changed_ = true;
  }
  if (!service) return;
  link(service, true);
  services.emplace(key, std::move(service));
  ++next_->services_;
  changed_ = true;
}

void IndexWriter::put_namespace(const std::string& name, bool exists) {
  if (next_->has_namespace(name) == exists) return;
  if (!own_namespaces_) {
    own_namespaces_ = next_->namespaces_ ? std::make_shared<Index::Namespaces>(*next_->namespaces_) : std::make_shared<Index::Namespaces>();
    next_->namespaces_ = own_namespaces_;
  }
  if (exists) own_namespaces_->insert(name);
  else own_namespaces_->erase(name);
  changed_ = true;
}

std::shared_ptr<const Index> IndexWriter::finish(bool synced, std::uint32_t serial) {
  next_->synced = synced;
  if (changed_ || next_->serial == 0) next_->serial = serial;
  for (std::size_t part = 0; part < Index::parts; ++part) {
    own_names_[part].reset();
    own_ips_[part].reset();
  }
  own_namespaces_.reset();
  return std::exchange(next_, nullptr);
}

}  // namespace kybern::dns
