#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "dns/serve/cache.h"
#include "dns/serve/upstreams.h"
#include "dns/test_cluster.h"

namespace kybern::dns {
namespace {

using std::chrono::seconds;

TEST(ResolvConf, NameserverLines) {
  const auto found = read_resolv_conf(
      "# nameserver 192.0.2.1\n; x\nsearch example.com\nnameserver 192.0.2.53\n  nameserver\t192.0.2.54 # second\n"
      "nameserver fd00::53\nnameserver fe80::1%eth0\nnameservers 192.0.2.9\nnameserver here\nnameserver\n");
  std::vector<std::string> texts;
  for (const SocketAddress& address : found) texts.push_back(address.text());
  EXPECT_EQ(texts, (std::vector<std::string>{"192.0.2.53:53", "192.0.2.54:53", "[fd00::53]:53", "[fe80::1]:53"}));
}

TEST(SocketAddress, Texts) {
  EXPECT_EQ(parse_socket_address("192.0.2.1", 53)->text(), "192.0.2.1:53");
  EXPECT_EQ(parse_socket_address("192.0.2.1:5353", 53)->text(), "192.0.2.1:5353");
  EXPECT_EQ(parse_socket_address("fd00::1", 53)->text(), "[fd00::1]:53");
  EXPECT_EQ(parse_socket_address("[fd00::1]:5353", 53)->text(), "[fd00::1]:5353");
  for (const char* bad : {"", "a", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536", "[fd00::1]", "[fd00::1", "[x]:1", "localhost:53"}) {
    EXPECT_FALSE(parse_socket_address(bad, 53)) << bad;
  }
}

std::vector<std::string> texts(const Upstreams& upstreams) {
  std::vector<std::string> out;
  for (const SocketAddress& address : upstreams.list()) out.push_back(address.text());
  return out;
}

TEST(Upstreams, AFileThatChangesAndOwnAddresses) {
  char path[] = "/tmp/kybern-resolv-XXXXXX";
  const int file = ::mkstemp(path);
  ::close(file);
  std::ofstream(path) << "nameserver 10.96.0.10\nnameserver 192.0.2.53\nnameserver 127.0.0.1\n";
  Upstreams upstreams(path, {}, {*parse_socket_address("0.0.0.0:53", 53), *parse_socket_address("10.96.0.10", 53)});
  Instant now{seconds(1000)};
  EXPECT_TRUE(upstreams.refresh(now));
  EXPECT_EQ(texts(upstreams), std::vector<std::string>{"192.0.2.53:53"}) << "the others are this server";
  std::ofstream(path) << "nameserver 192.0.2.54\nnameserver 192.0.2.55\n";
  EXPECT_FALSE(upstreams.refresh(now + seconds(1))) << "not looked at that often";
  EXPECT_TRUE(upstreams.refresh(now + seconds(6)));
  EXPECT_EQ(texts(upstreams), (std::vector<std::string>{"192.0.2.54:53", "192.0.2.55:53"}));
  EXPECT_FALSE(upstreams.refresh(now + seconds(12)));

  now += seconds(12);
  const std::vector<SocketAddress> none, first = {*parse_socket_address("192.0.2.54", 53)},
                                         second = {*parse_socket_address("192.0.2.55", 53)};
  EXPECT_EQ(upstreams.choose(none, now), 0u);
  EXPECT_EQ(upstreams.choose(first, now), 1u);
  upstreams.failed(*parse_socket_address("192.0.2.54", 53), now);
  EXPECT_EQ(upstreams.choose(none, now), 1u) << "one that failed comes last";
  EXPECT_EQ(upstreams.choose(first, now), 1u);
  EXPECT_EQ(upstreams.choose(second, now), 0u) << "but before one that was tried for this query";
  EXPECT_EQ(upstreams.choose(none, now + seconds(11)), 0u) << "for a while";
  upstreams.worked(*parse_socket_address("192.0.2.54", 53));
  EXPECT_EQ(upstreams.choose(none, now), 0u);
  upstreams.drop(*parse_socket_address("192.0.2.54", 53));
  EXPECT_EQ(texts(upstreams), std::vector<std::string>{"192.0.2.55:53"});
  ::unlink(path);
  EXPECT_TRUE(upstreams.refresh(now + seconds(20)));
  EXPECT_TRUE(upstreams.list().empty());
}

std::string upstream_answer(const std::string& message, Rcode rcode, std::uint32_t ttl_s) {
  const Query query = *parse_query(message);
  Answer answer;
  answer.rcode = rcode;
  if (rcode == Rcode::no_error) answer.answers.push_back({"", Type::a, ttl_s, *parse_ip("192.0.2.80")});
  else answer.authority.push_back({"example.com", Type::soa, 3600, SoaData{"a.b", "c.d", 1, 2, 3, 4, ttl_s}});
  return write_answer(query, answer, max_udp_bytes);
}

TEST(Cache, KeepsAnswersForTheirLifetime) {
  Cache cache(2);
  const Instant now{seconds(1000)};
  const std::string asked = *write_query(1, "www.example.com", Type::a), again = *write_query(2, "WWW.example.com", Type::a);
  const Query query = *parse_query(asked), other = *parse_query(again);
  EXPECT_FALSE(cache.find(query, asked, now));
  cache.put(query, upstream_answer(asked, Rcode::no_error, 20), now);
  const std::string found = cache.find(other, again, now + seconds(5)).value();
  EXPECT_EQ(found, upstream_answer(again, Rcode::no_error, 15)) << "with the asker's id and spelling, and the time left";
  EXPECT_FALSE(cache.find(query, asked, now + seconds(20)));
  EXPECT_EQ(cache.size(), 0u);
}

TEST(Cache, Rules) {
  const Instant now{seconds(1000)};
  struct Row {
    const char* about;
    Rcode rcode;
    std::uint32_t ttl_s;
    int kept_s;
  };
  for (const Row& row : {Row{"no longer than 30 s", Rcode::no_error, 3600, 30}, Row{"a short one", Rcode::no_error, 3, 3},
                         Row{"no lifetime", Rcode::no_error, 0, 0}, Row{"negative: the SOA record's minimum", Rcode::name_error, 7, 7}}) {
    Cache cache(10);
    const std::string asked = *write_query(1, "www.example.com", Type::a);
    const Query query = *parse_query(asked);
    cache.put(query, upstream_answer(asked, row.rcode, row.ttl_s), now);
    EXPECT_EQ(cache.find(query, asked, now + seconds(row.kept_s) - std::chrono::milliseconds(1)).has_value(), row.kept_s > 0) << row.about;
    EXPECT_FALSE(cache.find(query, asked, now + seconds(row.kept_s))) << row.about;
  }
  Cache cache(2);
  const char* names[] = {"a.example", "b.example", "c.example"};
  for (const char* name : names) {
    const std::string asked = *write_query(1, name, Type::a);
    cache.put(*parse_query(asked), upstream_answer(asked, Rcode::no_error, 20), now);
  }
  EXPECT_EQ(cache.size(), 2u) << "the oldest one went";
  const std::string first = *write_query(1, names[0], Type::a);
  EXPECT_FALSE(cache.find(*parse_query(first), first, now));
  std::string truncated = upstream_answer(first, Rcode::no_error, 20);
  truncated[2] = static_cast<char>(truncated[2] | 0x02);
  cache.put(*parse_query(first), truncated, now);
  EXPECT_FALSE(cache.find(*parse_query(first), first, now));
}

}  // namespace
}  // namespace kybern::dns
