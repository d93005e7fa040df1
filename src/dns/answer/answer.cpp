#include "dns/answer/answer.h"

#include <algorithm>
#include <optional>
#include <span>

#include "base/strings.h"

namespace kybern::dns {
namespace {

constexpr std::string_view schema_version = "1.1.0";
constexpr std::uint32_t version_ttl_s = 28800;
constexpr int max_aliases = 8;  // ExternalName services that lead to one another

using Labels = std::span<const std::string>;

bool ends_with(Labels labels, Labels suffix) {
  return labels.size() >= suffix.size() && std::ranges::equal(labels.last(suffix.size()), suffix);
}

// The name below the zone, read from the right: svc | pod, namespace, service (or pod), and what is before it.
struct Request {
  bool pod = false;
  std::string_view ns, service, endpoint, port, protocol;
};

std::string_view without_underscore(std::string_view label) { return label.starts_with('_') ? label.substr(1) : label; }

std::optional<Request> parse(Labels labels) {
  Request out;
  const std::size_t count = labels.size();
  if (labels[count - 1] != "svc" && labels[count - 1] != "pod") return std::nullopt;
  out.pod = labels[count - 1] == "pod";
  if (count > 1) out.ns = labels[count - 2];
  if (count > 2) out.service = labels[count - 3];
  if (count == 4) out.endpoint = labels[0];
  if (count == 5) {
    out.port = without_underscore(labels[0]);
    out.protocol = without_underscore(labels[1]);
  }
  if (count > 5 || (out.pod && count > 3)) return std::nullopt;
  return out;
}

// One address (with one port) that a name stands for.
struct Hit {
  Ip ip;
  std::uint32_t port = 0;  // 0: none
  std::string target;      // the name SRV records lead to
};

struct Found {
  bool exists = false;
  std::vector<Hit> hits;
  std::string alias;  // of type ExternalName
};

class Lookup {
 public:
  Lookup(const Index& index, const Zone& zone, std::uint64_t shuffle) : index_(index), zone_(zone), shuffle_(shuffle) {}

  Answer run(const Question& question) {
    const Labels labels(question.labels);
    if (!ends_with(labels, zone_.labels)) {
      reverse(question);
      return std::move(out_);
    }
    out_.authoritative = true;
    if (!index_.synced) {
      out_.authoritative = false;
      out_.rcode = Rcode::server_failure;
      return std::move(out_);
    }
    in_zone(labels.first(labels.size() - zone_.labels.size()), question.type);
    return std::move(out_);
  }

 private:
  const Index& index_;
  const Zone& zone_;
  const std::uint64_t shuffle_;
  Answer out_;

  void in_zone(Labels below, Type type) {
    if (below.empty()) return apex(type);
    const std::string_view last = below.back();
    if (below.size() == 1 && last == "dns-version") {
      if (type == Type::txt) add({"", Type::txt, version_ttl_s, TextData{std::string(schema_version)}});
      return negative(Rcode::no_error);
    }
    if (last == "dns" && (below.size() == 1 || (below.size() == 2 && below[0] == "ns"))) {
      if (below.size() == 2) name_server_addresses("", type, out_.answers);
      return negative(Rcode::no_error);
    }
    const std::optional<Request> request = parse(below);
    if (!request) return negative(Rcode::name_error);
    if (request->ns.empty()) return negative(Rcode::no_error);
    if (!index_.has_namespace(request->ns)) return negative(Rcode::name_error);
    if (request->service.empty()) return negative(Rcode::no_error);
    const Found found = request->pod ? find_pod(*request) : find_service(*request);
    if (!found.exists) return negative(Rcode::name_error);
    if (!found.alias.empty()) return alias(found.alias, type);
    records(found.hits, type);
    negative(Rcode::no_error);
  }

  // Without an answer the SOA record tells for how long that may be believed (RFC 2308).
  void negative(Rcode rcode) {
    if (!out_.answers.empty()) return;
    out_.rcode = rcode;
    out_.authority.push_back(soa());
  }

