// The answer to one question, from the index alone: Kubernetes DNS-Based Service Discovery, schema 1.1.0, with the details
// (weights, negative answers, reverse names) as the cluster DNS of upstream has them.
//
//   web.default.svc.cluster.local               A AAAA SRV      a service; SRV for all its ports
//   _http._tcp.web.default.svc.cluster.local    SRV A AAAA      a named port
//   db-0.db.default.svc.cluster.local           A AAAA SRV      an endpoint by hostname, or by 10-244-0-5
//   10-244-0-5.default.pod.cluster.local        A AAAA          a pod by address: its namespace has to exist, it does not
//   ext.default.svc.cluster.local               CNAME           type ExternalName; A and AAAA follow it
//   dns-version.cluster.local                   TXT             "1.1.0"
//   5.0.244.10.in-addr.arpa                     PTR             of cluster IPs and endpoints; others are forwarded
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "dns/answer/index.h"
#include "dns/answer/ip.h"

namespace kybern::dns {

// RFC 1035 and successors; other numbers are fine too.
enum class Type : std::uint16_t {
  a = 1,
  ns = 2,
  cname = 5,
  soa = 6,
  ptr = 12,
  hinfo = 13,
  mx = 15,
  txt = 16,
  aaaa = 28,
  srv = 33,
  opt = 41,
  ixfr = 251,
  axfr = 252,
  any = 255
};
enum class Rcode : std::uint8_t {
  no_error = 0,
  format_error = 1,
  server_failure = 2,
  name_error = 3,
  not_implemented = 4,
  refused = 5,
  bad_version = 16
};

struct Question {
  std::vector<std::string> labels;  // lower case, without the root
  Type type = Type::a;
};

struct SrvData {
  std::uint16_t priority = 0, weight = 0, port = 0;
  std::string target;
  friend bool operator==(const SrvData&, const SrvData&) = default;
};
struct NameData {
  std::string name;
  friend bool operator==(const NameData&, const NameData&) = default;
};  // CNAME, NS, PTR
struct TextData {
  std::string text;
  friend bool operator==(const TextData&, const TextData&) = default;
};
struct SoaData {
  std::string primary, mailbox;
  std::uint32_t serial = 0, refresh = 7200, retry = 1800, expire = 86400, minimum = 0;  // seconds
  friend bool operator==(const SoaData&, const SoaData&) = default;
};
struct Record {
  std::string owner;  // without a trailing dot; "" is the name asked for, as it was written
  Type type = Type::a;
  std::uint32_t ttl_s = 0;
  std::variant<Ip, SrvData, NameData, TextData, SoaData> data;
  friend bool operator==(const Record&, const Record&) = default;
};

struct Answer {
  Rcode rcode = Rcode::no_error;
  bool authoritative = false;
  bool forward = false;  // not ours: the upstream resolvers know
  std::string chase;     // the last CNAME leads here, outside the zone: the upstream's answer for it is to be added
  std::vector<Record> answers, authority, additional;
};

struct Zone {
  std::vector<std::string> labels;  // {"cluster", "local"}
  std::string name;                 // "cluster.local"
  std::uint32_t ttl_s = 30;
  std::string dns_service = "kube-system/kube-dns";  // its cluster IPs are those of the zone's name server
};
Zone make_zone(std::string_view domain, std::uint32_t ttl_s = 30);  // trailing dot and case do not matter

// `shuffle` turns the order of addresses, so that clients that take the first one spread out.
Answer answer(const Index& index, const Zone& zone, const Question& question, std::uint64_t shuffle);

}  // namespace kybern::dns
