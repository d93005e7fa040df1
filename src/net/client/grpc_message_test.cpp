#include "net/client/grpc_message.h"

#include <gtest/gtest.h>

namespace kybern::net {
namespace {

TEST(GrpcMessage, FramesAndAssembles) {
  std::string large(100000, 'x');
  std::string wire = *frame_grpc_message("") + *frame_grpc_message("abc") + *frame_grpc_message(large);
  EXPECT_EQ(wire.substr(0, 13), std::string("\0\0\0\0\0\0\0\0\0\3abc", 13));
  for (std::size_t step : {std::size_t(1), std::size_t(4), std::size_t(7), wire.size()}) {
    GrpcAssembler assembler;
    std::vector<std::string> messages;
    for (std::size_t i = 0; i < wire.size(); i += step)
      ASSERT_TRUE(
          assembler.feed(std::string_view(wire).substr(i, step), [&](std::string message) { messages.push_back(std::move(message)); }));
    EXPECT_EQ(messages, (std::vector<std::string>{"", "abc", large}));
    EXPECT_TRUE(assembler.between_messages());
    ASSERT_TRUE(assembler.feed(std::string_view("\0\0", 2), [](std::string) {}));
    EXPECT_FALSE(assembler.between_messages());
  }
}

TEST(GrpcMessage, Refused) {
  struct Row {
    std::string wire;
    Code code;
    const char* message;
  };
  for (const Row& row :
       {Row{std::string("\1\0\0\0\1x", 6), Code::internal, "grpc: compressed flag set with identity or empty encoding"},
        Row{std::string("\2\0\0\0\1x", 6), Code::internal, "grpc: received unexpected payload format 2"},
        Row{std::string("\0\1\0\0\1", 5), Code::too_large, "grpc: received message larger than max (16777217 vs. 16777216 bytes)"}}) {
    GrpcAssembler assembler;
    auto fed = assembler.feed(row.wire, [](std::string) { ADD_FAILURE(); });
    ASSERT_FALSE(fed);
    EXPECT_EQ(fed.error().code, row.code);
    EXPECT_EQ(fed.error().message, row.message);
  }
  auto framed = frame_grpc_message(std::string(max_grpc_message_bytes + 1, 'x'));
  ASSERT_FALSE(framed);
  EXPECT_EQ(framed.error().code, Code::too_large);
  EXPECT_EQ(framed.error().message, "grpc: trying to send message larger than max (16777217 vs. 16777216 bytes)");
}

TEST(GrpcMessage, Statuses) {
  struct Row {
    int status;
    Code code;
  };
  for (const Row& row :
       {Row{1, Code::canceled}, Row{2, Code::internal}, Row{3, Code::internal}, Row{4, Code::timeout}, Row{5, Code::not_found},
        Row{6, Code::already_exists}, Row{7, Code::internal}, Row{8, Code::internal}, Row{12, Code::unsupported}, Row{13, Code::internal},
        Row{14, Code::unavailable}, Row{16, Code::internal}, Row{999, Code::internal}}) {
    EXPECT_EQ(grpc_error({row.status, "why"}).code, row.code) << row.status;
    EXPECT_EQ(grpc_error({row.status, "why"}).message, "why");
  }
  EXPECT_EQ(grpc_error({5, ""}).message, "NotFound");
  EXPECT_EQ(grpc_error({999, ""}).message, "Unknown");
  EXPECT_EQ(grpc_status_of_http(404).code, grpc_unimplemented);
  EXPECT_EQ(grpc_status_of_http(503).code, grpc_unavailable);
  EXPECT_EQ(grpc_status_of_http(503).message, "unexpected HTTP status code received from server: 503 (Service Unavailable)");
  EXPECT_EQ(grpc_status_of_reset(8).message, "stream terminated by RST_STREAM with error code: CANCEL");
  EXPECT_EQ(grpc_status_of_reset(4711).message, "stream terminated by RST_STREAM with error code: unknown");
}

TEST(GrpcMessage, PercentEncoding) {
  struct Row {
    const char* text;
    const char* decoded;
  };
  for (const Row& row : {Row{"", ""}, Row{"plain", "plain"}, Row{"a%20b", "a b"}, Row{"%e7%b5%84", "\xe7\xb5\x84"}, Row{"%E7", "\xe7"},
                         Row{"100%", "100%"}, Row{"%2", "%2"}, Row{"%zz", "%zz"}, Row{"%%41", "%A"}, Row{"%0", "%0"}})
    EXPECT_EQ(decode_grpc_message(row.text), row.decoded) << row.text;
}

TEST(GrpcMessage, TimeOuts) {
  using std::chrono::milliseconds;
  struct Row {
    std::int64_t ms;
    const char* text;
  };
  for (const Row& row : {Row{0, "1m"}, Row{1, "1m"}, Row{60000, "60000m"}, Row{99999999, "99999999m"}, Row{100000000, "100000S"},
                         Row{INT64_MAX, "99999999S"}})
    EXPECT_EQ(grpc_timeout_value(milliseconds(row.ms)), row.text);
}

}  // namespace
}  // namespace kybern::net