  Record soa() const {
    SoaData data{"ns.dns." + zone_.name, "hostmaster." + zone_.name, index_.serial, 7200, 1800, 86400, zone_.ttl_s};
    return {zone_.name, Type::soa, zone_.ttl_s, data};
  }

  void add(Record record) { push(out_.answers, std::move(record)); }
  static void push(std::vector<Record>& records, Record record) {
    if (std::ranges::find(records, record) == records.end()) records.push_back(std::move(record));
  }

  void apex(Type type) {
    if (type == Type::soa) add(soa());
    if (type == Type::ns) {
      const std::string server = "ns.dns." + zone_.name;
      add({"", Type::ns, zone_.ttl_s, NameData{server}});
      name_server_addresses(server, Type::a, out_.additional);
      name_server_addresses(server, Type::aaaa, out_.additional);
    }
    negative(Rcode::no_error);
  }

  void name_server_addresses(const std::string& owner, Type type, std::vector<Record>& records) const {
    const std::size_t slash = zone_.dns_service.find('/');
    const Service* service = index_.service(zone_.dns_service.substr(0, slash), zone_.dns_service.substr(slash + 1));
    if (service == nullptr || (type != Type::a && type != Type::aaaa)) return;
    for (const Ip& ip : service->ips) {
      if (ip.v6 == (type == Type::aaaa)) push(records, {owner, type, zone_.ttl_s, ip});
    }
  }

  std::string name_of(const Service& service) const { return service.name + "." + service.ns + ".svc." + zone_.name; }

  Found find_pod(const Request& request) const {
    const std::optional<Ip> ip = parse_dashed(request.service);
    if (!ip) return {};
    return {true, {{*ip, 0, {}}}, {}};
  }

  static bool matches(const Request& request, const Port& port) {
    return (request.port.empty() || request.port == port.name) && (request.protocol.empty() || request.protocol == port.protocol);
  }

  Found find_service(const Request& request) const {
    const Service* service = index_.service(request.ns, request.service);
    if (service == nullptr) return {};
    if (service->kind == Service::Kind::external) {
      // A port in the name is not looked at; an endpoint there cannot be.
      return request.endpoint.empty() ? Found{true, {}, service->external_name} : Found{};
    }
    if (service->kind == Service::Kind::headless || !request.endpoint.empty()) return find_endpoints(request, *service);
    Found out;
    for (const Port& port : service->ports) {
      if (!matches(request, port)) continue;
      out.exists = true;
      for (const Ip& ip : service->ips) out.hits.push_back({ip, port.number, name_of(*service)});
    }
    return out;
  }

  Found find_endpoints(const Request& request, const Service& service) const {
    static const std::vector<Port> no_ports(1);  // endpoints without ports have addresses all the same
    Found out;
    const std::string name = name_of(service);
    for (const EndpointGroup& group : service.groups) {
      for (const Endpoint& endpoint : group.endpoints) {
        const std::string label = endpoint.label();
        if (!request.endpoint.empty() && label != request.endpoint) continue;
        for (const Port& port : group.ports.empty() ? no_ports : group.ports) {
          if (matches(request, port)) out.hits.push_back({endpoint.ip, port.number, label + "." + name});
        }
      }
    }
    out.exists = !out.hits.empty();
    return out;
  }

  void records(const std::vector<Hit>& hits, Type type) {
    if (type == Type::a || type == Type::aaaa) addresses(hits, "", type);
    if (type == Type::srv) servers(hits);
  }

