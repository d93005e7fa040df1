#include "dns/answer/answer.h"

#include <gtest/gtest.h>

#include <set>

#include "dns/test_cluster.h"

namespace kybern::dns {
namespace {

struct Row {
  const char* name;
  Type type;
  const char* expected;
};

const Row rows[] = {
    // services
    {"web.default.svc.cluster.local", Type::a, "NOERROR; @ 30 A 10.96.0.1"},
    {"WEB.Default.SVC.cluster.LOCAL.", Type::a, "NOERROR; @ 30 A 10.96.0.1"},
    {"web.default.svc.cluster.local", Type::aaaa, "NOERROR; -"},
    {"web.default.svc.cluster.local", Type::mx, "NOERROR; -"},
    {"web.default.svc.cluster.local", Type::txt, "NOERROR; -"},
    {"web.default.svc.cluster.local", Type::any, "NOERROR; -"},
    {"web.default.svc.cluster.local", Type::soa, "NOERROR; -"},
    {"six.default.svc.cluster.local", Type::aaaa, "NOERROR; @ 30 AAAA fd00::6"},
    {"six.default.svc.cluster.local", Type::a, "NOERROR; -"},
    {"dual.default.svc.cluster.local", Type::a, "NOERROR; @ 30 A 10.96.0.3"},
    {"dual.default.svc.cluster.local", Type::aaaa, "NOERROR; @ 30 AAAA fd00::3"},
    {"gone.default.svc.cluster.local", Type::a, "NXDOMAIN; -"},
    {"web.gone.svc.cluster.local", Type::a, "NXDOMAIN; -"},
    {"pending.default.svc.cluster.local", Type::a, "NXDOMAIN; -"},
    {"web.empty.svc.cluster.local", Type::a, "NXDOMAIN; -"},
    // ports
    {"_http._tcp.web.default.svc.cluster.local", Type::srv,
     "NOERROR; @ 30 SRV 0 100 80 web.default.svc.cluster.local; + web.default.svc.cluster.local 30 A 10.96.0.1"},
    {"http.tcp.web.default.svc.cluster.local", Type::srv,
     "NOERROR; @ 30 SRV 0 100 80 web.default.svc.cluster.local; + web.default.svc.cluster.local 30 A 10.96.0.1"},
    {"_http._udp.web.default.svc.cluster.local", Type::srv, "NXDOMAIN; -"},
    {"_gone._tcp.web.default.svc.cluster.local", Type::srv, "NXDOMAIN; -"},
    {"_http._tcp.web.default.svc.cluster.local", Type::a, "NOERROR; @ 30 A 10.96.0.1"},
    {"web.default.svc.cluster.local", Type::srv,
     "NOERROR; @ 30 SRV 0 50 80 web.default.svc.cluster.local; @ 30 SRV 0 50 9090 web.default.svc.cluster.local; "
     "+ web.default.svc.cluster.local 30 A 10.96.0.1"},
    {"dual.default.svc.cluster.local", Type::srv,
     "NOERROR; @ 30 SRV 0 50 80 dual.default.svc.cluster.local; + dual.default.svc.cluster.local 30 A 10.96.0.3; "
     "+ dual.default.svc.cluster.local 30 AAAA fd00::3"},
    {"x._http._tcp.web.default.svc.cluster.local", Type::srv, "NXDOMAIN; -"},
    // headless
    {"db.default.svc.cluster.local", Type::a, "NOERROR; @ 30 A 10.244.0.5; @ 30 A 10.244.0.7"},
    {"db.default.svc.cluster.local", Type::aaaa, "NOERROR; @ 30 AAAA fd01::5; @ 30 AAAA fd01::7"},
    {"db-0.db.default.svc.cluster.local", Type::a, "NOERROR; @ 30 A 10.244.0.5"},
    {"db-0.db.default.svc.cluster.local", Type::aaaa, "NOERROR; @ 30 AAAA fd01::5"},
    {"db-1.db.default.svc.cluster.local", Type::a, "NXDOMAIN; -"},
    {"10-244-0-7.db.default.svc.cluster.local", Type::a, "NOERROR; @ 30 A 10.244.0.7"},
    {"10-244-0-5.db.default.svc.cluster.local", Type::a, "NXDOMAIN; -"},
    {"fd01--7.db.default.svc.cluster.local", Type::aaaa, "NOERROR; @ 30 AAAA fd01::7"},
    {"_sql._tcp.db.default.svc.cluster.local", Type::srv,
     "NOERROR; @ 30 SRV 0 25 5432 db-0.db.default.svc.cluster.local; @ 30 SRV 0 25 5432 10-244-0-7.db.default.svc.cluster.local; "
     "@ 30 SRV 0 25 5432 fd01--7.db.default.svc.cluster.local; "
     "+ db-0.db.default.svc.cluster.local 30 A 10.244.0.5; + 10-244-0-7.db.default.svc.cluster.local 30 A 10.244.0.7; "
     "+ db-0.db.default.svc.cluster.local 30 AAAA fd01::5; + fd01--7.db.default.svc.cluster.local 30 AAAA fd01::7"},
    {"nobody.default.svc.cluster.local", Type::a, "NXDOMAIN; -"},
    {"portless.default.svc.cluster.local", Type::a, "NOERROR; @ 30 A 10.244.0.20"},
    {"portless.default.svc.cluster.local", Type::srv, "NOERROR; -"},
    {"10-244-0-9.web.default.svc.cluster.local", Type::a, "NOERROR; @ 30 A 10.244.0.9"},
    // pods
    {"10-244-0-5.default.pod.cluster.local", Type::a, "NOERROR; @ 30 A 10.244.0.5"},
    {"1-2-3-4.default.pod.cluster.local", Type::a, "NOERROR; @ 30 A 1.2.3.4"},
    {"1-2-3-4.default.pod.cluster.local", Type::aaaa, "NOERROR; -"},
    {"fd01--5.default.pod.cluster.local", Type::aaaa, "NOERROR; @ 30 AAAA fd01::5"},
    {"1-2-3-4.gone.pod.cluster.local", Type::a, "NXDOMAIN; -"},
    {"1-2-3.default.pod.cluster.local", Type::a, "NXDOMAIN; -"},
    {"1-2-3-400.default.pod.cluster.local", Type::a, "NXDOMAIN; -"},
    {"x.1-2-3-4.default.pod.cluster.local", Type::a, "NXDOMAIN; -"},
    // names in between exist, without records
    {"cluster.local", Type::a, "NOERROR; -"},
    {"svc.cluster.local", Type::a, "NOERROR; -"},
    {"pod.cluster.local", Type::a, "NOERROR; -"},
    {"default.svc.cluster.local", Type::a, "NOERROR; -"},
    {"empty.svc.cluster.local", Type::ns, "NOERROR; -"},
    {"default.pod.cluster.local", Type::a, "NOERROR; -"},
    {"gone.svc.cluster.local", Type::a, "NXDOMAIN; -"},
    {"foo.cluster.local", Type::a, "NXDOMAIN; -"},
    // external names
    {"ext.default.svc.cluster.local", Type::cname, "NOERROR; @ 30 CNAME www.example.com"},
    {"ext.default.svc.cluster.local", Type::a, "NOERROR; @ 30 CNAME www.example.com; chase www.example.com"},
    {"ext.default.svc.cluster.local", Type::srv, "NOERROR; -"},
    {"x.ext.default.svc.cluster.local", Type::cname, "NXDOMAIN; -"},
    {"ext-web.default.svc.cluster.local", Type::a,
     "NOERROR; @ 30 CNAME web.default.svc.cluster.local; web.default.svc.cluster.local 30 A 10.96.0.1"},
    {"ext-web.default.svc.cluster.local", Type::aaaa, "NOERROR; @ 30 CNAME web.default.svc.cluster.local; -"},
    {"ext-gone.default.svc.cluster.local", Type::a, "NXDOMAIN; @ 30 CNAME gone.default.svc.cluster.local; -"},
    {"ext-address.default.svc.cluster.local", Type::a, "NXDOMAIN; -"},
    {"loop-a.default.svc.cluster.local", Type::a, "SERVFAIL"},
    // the zone itself
    {"cluster.local", Type::soa, "NOERROR; cluster.local 30 SOA ns.dns.cluster.local hostmaster.cluster.local 1700000000 30"},
    {"cluster.local", Type::ns, "NOERROR; @ 30 NS ns.dns.cluster.local; + ns.dns.cluster.local 30 A 10.96.0.10"},
    {"ns.dns.cluster.local", Type::a, "NOERROR; @ 30 A 10.96.0.10"},
    {"ns.dns.cluster.local", Type::aaaa, "NOERROR; -"},
    {"dns-version.cluster.local", Type::txt, "NOERROR; @ 28800 TXT 1.1.0"},
    {"dns-version.cluster.local", Type::a, "NOERROR; -"},
    // reverse
    {"1.0.96.10.in-addr.arpa", Type::ptr, "NOERROR; @ 30 PTR web.default.svc.cluster.local"},
    {"5.0.244.10.in-addr.arpa", Type::ptr, "NOERROR; @ 30 PTR db-0.db.default.svc.cluster.local"},
    {"7.0.244.10.in-addr.arpa", Type::ptr, "NOERROR; @ 30 PTR 10-244-0-7.db.default.svc.cluster.local"},
    {"9.0.244.10.in-addr.arpa", Type::ptr, "NOERROR; @ 30 PTR 10-244-0-9.web.default.svc.cluster.local"},
    {"6.0.244.10.in-addr.arpa", Type::ptr, "forward"},
    {"3.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa", Type::ptr,
     "NOERROR; @ 30 PTR dual.default.svc.cluster.local"},
    {"0.96.10.in-addr.arpa", Type::ptr, "forward"},
    {"1.0.96.10.in-addr.arpa", Type::a, "forward"},
    {"01.0.96.10.in-addr.arpa", Type::ptr, "forward"},
    // everything else
    {"example.com", Type::a, "forward"},
    {"local", Type::a, "forward"},
    {"xcluster.local", Type::a, "forward"},
    {"", Type::ns, "forward"},
};

TEST(Answer, EveryRow) {
  const auto index = test::index_of(test::cluster_yaml);
  const Zone zone = make_zone("cluster.local.");
  for (const Row& row : rows) {
    EXPECT_EQ(test::text_of(answer(*index, zone, test::question(row.name, row.type), 0)), row.expected)
        << row.name << " type " << static_cast<int>(row.type);
  }
}

TEST(Answer, NegativeAnswersAndAuthority) {
  const auto index = test::index_of(test::cluster_yaml);
  const Answer found = answer(*index, make_zone("cluster.local", 5), test::question("gone.default.svc.cluster.local", Type::a), 0);
  ASSERT_EQ(found.authority.size(), 1u);
  EXPECT_EQ(test::text_of(found.authority[0]), "cluster.local 5 SOA ns.dns.cluster.local hostmaster.cluster.local 1700000000 5");
  EXPECT_TRUE(found.authoritative);
}

TEST(Answer, NothingIsSaidBeforeTheFirstIndex) {
  const Zone zone = make_zone("cluster.local");
  EXPECT_EQ(answer(Index{}, zone, test::question("web.default.svc.cluster.local", Type::a), 0).rcode, Rcode::server_failure);
  EXPECT_TRUE(answer(Index{}, zone, test::question("1.0.96.10.in-addr.arpa", Type::ptr), 0).forward);
}

TEST(Answer, AddressesComeInTurns) {
  const auto index = test::index_of(test::cluster_yaml);
  const Zone zone = make_zone("cluster.local");
  std::set<std::string> first;
  for (std::uint64_t shuffle = 0; shuffle < 4; ++shuffle) {
    const Answer found = answer(*index, zone, test::question("db.default.svc.cluster.local", Type::a), shuffle);
    ASSERT_EQ(found.answers.size(), 2u);
    first.insert(test::text_of(found.answers[0]));
  }
  EXPECT_EQ(first.size(), 2u);
}

TEST(Index, AVersionIsNotChangedByTheNext) {
  const auto before = test::index_of(test::cluster_yaml, 1);
  IndexWriter writer(*before);
  writer.put_service("default/web", nullptr);
  writer.put_namespace("empty", false);
  const auto after = writer.finish(true, 2);
  EXPECT_NE(before->service("default", "web"), nullptr);
  EXPECT_EQ(after->service("default", "web"), nullptr);
  EXPECT_EQ(before->at(*parse_ip("10.96.0.1")).size(), 1u);
  EXPECT_TRUE(after->at(*parse_ip("10.96.0.1")).empty());
  EXPECT_TRUE(after->at(*parse_ip("10.244.0.9")).empty());
  EXPECT_TRUE(before->has_namespace("empty"));
  EXPECT_FALSE(after->has_namespace("empty"));
  EXPECT_EQ(after->services() + 1, before->services());
  EXPECT_EQ(before->serial, 1u);
  EXPECT_EQ(after->serial, 2u);
  EXPECT_EQ(IndexWriter(*after).finish(true, 3)->serial, 2u) << "nothing changed";
}

TEST(Ip, DashedAndReverse) {
  for (const char* text : {"10.244.0.5", "fd01::5", "::1", "1:2:3:4:5:6:7:8"}) {
    const Ip ip = *parse_ip(text);
    EXPECT_EQ(parse_dashed(ip.dashed()), ip) << text;
  }
  for (const char* bad : {"", "a", "1-2-3", "1-2-3-4-5", "1-2-3-x", "256-1-1-1"}) EXPECT_FALSE(parse_dashed(bad)) << bad;
}

}  // namespace
}  // namespace kybern::dns
