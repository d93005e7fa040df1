#include "net/spdy.h"

#include <gtest/gtest.h>

#include <random>

namespace kybern::net {
namespace {

using namespace std::string_literals;

// Two SYN_STREAM frames as another implementation of zlib's user wrote them (largest window, best compression).
const std::string foreign_frames =
    "\x80\x03\x00\x01\x00\x00\x00\x28\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x78\xf9\xe3\xc6\xa7\xc2\x02\xa6\x23\x46\x70\x3a\x2b\x29\x4a\x4d\xcc\x85\x16\x25\xac\xa9\xa0\x80\x06\x00\x00\x00\xff\xff\x80\x03\x00\x01\x00\x00\x00\x26\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x02\x65\x1c\x0c\x29\x60\x62\x4e\xc9\x07\x97\xd1\xac\x15\xba\x25\xe5\xf9\xe0\x62\x94\x21\x09\x00\x00\x00\xff\xff"s;

TEST(SpdyCodec, ReadsWhatOthersWrite) {
  SpdyDecoder decoder;
  std::vector<SpdyFrame> frames;
  ASSERT_TRUE(decoder.feed(foreign_frames, frames)) << decoder.error();
  ASSERT_EQ(frames.size(), 2u);
  EXPECT_EQ(frames[0].stream_id, 1u);
  EXPECT_EQ(frames[0].headers.get("streamtype"), "error");
  EXPECT_EQ(frames[1].stream_id, 3u);
  EXPECT_EQ(frames[1].headers.get("streamtype"), "stdout");
  EXPECT_EQ(frames[1].headers.all("x-two"), (std::vector<std::string_view>{"a", "b"}));
}

TEST(SpdyCodec, FixedFrames) {
  EXPECT_EQ(SpdyEncoder::ping(2), "\x80\x03\0\x06\0\0\0\x04\0\0\0\x02"s);
  EXPECT_EQ(SpdyEncoder::rst_stream(5, spdy_cancel), "\x80\x03\0\x03\0\0\0\x08\0\0\0\x05\0\0\0\x05"s);
  EXPECT_EQ(SpdyEncoder::goaway(7, 0), "\x80\x03\0\x07\0\0\0\x08\0\0\0\x07\0\0\0\0"s);
  EXPECT_EQ(SpdyEncoder::data(9, "ab", true),
            "\0\0\0\x09\x01\0\0\x02"
            "ab"s);
}

TEST(SpdyCodec, RoundTripInAnySplit) {
  std::mt19937 random(5);
  SpdyEncoder encoder;
  std::string wire;
  std::vector<SpdyFrame> sent;
  for (std::uint32_t i = 1; i <= 200; ++i) {
    SpdyFrame frame;
    frame.stream_id = i;
    frame.fin = random() % 4 == 0;
    for (unsigned k = 0; k < random() % 5; ++k)
      frame.headers.add("header-" + std::to_string(k), std::string(random() % 200, static_cast<char>('a' + random() % 26)));
    switch (i % 5) {
      case 0:
        frame.type = SpdyType::syn_stream;
        wire += encoder.syn_stream(i, frame.headers, frame.fin);
        break;
      case 1:
        frame.type = SpdyType::syn_reply;
        wire += encoder.syn_reply(i, frame.headers, frame.fin);
        break;
      case 2:
        frame.type = SpdyType::headers;
        wire += encoder.headers(i, frame.headers, frame.fin);
        break;
      case 3:
        frame.headers = {};
        frame.data = std::string(random() % 3000 + 1, static_cast<char>(random()));
        wire += SpdyEncoder::data(i, frame.data, frame.fin);
        wire += "\x80\x03\0\x04\0\0\0\x04\0\0\0\0"s +
                "\x80\x03\0\x09\0\0\0\x08\0\0\0\x01\0\0\x10\0"s;  // SETTINGS and WINDOW_UPDATE are left out
        break;
      default:
        frame.headers = {};
        frame.type = SpdyType::ping;
        frame.stream_id = 0;
        frame.fin = false;
        frame.value = i;
        wire += SpdyEncoder::ping(i);
    }
    sent.push_back(std::move(frame));
  }
  SpdyDecoder decoder;
  std::vector<SpdyFrame> got;
  for (std::size_t at = 0; at < wire.size();) {
    std::size_t step = random() % 50 + 1;
    ASSERT_TRUE(decoder.feed(std::string_view(wire).substr(at, step), got)) << decoder.error();
    at += step;
  }
  std::size_t next = 0;
  for (const SpdyFrame& expected : sent) {
    ASSERT_LT(next, got.size());
    SpdyFrame frame = got[next++];
    while (frame.type == SpdyType::data && frame.data.size() < expected.data.size() && next < got.size()) {
      frame.data += got[next].data;
      frame.fin = got[next++].fin;
    }
    EXPECT_EQ(frame.type, expected.type);
    EXPECT_EQ(frame.stream_id, expected.stream_id);
    EXPECT_EQ(frame.fin, expected.fin);
    EXPECT_EQ(frame.value, expected.value);
    EXPECT_TRUE(frame.data == expected.data);
    EXPECT_EQ(frame.headers.fields(), expected.headers.fields());
  }
  EXPECT_EQ(next, got.size());
}

TEST(SpdyCodec, WhatIsRefused) {
  SpdyEncoder encoder;
  Headers upper;
  std::string good = encoder.syn_stream(1, {{"a", "b"}}, false);
  std::string huge_headers = SpdyEncoder().syn_stream(1, {{"a", std::string(300000, 'x')}}, false);
  struct Row {
    const char* what;
    std::string bytes;
  };
  const Row rows[] = {
      {"version 2", "\x80\x02\0\x06\0\0\0\x04\0\0\0\x02"s},
      {"large control frame", "\x80\x03\0\x01\0\x02\0\0"s},
      {"short SYN_STREAM", "\x80\x03\0\x01\0\0\0\x04\0\0\0\x01"s},
      {"long PING", "\x80\x03\0\x06\0\0\0\x05\0\0\0\x02\0"s},
      {"stream 0", "\0\0\0\0\0\0\0\x01x"s},
      {"garbage for zlib", "\x80\x03\0\x02\0\0\0\x08\0\0\0\x01garb"s},
      {"block cut short", good.substr(0, 7) + "\x0c" + good.substr(8, 12)},
      {"headers that blow up", huge_headers},
  };
  for (const Row& row : rows) {
    SpdyDecoder decoder;
    std::vector<SpdyFrame> frames;
    EXPECT_FALSE(decoder.feed(row.bytes, frames)) << row.what;
    EXPECT_FALSE(decoder.error().empty());
    EXPECT_FALSE(decoder.feed(SpdyEncoder::ping(1), frames)) << row.what;
    EXPECT_TRUE(frames.empty()) << row.what;
  }
}

}  // namespace
}  // namespace kybern::net
