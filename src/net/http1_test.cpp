#include "net/http1.h"

#include <gtest/gtest.h>

namespace kybern::net {
namespace {

using namespace std::string_literals;

struct BadHead {
  const char* what;
  std::string head;
  int status;
};

class BadRequestHead : public testing::TestWithParam<BadHead> {};

TEST_P(BadRequestHead, IsRefused) {
  auto head = parse_request_head(GetParam().head);
  ASSERT_FALSE(head.has_value()) << GetParam().what;
  EXPECT_EQ(head.error().status, GetParam().status) << GetParam().what << ": " << head.error().message;
  EXPECT_FALSE(head.error().message.empty());
}

const BadHead bad_heads[] = {
    {"both lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"two lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", 400},
    {"two equal lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", 400},
    {"a list of lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\n", 400},
    {"signed length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\n", 400},
    {"negative length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -3\r\n\r\n", 400},
    {"hexadecimal length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\n", 400},
    {"empty length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400},
    {"length that overflows", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551617\r\n\r\n", 400},
    {"unknown coding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
    {"chunked not alone", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
    {"chunked twice", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"chunked with a tail", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;x\r\n\r\n", 501},
    {"chunked in quotes", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n", 501},
    {"chunked in 1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
    {"space before the colon", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400},
    {"tab before the colon", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n", 400},
    {"folded line", "GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400},
    {"folded first line", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
    {"bare line feed", "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400},
    {"bare carriage return in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: b\rY: c\r\n\r\n", 400},
    {"zero in a value", "GET / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n"s, 400},
    {"no colon", "GET / HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n", 400},
    {"empty name", "GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400},
    {"name in brackets", "GET / HTTP/1.1\r\nHost: a\r\n(x): b\r\n\r\n", 400},
    {"no host", "GET / HTTP/1.1\r\n\r\n", 400},
    {"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
    {"bad host", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
    {"host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
    {"no version", "GET /\r\nHost: a\r\n\r\n", 400},
    {"two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"tab in the line", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"bad method", "G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"connect", "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"relative target", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"star of another method", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"bad escape", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"short escape", "GET /a%4 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
    {"lower-case version", "GET / http/1.1\r\nHost: a\r\n\r\n", 400},
    {"version 2", "PRI * HTTP/2.0\r\n\r\n", 505},
    {"version 1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505},
    {"unknown expectation", "POST / HTTP/1.1\r\nHost: a\r\nExpect: cake\r\n\r\n", 417},
    {"nothing", "", 400},
    {"bytes behind the head", "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET", 400},
};
INSTANTIATE_TEST_SUITE_P(Table, BadRequestHead, testing::ValuesIn(bad_heads));

TEST(RequestHead, IsReadWhole) {
  auto head = parse_request_head(
      "POST /api/v1/pods?limit=5&continue=a%2Fb HTTP/1.1\r\nHost: 127.0.0.1:6443\r\nContent-Length: 12\r\nX-Empty:\r\nAccept: \t "
      "text/plain \t\r\n"
      "ACCEPT: b\r\n\r\n");
  ASSERT_TRUE(head.has_value()) << head.error().message;
  EXPECT_EQ(head->method, "POST");
  EXPECT_EQ(head->path, "/api/v1/pods");
  EXPECT_EQ(head->query, "limit=5&continue=a%2Fb");
  EXPECT_EQ(head->body, BodyKind::length);
  EXPECT_EQ(head->content_length, 12u);
  EXPECT_TRUE(head->keep_alive);
  EXPECT_EQ(head->headers.get("x-empty"), "");
  EXPECT_TRUE(head->headers.find("x-empty").has_value());
  EXPECT_EQ(head->headers.all("accept"), (std::vector<std::string_view>{"text/plain", "b"}));
}

struct GoodHead {
  const char* head;
  const char* path;
  const char* query;
  const char* host;
  bool keep_alive, upgrade, expect;
};

TEST(RequestHead, Forms) {
  const GoodHead rows[] = {
      {"GET http://other:80/x?y HTTP/1.1\r\nHost: a\r\n\r\n", "/x", "y", "other:80", true, false, false},
      {"GET http://other HTTP/1.1\r\nHost: a\r\n\r\n", "/", "", "other", true, false, false},
      {"GET https://other?q HTTP/1.1\r\nHost: a\r\n\r\n", "/", "q", "other", true, false, false},
      {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", "*", "", "a", true, false, false},
      {"GET /? HTTP/1.1\r\nHost:\r\n\r\n", "/", "", "", true, false, false},
      {"GET //a/../b HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", "//a/../b", "", "[::1]:80", true, false, false},
      {"GET / HTTP/1.0\r\n\r\n", "/", "", "", false, false, false},
      {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "/", "", "", true, false, false},
      {"GET / HTTP/1.1\r\nHost: a\r\nConnection: foo, close\r\n\r\n", "/", "", "a", false, false, false},
      {"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n", "/", "", "a", true, true, false},
      {"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n", "/", "", "a", true, false, false},
      {"GET / HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", "/", "", "", false, false, false},
      {"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n", "/", "", "a", true, false, true},
      {"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n", "/", "", "a", true, false, false},
  };
  for (const GoodHead& row : rows) {
    auto head = parse_request_head(row.head);
    ASSERT_TRUE(head.has_value()) << row.head << head.error().message;
    EXPECT_EQ(head->path, row.path) << row.head;
    EXPECT_EQ(head->query, row.query) << row.head;
    EXPECT_EQ(head->headers.get("host"), row.host) << row.head;
    EXPECT_EQ(head->keep_alive, row.keep_alive) << row.head;
    EXPECT_EQ(head->upgrade, row.upgrade) << row.head;
    EXPECT_EQ(head->expect_continue, row.expect) << row.head;
  }
}

TEST(RequestHead, Limits) {
  std::string many = "GET / HTTP/1.1\r\nHost: a\r\n";
  for (int i = 0; i < 20; ++i) many += "a: b\r\n";
  many += "\r\n";
  EXPECT_TRUE(parse_request_head(many, {.max_head_bytes = 1000, .max_fields = 21}).has_value());
  EXPECT_EQ(parse_request_head(many, {.max_head_bytes = 1000, .max_fields = 20}).error().status, 431);
  EXPECT_EQ(parse_request_head(many, {.max_head_bytes = 100, .max_fields = 21}).error().status, 431);
}

TEST(ResponseHead, BodyKinds) {
  struct Row {
    const char* method;
    const char* head;
    int status;
    BodyKind body;
  };
  const Row rows[] = {
      {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, BodyKind::length},
      {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, BodyKind::chunked},
      {"GET", "HTTP/1.1 200\r\n\r\n", 200, BodyKind::until_close},
      {"GET", "HTTP/1.0 200 Fine, thanks\r\n\r\n", 200, BodyKind::until_close},
      {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, BodyKind::none},
      {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200, BodyKind::none},
      {"GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, BodyKind::none},
      {"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, BodyKind::none},
      {"GET", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", 101, BodyKind::none},
  };
  for (const Row& row : rows) {
    auto head = parse_response_head(row.head, row.method);
    ASSERT_TRUE(head.has_value()) << row.head << head.error().message;
    EXPECT_EQ(head->status, row.status);
    EXPECT_EQ(head->body, row.body) << row.head;
  }
  for (const char* bad :
       {"HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/2.0 200 OK\r\n\r\n", "200 OK\r\n\r\n", "HTTP/1.1 abc\r\n\r\n",
        "HTTP/1.1 099 x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"}) {
    EXPECT_FALSE(parse_response_head(bad, "GET").has_value()) << bad;
  }
}

TEST(HeadScanner, FindsTheEndByteByByte) {
  std::string head = "GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
  Http1HeadScanner scanner;
  for (std::size_t i = 0; i < head.size() - 4; ++i) {
    auto state = scanner.scan(std::string_view(head).substr(0, i), 1000);
    EXPECT_EQ(state, Http1HeadScanner::State::incomplete) << i;
  }
  EXPECT_EQ(scanner.scan(head, 1000), Http1HeadScanner::State::complete);
  EXPECT_EQ(scanner.head_bytes(), head.size() - 4);
}

TEST(HeadScanner, RefusesEarly) {
  struct Row {
    std::string bytes;
    Http1HeadScanner::State state;
  };
  const Row rows[] = {
      {"\r\n", Http1HeadScanner::State::bad},
      {"\x16\x03\x01", Http1HeadScanner::State::bad},
      {"GET / HTTP/1.1\n", Http1HeadScanner::State::bad},
      {"GET / HTTP/1.1\r\nA: b\n", Http1HeadScanner::State::bad},
      {std::string(101, 'a'), Http1HeadScanner::State::too_large},
      {std::string(100, 'a'), Http1HeadScanner::State::incomplete},
  };
  for (const Row& row : rows) {
    Http1HeadScanner scanner;
    EXPECT_EQ(scanner.scan(row.bytes, 100), row.state) << row.bytes;
  }
}

struct Chunks {
  const char* what;
  std::string bytes;
  ChunkedDecoder::State state;
  std::string body, rest;
};

TEST(ChunkedDecoder, Table) {
  using State = ChunkedDecoder::State;
  const Chunks rows[] = {
      {"two chunks", "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\nrest", State::done, "abcde", "rest"},
      {"hexadecimal", "a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", State::done, "01234567890123456789", ""},
      {"leading zeros", "0003\r\nabc\r\n000\r\n\r\n", State::done, "abc", ""},
      {"extension", "3;a=b;c=\"d\"\r\nabc\r\n0;x\r\n\r\n", State::done, "abc", ""},
      {"trailer", "0\r\nA: b\r\nC: d\r\n\r\nX", State::done, "", "X"},
      {"unfinished", "3\r\nab", State::more, "ab", ""},
      {"no size", "\r\nabc", State::bad, "", ""},
      {"signed size", "+3\r\nabc\r\n", State::bad, "", ""},
      {"minus", "-1\r\nabc\r\n", State::bad, "", ""},
      {"prefixed size", "0x3\r\nabc\r\n", State::bad, "", ""},
      {"space before", " 3\r\nabc\r\n", State::bad, "", ""},
      {"space after", "3 \r\nabc\r\n", State::bad, "", ""},
      {"seventeen digits", "00000000000000003\r\nabc\r\n", State::bad, "", ""},
      {"bare line feed", "3\nabc\r\n", State::bad, "", ""},
      {"bare line feed behind an extension", "3;a\nabc\r\n", State::bad, "", ""},
      {"line feed behind the data", "3\r\nabc\n0\r\n\r\n", State::bad, "abc", ""},
      {"longer than said", "3\r\nabcd\r\n", State::bad, "abc", ""},
      {"bad trailer", "0\r\nA b\r\n\r\n", State::bad, "", ""},
      {"folded trailer", "0\r\nA: b\r\n c\r\n\r\n", State::bad, "", ""},
      {"trailer with a bare line feed", "0\r\nA: b\n\r\n", State::bad, "", ""},
      {"endless extension", "3;" + std::string(20000, 'x') + "\r\n", State::bad, "", ""},
      {"endless trailer", "0\r\nA: " + std::string(20000, 'x') + "\r\n", State::bad, "", ""},
  };
  for (const Chunks& row : rows) {
    ChunkedDecoder whole;
    std::string body;
    std::string_view in = row.bytes;
    auto state = whole.feed(in, body);
    EXPECT_EQ(state, row.state) << row.what << " " << whole.error();
    EXPECT_EQ(body, row.body) << row.what;
    if (state == State::done) { EXPECT_EQ(in, row.rest) << row.what; }
    // The same in single bytes.
    ChunkedDecoder split;
    std::string split_body;
    State split_state = State::more;
    for (std::size_t i = 0; i < row.bytes.size() && split_state == State::more; ++i) {
      std::string_view one = std::string_view(row.bytes).substr(i, 1);
      split_state = split.feed(one, split_body);
    }
    EXPECT_EQ(split_state, row.state) << row.what;
    EXPECT_EQ(split_body, row.body) << row.what;
  }
}

TEST(Headers, NamesAreLowerAndAllAreKept) {
  Headers headers{{"Content-Type", "a"}, {"Set-Cookie", "1"}};
  headers.add("SET-COOKIE", "2");
  EXPECT_EQ(headers.get("content-type"), "a");
  EXPECT_EQ(headers.all("set-cookie").size(), 2u);
  headers.set("Set-Cookie", "3");
  EXPECT_EQ(headers.all("set-cookie"), std::vector<std::string_view>{"3"});
  headers.erase("content-type");
  EXPECT_FALSE(headers.find("content-type").has_value());
  EXPECT_TRUE(list_contains("Keep-Alive , UPGRADE", "upgrade"));
  EXPECT_FALSE(list_contains("upgraded", "upgrade"));
  EXPECT_EQ(reason_phrase(422), "Unprocessable Entity");
}

}  // namespace
}  // namespace kybern::net
