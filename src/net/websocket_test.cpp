#include "net/websocket.h"

#include <gtest/gtest.h>

#include <random>

namespace kybern::net {
namespace {

using namespace std::string_literals;
using Mask = std::array<std::uint8_t, 4>;
constexpr Mask rfc_mask{0x37, 0xfa, 0x21, 0x3d};

// The examples of RFC 6455 section 5.7.
TEST(WebSocketCodec, ExamplesOfTheRfc) {
  EXPECT_EQ(encode_websocket_frame(WebSocketOpcode::text, "Hello"), "\x81\x05Hello"s);
  EXPECT_EQ(encode_websocket_frame(WebSocketOpcode::text, "Hello", true, rfc_mask), "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"s);
  EXPECT_EQ(encode_websocket_frame(WebSocketOpcode::text, "Hel", false), "\x01\x03Hel"s);
  EXPECT_EQ(encode_websocket_frame(WebSocketOpcode::continuation, "lo"), "\x80\x02lo"s);
  EXPECT_EQ(encode_websocket_frame(WebSocketOpcode::ping, "Hello"), "\x89\x05Hello"s);
  EXPECT_EQ(encode_websocket_frame(WebSocketOpcode::binary, std::string(256, 'x')).substr(0, 4), "\x82\x7e\x01\x00"s);
  EXPECT_EQ(encode_websocket_frame(WebSocketOpcode::binary, std::string(65536, 'x')).substr(0, 10), "\x82\x7f\0\0\0\0\0\x01\0\0"s);
}

TEST(WebSocketCodec, AnyMessageInAnySplit) {
  std::mt19937 random(11);
  std::vector<WebSocketMessage> sent, got;
  std::string wire;
  for (int i = 0; i < 300; ++i) {
    std::size_t sizes[] = {0, 1, 125, 126, 127, 65535, 65536, 1000};
    std::string payload(i % 40 == 0 ? sizes[static_cast<std::size_t>(i / 40) % 8] : random() % 300, '\0');
    for (char& c : payload) c = static_cast<char>(random());
    auto opcode = i % 3 == 0 ? WebSocketOpcode::ping : WebSocketOpcode::binary;
    if (opcode == WebSocketOpcode::ping) payload.resize(std::min<std::size_t>(payload.size(), 125));
    Mask key{static_cast<std::uint8_t>(random()), static_cast<std::uint8_t>(random()), static_cast<std::uint8_t>(random()), 7};
    if (i % 3 == 1) {  // in three fragments with a ping between them
      std::size_t third = payload.size() / 3;
      wire += encode_websocket_frame(opcode, payload.substr(0, third), false, key);
      wire += encode_websocket_frame(WebSocketOpcode::ping, "between", true, key);
      sent.push_back({WebSocketOpcode::ping, "between", websocket_no_status});
      wire += encode_websocket_frame(WebSocketOpcode::continuation, payload.substr(third, third), false, key);
      wire += encode_websocket_frame(WebSocketOpcode::continuation, payload.substr(2 * third), true, key);
    } else {
      wire += encode_websocket_frame(opcode, payload, true, key);
    }
    sent.push_back({opcode, payload, websocket_no_status});
  }
  WebSocketDecoder decoder({.from_client = true});
  for (std::size_t at = 0; at < wire.size();) {
    std::size_t step = random() % 10 == 0 ? random() % 5000 : random() % 7;
    ASSERT_TRUE(decoder.feed(std::string_view(wire).substr(at, step), got)) << decoder.error();
    at += step;
  }
  ASSERT_EQ(got.size(), sent.size());
  for (std::size_t i = 0; i < sent.size(); ++i) {
    EXPECT_EQ(got[i].opcode, sent[i].opcode);
    EXPECT_TRUE(got[i].payload == sent[i].payload) << i;
  }
}

struct Bad {
  const char* what;
  std::string bytes;
  std::uint16_t code;
};

TEST(WebSocketCodec, WhatIsRefused) {
  const Bad rows[] = {
      {"reserved bit", "\xc1\x00"s, 1002},
      {"unknown data opcode", "\x83\x00"s, 1002},
      {"unknown control opcode", "\x8b\x00"s, 1002},
      {"masked from a server", "\x81\x80\x01\x02\x03\x04"s, 1002},
      {"fragmented ping", "\x09\x00"s, 1002},
      {"long ping", "\x89\x7e\x00\x7e"s, 1002},
      {"continuation of nothing", "\x80\x00"s, 1002},
      {"message in a message", "\x01\x01x\x81\x01y"s, 1002},
      {"length not shortest, 16 bits", "\x82\x7e\x00\x05"s, 1002},
      {"length not shortest, 64 bits", "\x82\x7f\0\0\0\0\0\0\x01\0"s, 1002},
      {"length with the highest bit", "\x82\x7f\x80\0\0\0\0\0\0\0"s, 1002},
      {"too big", "\x82\x7f\0\0\0\0\0\x10\0\x01"s, 1009},
      {"too big in fragments", encode_websocket_frame(WebSocketOpcode::binary, std::string(1 << 20, 'x'), false) + "\x80\x01"s, 1009},
      {"text that is not UTF-8", "\x81\x02\xc3\x28"s, 1007},
      {"close with half a code", "\x88\x01\x03"s, 1002},
      {"close with a code that is never sent", "\x88\x02\x03\xed"s, 1002},
      {"close with code 0", "\x88\x02\0\0"s, 1002},
      {"close reason not UTF-8", "\x88\x03\x03\xe8\xff"s, 1007},
  };
  for (const Bad& row : rows) {
    WebSocketDecoder decoder({.from_client = false});
    std::vector<WebSocketMessage> out;
    EXPECT_FALSE(decoder.feed(row.bytes, out)) << row.what;
    EXPECT_EQ(decoder.error_code(), row.code) << row.what;
    EXPECT_TRUE(out.empty()) << row.what;
    EXPECT_FALSE(decoder.feed("\x82\x00"s, out)) << row.what;
  }
  WebSocketDecoder server({.from_client = true});
  std::vector<WebSocketMessage> out;
  EXPECT_FALSE(server.feed("\x82\x00"s, out));
  EXPECT_EQ(server.error_code(), 1002);
}

TEST(WebSocketCodec, CloseFrames) {
  struct Row {
    std::string frame;
    std::uint16_t code;
    std::string reason;
  };
  const Row rows[] = {
      {encode_websocket_close(1000, "bye"), 1000, "bye"},
      {encode_websocket_close(websocket_no_status, "dropped"), websocket_no_status, ""},
      {encode_websocket_close(4999, ""), 4999, ""},
      // 123 bytes at most, cut between characters
      {encode_websocket_close(1011, std::string(122, 'x') + "\u00e4\u00e4"), 1011, std::string(122, 'x')},
  };
  for (const Row& row : rows) {
    WebSocketDecoder decoder({.from_client = false});
    std::vector<WebSocketMessage> out;
    ASSERT_TRUE(decoder.feed(row.frame, out));
    ASSERT_EQ(out.size(), 1u);
    EXPECT_EQ(out[0].opcode, WebSocketOpcode::close);
    EXPECT_EQ(out[0].close_code, row.code);
    EXPECT_EQ(out[0].payload, row.reason);
  }
}

Request upgrade_request() {
  Request request;
  request.method = "GET";
  request.headers = {{"connection", "keep-alive, Upgrade"},
                     {"upgrade", "websocket"},
                     {"sec-websocket-version", "13"},
                     {"sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="},
                     {"sec-websocket-protocol", "v5.channel.k8s.io, v4.channel.k8s.io"},
                     {"sec-websocket-protocol", "channel.k8s.io"}};
  return request;
}

TEST(WebSocketHandshake, ServerSide) {
  Request request = upgrade_request();
  EXPECT_TRUE(is_websocket_request(request));
  EXPECT_EQ(offered_websocket_protocols(request), (std::vector<std::string>{"v5.channel.k8s.io", "v4.channel.k8s.io", "channel.k8s.io"}));
  EXPECT_EQ(choose_websocket_protocol(request, {"channel.k8s.io", "v4.channel.k8s.io"}), "v4.channel.k8s.io");
  EXPECT_EQ(choose_websocket_protocol(request, {"other"}), std::nullopt);
  auto answer = accept_websocket(request, "v4.channel.k8s.io");
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->get("sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  EXPECT_EQ(answer->get("sec-websocket-protocol"), "v4.channel.k8s.io");
  EXPECT_FALSE(accept_websocket(request, "")->find("sec-websocket-protocol"));

  Request old = upgrade_request();
  old.headers.set("sec-websocket-version", "8");
  EXPECT_EQ(accept_websocket(old, "").error().code, Code::unsupported);
  for (const char* key : {"", "abc", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZTEyMw=="}) {
    Request bad = upgrade_request();
    bad.headers.set("sec-websocket-key", key);
    EXPECT_EQ(accept_websocket(bad, "").error().code, Code::invalid) << key;
  }
  Request post = upgrade_request();
  post.method = "POST";
  EXPECT_FALSE(accept_websocket(post, "").has_value());
  Request plain = upgrade_request();
  plain.headers.set("connection", "close");
  EXPECT_FALSE(is_websocket_request(plain));
}

TEST(WebSocketHandshake, ClientSide) {
  std::string key = new_websocket_key();
  EXPECT_NE(key, new_websocket_key());
  Request request;
  request.method = "GET";
  request.headers = websocket_request_headers(key, {"a", "b"});
  auto answer = accept_websocket(request, "b");
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(check_websocket_answer(*answer, key, {"a", "b"}).value_or("?"), "b");
  EXPECT_FALSE(check_websocket_answer(*answer, key, {"a"}).has_value());
  EXPECT_FALSE(check_websocket_answer(*answer, new_websocket_key(), {"a", "b"}).has_value());
  Headers extended = *answer;
  extended.add("sec-websocket-extensions", "permessage-deflate");
  EXPECT_FALSE(check_websocket_answer(extended, key, {"a", "b"}).has_value());
  EXPECT_FALSE(check_websocket_answer(Headers(), key, {}).has_value());
}

}  // namespace
}  // namespace kybern::net
