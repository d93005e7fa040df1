#include "dns/answer/message.h"

#include <gtest/gtest.h>

#include <random>

#include "dns/test_cluster.h"

namespace kybern::dns {
namespace {

std::string bytes(std::initializer_list<int> values) {
  std::string out;
  for (int value : values) out += static_cast<char>(value);
  return out;
}

const std::string header = bytes({0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0});
const std::string web_a = std::string("\3wEb\7default\3svc\7cluster\5local\0\0\1\0\1", 35);

int count_at(const std::string& message, std::size_t at) {
  return static_cast<unsigned char>(message[at]) << 8 | static_cast<unsigned char>(message[at + 1]);
}

std::string ask(const std::string& message, std::size_t limit = plain_udp_bytes) {
  static const auto index = test::index_of(test::cluster_yaml);
  static const Zone zone = make_zone("cluster.local");
  const std::optional<Query> query = parse_query(message);
  if (!query) return "";
  Answer found;
  found.rcode = query->refusal;
  if (query->refusal == Rcode::no_error) found = answer(*index, zone, query->question, 0);
  return write_answer(*query, found, limit);
}

TEST(Message, AnAnswerByteForByte) {
  const std::string expected =
      bytes({0x12, 0x34, 0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 0}) + web_a + bytes({0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4, 10, 96, 0, 1});
  EXPECT_EQ(ask(header + web_a), expected) << "the name stays as it was written, and is pointed to";
}

TEST(Message, WhatIsNotAnsweredAtAll) {
  EXPECT_FALSE(parse_query(""));
  EXPECT_FALSE(parse_query(header.substr(0, 11)));
  std::string an_answer = header + web_a;
  an_answer[2] = static_cast<char>(0x81);
  EXPECT_FALSE(parse_query(an_answer));
}

struct RefusalRow {
  const char* about;
  std::string message;
  Rcode rcode;
};
TEST(Message, Refusals) {
  std::string notify = header + web_a, two = header + web_a, transfer = header + web_a, chaos = header + web_a;
  notify[2] = 0x20;
  two[5] = 2;
  transfer[transfer.size() - 3] = static_cast<char>(252);
  chaos[chaos.size() - 1] = 3;
  std::string none = header;
  none[5] = 0;
  std::string cut = header + web_a.substr(0, 20);
  std::string loop = header + bytes({0xc0, 0x0c, 0, 1, 0, 1});
  const RefusalRow refusals[] = {
      {"another opcode", notify, Rcode::not_implemented},
      {"two questions", two, Rcode::format_error},
      {"no question", none, Rcode::format_error},
      {"cut short", cut, Rcode::format_error},
      {"a name that points to itself", loop, Rcode::format_error},
      {"a zone transfer", transfer, Rcode::refused},
      {"class CHAOS", chaos, Rcode::refused},
  };
  for (const RefusalRow& row : refusals) {
    const std::string out = ask(row.message);
    ASSERT_GE(out.size(), header_bytes) << row.about;
    EXPECT_EQ(out.substr(0, 2), header.substr(0, 2)) << row.about;
    EXPECT_EQ(out[3] & 0xf, static_cast<int>(row.rcode)) << row.about;
    EXPECT_NE(out[2] & 0x80, 0) << row.about;
  }
}

std::string with_edns(int udp_bytes, int version = 0, bool dnssec_ok = false) {
  std::string out = header + web_a + bytes({0, 0, 41, udp_bytes >> 8, udp_bytes & 0xff, 0, version, dnssec_ok ? 0x80 : 0, 0, 0, 0});
  out[11] = 1;
  return out;
}

TEST(Message, Edns) {
  const Query query = *parse_query(with_edns(1400, 0, true));
  EXPECT_TRUE(query.edns);
  EXPECT_TRUE(query.dnssec_ok);
  EXPECT_EQ(udp_limit(query), 1400u);
  EXPECT_EQ(udp_limit(*parse_query(with_edns(100))), plain_udp_bytes);
  EXPECT_EQ(udp_limit(*parse_query(with_edns(65535))), max_udp_bytes);
  EXPECT_EQ(udp_limit(*parse_query(header + web_a)), plain_udp_bytes);
  const std::string answered = ask(with_edns(1400));
  EXPECT_EQ(count_at(answered, 10), 1) << "an OPT record answers an OPT record";
  EXPECT_EQ(count_at(ask(header + web_a), 10), 0);
  EXPECT_EQ(parse_query(with_edns(1400, 1))->refusal, Rcode::bad_version);
  const std::string refused = ask(with_edns(1400, 1));
  EXPECT_EQ(refused[3] & 0xf, 0);
  EXPECT_EQ(refused[refused.size() - 6], 1) << "the upper bits of BADVERS (16) are in the OPT record";
}

TEST(Message, LongAnswersAreTruncated) {
  const Query query = *parse_query(header + web_a);
  Answer found;
  for (int i = 0; i < 100; ++i) found.answers.push_back({"", Type::a, 30, *parse_ip("10.0.0." + std::to_string(i))});
  const std::string whole = write_answer(query, found, max_message_bytes);
  EXPECT_EQ(count_at(whole, 6), 100);
  EXPECT_EQ(whole[2] & 0x02, 0);
  const std::string cut = write_answer(query, found, plain_udp_bytes);
  EXPECT_LE(cut.size(), plain_udp_bytes);
  EXPECT_NE(cut[2] & 0x02, 0);
  EXPECT_EQ(count_at(cut, 6), 29) << "as many as fit";
  // What is only additional goes without the TC bit.
  Answer more;
  more.answers.push_back({"", Type::a, 30, *parse_ip("10.0.0.1")});
  for (int i = 0; i < 100; ++i) more.additional.push_back({"x.y", Type::a, 30, *parse_ip("10.0.0.2")});
  const std::string small = write_answer(query, more, plain_udp_bytes);
  EXPECT_EQ(small[2] & 0x02, 0);
  EXPECT_EQ(count_at(small, 6), 1);
  EXPECT_EQ(count_at(small, 10), 0);
}

TEST(Message, AnUpstreamsAnswerHasToMatch) {
  const std::string query = *write_query(7, "www.example.com", Type::a);
  std::string answer = query;
  answer[2] = static_cast<char>(0x81);
  EXPECT_TRUE(answers_query(answer, 7, query));
  EXPECT_FALSE(answers_query(answer, 8, query));
  EXPECT_FALSE(answers_query(query, 7, query)) << "no answer";
  std::string other = answer;
  other[13] = 'x';
  EXPECT_FALSE(answers_query(other, 7, query));
  other[13] = 'W';
  EXPECT_TRUE(answers_query(other, 7, query)) << "case does not count";
}

TEST(Message, AChasedNameBringsTheUpstreamsRecords) {
  const Query query = *parse_query(header + web_a);
  Answer first;
  first.answers.push_back({"", Type::cname, 30, NameData{"www.example.com"}});
  Query upstream_query = *parse_query(*write_query(9, "www.example.com", Type::a));
  Answer upstream;
  upstream.answers.push_back({"", Type::a, 60, *parse_ip("192.0.2.80")});
  const std::string message = write_answer(upstream_query, upstream, max_udp_bytes);
  const std::string whole = *write_chased(query, first, message, plain_udp_bytes);
  EXPECT_EQ(count_at(whole, 6), 2);
  EXPECT_EQ(whole.substr(whole.size() - 4), bytes({192, 0, 2, 80}));
  EXPECT_FALSE(write_chased(query, first, message.substr(0, message.size() - 3), plain_udp_bytes));
}

TEST(Message, NoBytesBreakTheReader) {
  std::mt19937 random(1);
  const std::string good = with_edns(1400);
  for (int i = 0; i < 20000; ++i) {
    std::string message = good;
    const unsigned changes = random() % 6;
    for (unsigned j = 0; j < changes; ++j) message[random() % message.size()] = static_cast<char>(random());
    if (random() % 3 == 0) message.resize(random() % message.size());
    const std::string out = ask(message);
    EXPECT_LE(out.size(), plain_udp_bytes);
    (void)answers_query(message, 0x1234, good);
  }
}

}  // namespace
}  // namespace kybern::dns
