// gRPC checks against a server that answers frame by frame (RFC 9113); the other checks are made of real containers.
#include "kubelet/probes/checks.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>

#include "kubelet/testing/http2_frames.h"
#include "net/client/raw_server.h"

namespace kybern::kubelet {
namespace {

using Health = CheckOutcome::Result;

using namespace testing;  // frames

// What the health service answers: a status of HealthCheckResponse, or a gRPC status without a message.
struct Answer {
  int health = -1;
  std::string grpc_status = "0";
};

// Serves Health/Check on one connection; `asked` gets each request's message.
void serve(net::RawPeer& peer, const Answer& answer, std::string& asked) {
  if (peer.read_exactly(24) != "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" || !peer.write(frame(frame_settings, 0, 0, ""))) return;
  for (;;) {
    std::string head = peer.read_exactly(9);
    if (head.size() < 9) return;
    auto byte = [&](std::size_t i) { return static_cast<std::uint32_t>(static_cast<unsigned char>(head[i])); };
    std::string payload = peer.read_exactly(byte(0) << 16 | byte(1) << 8 | byte(2));
    std::uint32_t stream = byte(5) << 24 | byte(6) << 16 | byte(7) << 8 | byte(8);
    if (head[3] == frame_settings && !(head[4] & ack)) peer.write(frame(frame_settings, ack, 0, ""));
    if (head[3] == frame_ping && !(head[4] & ack)) peer.write(frame(frame_ping, ack, 0, payload));
    if (head[3] == frame_data && payload.size() >= 5) asked = payload.substr(5);
    if ((head[3] != frame_data && head[3] != frame_headers) || !(head[4] & end_stream)) continue;
    if (answer.health < -1) continue;                                           // never
    std::string status = "\x88" + literal("content-type", "application/grpc");  // :status 200
    peer.write(frame(frame_headers, end_headers, stream, status));
    if (answer.health >= 0) {
      std::string message = answer.health == 0 ? std::string() : std::string{8, static_cast<char>(answer.health)};
      peer.write(frame(frame_data, 0, stream, std::string(4, '\0') + static_cast<char>(message.size()) + message));
    }
    peer.write(frame(frame_headers, end_headers | end_stream, stream, literal("grpc-status", answer.grpc_status)));
  }
}

struct HealthRow {
  const char* what;
  Answer answer;
  Health result;
  const char* output;
};

class GrpcCheck : public ::testing::TestWithParam<HealthRow> {};

TEST_P(GrpcCheck, TellsWhatTheServerSays) {
  std::string asked;
  CheckOutcome outcome;
  {
    net::RawServer server([&](net::RawPeer& peer) { serve(peer, GetParam().answer, asked); });
    outcome = check_grpc("127.0.0.1", server.port(), "orders", std::chrono::seconds(20));
  }
  EXPECT_EQ(outcome.result, GetParam().result);
  EXPECT_EQ(outcome.output, GetParam().output);
  EXPECT_EQ(asked, "\x0a\x06orders");
}

INSTANTIATE_TEST_SUITE_P(
    Rows, GrpcCheck,
    ::testing::Values(HealthRow{"serving", {1, "0"}, Health::success, "service healthy"},
                      HealthRow{"not serving", {2, "0"}, Health::failure, R"(service unhealthy (responded with "NOT_SERVING"))"},
                      HealthRow{"nothing said", {0, "0"}, Health::failure, R"(service unhealthy (responded with "UNKNOWN"))"},
                      HealthRow{"no health service",
                                {-1, "12"},
                                Health::failure,
                                "error: this server does not implement the grpc health protocol (grpc.health.v1.Health)"}),
    [](const auto& info) {
      std::string name(info.param.what);
      for (char& c : name) c = c == ' ' ? '_' : c;
      return name;
    });

TEST(GrpcCheck, AServerThatIsSilentRunsIntoTheTimeout) {
  std::string asked;
  net::RawServer server([&](net::RawPeer& peer) { serve(peer, {-2, ""}, asked); });
  CheckOutcome outcome = check_grpc("127.0.0.1", server.port(), "", std::chrono::milliseconds(300));
  EXPECT_EQ(outcome.result, Health::failure);
  EXPECT_EQ(outcome.output, "timeout: health rpc did not complete within 0.3s");
}

TEST(GrpcCheck, NobodyListens) {
  CheckOutcome outcome = check_grpc("127.0.0.1", net::free_port(), "", std::chrono::seconds(5));
  EXPECT_EQ(outcome.result, Health::failure);
  EXPECT_TRUE(outcome.output.starts_with("timeout: failed to connect service \"127.0.0.1:")) << outcome.output;
}

}  // namespace
}  // namespace kybern::kubelet
