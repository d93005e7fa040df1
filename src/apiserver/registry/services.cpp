#include "apiserver/registry/services.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include "base/check.h"
#include "base/strings.h"
#include "machinery/names.h"

namespace kybern::apiserver {
namespace {

constexpr std::uint32_t static_band_max = 256;  // the lower part of the range is left to those who ask for an address (KEP-3070)

std::optional<std::uint32_t> ipv4(std::string_view text) {
  in_addr a;
  if (inet_pton(AF_INET, std::string(text).c_str(), &a) != 1) return std::nullopt;
  return ntohl(a.s_addr);
}

bool wants_ip(std::string_view type) { return type == "ClusterIP" || type == "NodePort" || type == "LoadBalancer" || type.empty(); }
bool wants_ports(const Draft& service) {
  const Draft* type = service.find_path({"spec", "type"});
  if (!type) return false;
  if (type->as_string() == "NodePort") return true;
  if (type->as_string() != "LoadBalancer") return false;
  const Draft* flag = service.find_path({"spec", "allocateLoadBalancerNodePorts"});
  return !flag || flag->as_bool(true);
}

std::string port_key(std::string_view protocol, std::int64_t port) {
  return fmt::format("{}/{}", protocol.empty() ? "TCP" : protocol, port);
}

}  // namespace

ServiceAllocator::ServiceAllocator(Registry& registry, const RegistryOptions& options)
    : registry_(registry), cidr_(options.service_cidr), low_(options.node_port_low), high_(options.node_port_high) {
  auto slash = cidr_.find('/');
  auto base = ipv4(std::string_view(cidr_).substr(0, slash));
  auto bits = slash == std::string::npos ? std::nullopt : parse_int(std::string_view(cidr_).substr(slash + 1));
  KYBERN_CHECK(base && bits && *bits >= 8 && *bits <= 30, "the service range is an IPv4 CIDR of /8 to /30, checked with the flags");
  size_ = 1u << (32 - *bits);
  base_ = *base & ~(size_ - 1);
}

std::string ServiceAllocator::ip_text(std::uint32_t offset) const {
  std::uint32_t a = base_ + offset;
  return fmt::format("{}.{}.{}.{}", a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255);
}
std::optional<std::uint32_t> ServiceAllocator::offset_of(std::string_view ip) const {
  auto a = ipv4(ip);
  if (!a || *a < base_ || *a >= base_ + size_) return std::nullopt;
  return *a - base_;
}
std::string ServiceAllocator::first_ip() const { return ip_text(1); }
std::string ServiceAllocator::dns_ip() const { return ip_text(size_ > 10 ? 10 : 2); }

// Once, with the lock: what the stored services hold.
void ServiceAllocator::load() {
  if (loaded_) return;
  loaded_ = true;
  registry_.each("", "v1", "services", "", [&](Value service) {
    for (Value ip : service["spec"]["clusterIPs"].items())
      if (ip.as_string() != "None") ++ips_[ip.str()];
    for (Value port : service["spec"]["ports"].items())
      if (port["nodePort"].as_int()) ++ports_[port_key(port["protocol"].as_string(), port["nodePort"].as_int())];
    if (std::int64_t check = service["spec"]["healthCheckNodePort"].as_int()) ++ports_[port_key("TCP", check)];
    return true;
  });
}

ApiResult<void> ServiceAllocator::assign(Work& work, Draft& service, Value before) {
  std::lock_guard lock(mutex_);
  load();
  auto undo = [&](ApiResult<void> result) {
    if (!result || work.dry_run) {
      for (auto& [is_ip, text] : held_[&work]) {
        auto& map = is_ip ? ips_ : ports_;
        if (--map[text] <= 0) map.erase(text);
      }
      held_.erase(&work);
    }
    return result;
  };
  if (auto ok = assign_ip(work, service, before); !ok) return undo(std::move(ok));
  return undo(assign_ports(work, service, before));
}

ApiResult<void> ServiceAllocator::assign_ip(Work& work, Draft& service, Value before) {
  Draft& spec = service["spec"];
  std::string type(spec["type"].as_string());
  if (!wants_ip(type)) {
    // What the service had while it was of another type goes by itself; what the request sets is validation's to refuse.
    const Draft* given = spec.find("clusterIP");
    bool kept = given && !given->as_string().empty() && !(before.exists() && given->as_string() == before["spec"]["clusterIP"].as_string());
    if (kept && !(spec.find("clusterIPs") && spec["clusterIPs"].size() > 0)) spec["clusterIPs"] = Draft::array({Draft(*given)});
    if (!kept)
      for (std::string_view field : {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"}) spec.erase(field);
    return {};
  }
  std::string old_ip(before["spec"]["clusterIP"].as_string());
  const Draft* given = spec.find("clusterIP");
  std::string ip(given ? given->as_string() : "");
  if (ip.empty() && spec.find("clusterIPs") && spec["clusterIPs"].size() > 0) ip = spec["clusterIPs"].items()[0].as_string();
  if (ip.empty() && !old_ip.empty() && wants_ip(before["spec"]["type"].as_string())) ip = old_ip;
  if (ip.empty()) {
    std::uint32_t band = std::min(static_band_max, size_ / 16 > 16 ? size_ / 16 : std::min(16u, size_ / 2));
    std::uint32_t first = std::max<std::uint32_t>(band, 1), last = size_ - 2;
    bool found = false;
    // A random start over the upper band, then whatever is free.
    std::uint32_t span = last > first ? last - first + 1 : 1;
    std::uint32_t start = static_cast<std::uint32_t>(work.world.random.next() % span);
    for (std::uint32_t i = 0; i < span && !found; ++i) {
      ip = ip_text(first + (start + i) % span);
      found = !ips_.contains(ip);
    }
    for (std::uint32_t offset = 1; offset < first && !found; ++offset) {
      ip = ip_text(offset);
      found = !ips_.contains(ip);
    }
    if (!found) return fail(internal_error("failed to allocate a serviceIP: range is full"));
  } else if (ip != "None" && ip != old_ip) {
    auto offset = offset_of(ip);
    std::string why;
    names::Family family = names::ip_family(ip);
    bool odd = family == names::Family::ipv4 && names::canonical_ip(ip) != ip;  // 010.0.0.1, ::ffff:10.0.0.1
    if (odd || family == names::Family::none) {
      if (!spec.find("clusterIPs") || spec["clusterIPs"].size() == 0) spec["clusterIPs"] = Draft::array({ip});
      return {};  // validation says what is wrong
    }
    if (!offset) why = fmt::format("failed to allocate IP {}: the provided network does not match the current range", ip);
    else if (*offset == 0 || *offset == size_ - 1)
      why = fmt::format("failed to allocate IP {0}: the provided IP ({0}) is not in the valid range. The range of valid IPs is {1}", ip,
                        cidr_);
    else if (ips_.contains(ip)) why = fmt::format("failed to allocate IP {}: provided IP is already allocated", ip);
    if (!why.empty()) {
      FieldErrors errors{{FieldError::Type::invalid, "spec.clusterIPs", fmt::format("[{}]", go_quote(ip)), why}};
      return fail(invalid("", "Service", work.name, errors));
    }
  }
  if (ip != "None" && ip != old_ip) {
    ++ips_[ip];
    held_[&work].emplace_back(true, ip);
  }
  spec["clusterIP"] = ip;
  spec["clusterIPs"] = Draft::array({ip});
  if (!spec.find("ipFamilies") || spec["ipFamilies"].size() == 0) spec["ipFamilies"] = Draft::array({"IPv4"});
  if (!spec.find("ipFamilyPolicy") || spec["ipFamilyPolicy"].as_string().empty()) spec["ipFamilyPolicy"] = "SingleStack";
  return {};
}

ApiResult<void> ServiceAllocator::hold_port(Work& work, const Draft& holder, std::string path, std::string_view protocol) {
  std::int64_t port = holder.as_int();
  std::string key = port_key(protocol, port);
  if (port < low_ || port > high_) {
    FieldErrors errors{{FieldError::Type::invalid, path, std::to_string(port),
                        fmt::format("provided port is not in the valid range. The range of valid ports is {}-{}", low_, high_)}};
    return fail(invalid("", "Service", work.name, errors));
  }
  if (ports_.contains(key)) {
    FieldErrors errors{{FieldError::Type::invalid, path, std::to_string(port), "provided port is already allocated"}};
    return fail(invalid("", "Service", work.name, errors));
  }
  ++ports_[key];
  held_[&work].emplace_back(false, key);
  return {};
}

ApiResult<void> ServiceAllocator::assign_ports(Work& work, Draft& service, Value before) {
  Draft* ports = service.find_path({"spec", "ports"});
  if (!ports || !ports->is_array()) return {};
  std::set<std::string> ours;  // of the service as it was: they may stay
  for (Value p : before["spec"]["ports"].items())
    if (p["nodePort"].as_int()) ours.insert(port_key(p["protocol"].as_string(), p["nodePort"].as_int()));
  bool wanted = wants_ports(service);
  std::set<std::pair<std::int64_t, std::string>> seen;
  std::size_t index = 0;
  for (Draft& port : ports->items()) {
    std::string path = fmt::format("spec.ports[{}].nodePort", index++);
    std::string protocol(port["protocol"].as_string());
    Draft* node_port = port.find("nodePort");
    if (node_port && node_port->as_int()) {
      std::string key = port_key(protocol, node_port->as_int());
      if (ours.contains(key) || !seen.insert({node_port->as_int(), protocol}).second) continue;
      if (!wanted && service["spec"]["type"].as_string() != "LoadBalancer") continue;  // validation refuses it
      if (auto ok = hold_port(work, *node_port, path, protocol); !ok) return ok;
      continue;
    }
    if (!wanted) continue;
    // The port of the same place before is kept; the same number may serve another protocol of the service.
    for (Value old : before["spec"]["ports"].items())
      if (old["port"].as_int() == port["port"].as_int() && old["protocol"].as_string() == protocol && old["nodePort"].as_int()) {
        port["nodePort"] = old["nodePort"].as_int();
        seen.insert({old["nodePort"].as_int(), protocol});
      }
    if (port["nodePort"].as_int()) continue;
    for (const auto& [number, other] : seen)
      if (other != protocol && !ports_.contains(port_key(protocol, number)) && !seen.contains({number, protocol})) {
        port["nodePort"] = number;
        break;
      }
    int span = high_ - low_ + 1, start = static_cast<int>(work.world.random.next() % static_cast<unsigned>(span));
    for (int i = 0; i < span && port["nodePort"].as_int() == 0; ++i) {
      int candidate = low_ + (start + i) % span;
      if (!ports_.contains(port_key(protocol, candidate)) && !seen.contains({candidate, protocol})) port["nodePort"] = candidate;
    }
    if (port["nodePort"].as_int() == 0) return fail(internal_error("failed to allocate a nodePort: range is full"));
    std::string key = port_key(protocol, port["nodePort"].as_int());
    ++ports_[key];
    held_[&work].emplace_back(false, key);
    seen.insert({port["nodePort"].as_int(), protocol});
  }
  return {};
}

void ServiceAllocator::commit(const Work& work, Value before, Value now) {
  std::lock_guard lock(mutex_);
  held_.erase(&work);  // what it took is the service's now
  if (!loaded_) return;
  std::set<std::string> kept;
  for (Value ip : now["spec"]["clusterIPs"].items()) kept.insert(ip.str());
  for (Value ip : before["spec"]["clusterIPs"].items())
    if (ip.as_string() != "None" && !kept.contains(ip.str()) && --ips_[ip.str()] <= 0) ips_.erase(ip.str());
  kept.clear();
  for (Value p : now["spec"]["ports"].items()) kept.insert(port_key(p["protocol"].as_string(), p["nodePort"].as_int()));
  for (Value p : before["spec"]["ports"].items()) {
    std::string key = port_key(p["protocol"].as_string(), p["nodePort"].as_int());
    if (p["nodePort"].as_int() && !kept.contains(key) && --ports_[key] <= 0) ports_.erase(key);
  }
}

void ServiceAllocator::abandon(const Work& work) {
  std::lock_guard lock(mutex_);
  auto found = held_.find(&work);
  if (found == held_.end()) return;
  for (auto& [is_ip, text] : found->second) {
    auto& map = is_ip ? ips_ : ports_;
    if (--map[text] <= 0) map.erase(text);
  }
  held_.erase(found);
}

}  // namespace kybern::apiserver