  void addresses(const std::vector<Hit>& hits, const std::string& owner, Type type) {
    std::vector<Ip> ips;
    for (const Hit& hit : hits) {
      if (hit.ip.v6 == (type == Type::aaaa)) ips.push_back(hit.ip);
    }
    std::ranges::sort(ips);
    ips.erase(std::unique(ips.begin(), ips.end()), ips.end());
    // Any one may come first; the rest follows in its order, which costs one random number and no more.
    if (ips.size() > 1) std::rotate(ips.begin(), ips.begin() + static_cast<std::ptrdiff_t>(shuffle_ % ips.size()), ips.end());
    for (const Ip& ip : ips) out_.answers.push_back({owner, type, zone_.ttl_s, ip});
  }

  // All weigh the same: 100 over their number, at least 1. With two addresses a service counts twice.
  void servers(const std::vector<Hit>& hits) {
    if (hits.empty()) return;
    const std::uint16_t weight = static_cast<std::uint16_t>(std::max<std::size_t>(1, 100 / hits.size()));
    for (const Hit& hit : hits) {
      if (hit.port == 0) continue;
      add({"", Type::srv, zone_.ttl_s, SrvData{0, weight, static_cast<std::uint16_t>(hit.port), hit.target}});
      push(out_.additional, {hit.target, hit.ip.v6 ? Type::aaaa : Type::a, zone_.ttl_s, hit.ip});
    }
  }

  // Follows a CNAME as long as it stays in the zone.
  void alias(std::string target, Type type) {
    if (type != Type::a && type != Type::aaaa && type != Type::cname) return negative(Rcode::no_error);
    std::string owner;
    for (int i = 0; i < max_aliases; ++i) {
      add({owner, Type::cname, zone_.ttl_s, NameData{target}});
      if (type == Type::cname) return;
      std::vector<std::string> labels;
      for (std::string_view label : split(target, '.')) labels.emplace_back(label);
      if (!ends_with(labels, zone_.labels)) {
        out_.chase = target;
        return;
      }
      const Labels below = Labels(labels).first(labels.size() - zone_.labels.size());
      const std::optional<Request> request = below.empty() ? std::nullopt : parse(below);
      const bool known = request && !request->service.empty() && index_.has_namespace(request->ns);
      const Found found = !known ? Found{} : request->pod ? find_pod(*request) : find_service(*request);
      if (!found.exists) {
        out_.rcode = Rcode::name_error;
        out_.authority.push_back(soa());
        return;
      }
      owner = target;
      if (found.alias.empty()) {
        const std::size_t before = out_.answers.size();
        addresses(found.hits, owner, type);
        if (out_.answers.size() == before) out_.authority.push_back(soa());
        return;
      }
      target = found.alias;
    }
    out_.answers.clear();
    out_.rcode = Rcode::server_failure;
  }

  void reverse(const Question& question) {
    const std::optional<Ip> ip = question.type == Type::ptr ? parse_reverse(question.labels) : std::nullopt;
    if (!ip || !index_.synced) {
      out_.forward = true;
      return;
    }
    for (const auto& service : index_.at(*ip)) {
      if (std::ranges::find(service->ips, *ip) != service->ips.end()) {
        add({"", Type::ptr, zone_.ttl_s, NameData{name_of(*service)}});
        break;  // a cluster IP has one name
      }
      for (const EndpointGroup& group : service->groups) {
        for (const Endpoint& endpoint : group.endpoints) {
          if (endpoint.ip == *ip) add({"", Type::ptr, zone_.ttl_s, NameData{endpoint.label() + "." + name_of(*service)}});
        }
      }
    }
    out_.forward = out_.answers.empty();
    out_.authoritative = !out_.forward;
  }
};

}  // namespace

Zone make_zone(std::string_view domain, std::uint32_t ttl_s) {
  Zone out;
  out.ttl_s = ttl_s;
  if (domain.ends_with('.')) domain.remove_suffix(1);
  out.name = to_lower(domain);
  for (std::string_view label : split(out.name, '.')) out.labels.emplace_back(label);
  return out;
}

Answer answer(const Index& index, const Zone& zone, const Question& question, std::uint64_t shuffle) {
  return Lookup(index, zone, shuffle).run(question);
}

}  // namespace kybern::dns
