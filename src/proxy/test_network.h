// For the proxy's tests: network namespaces that live only as long as this process holds them open, so that nothing is left
// behind however a test ends. The process itself is in one of its own (the "node"), made before any thread starts.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>

namespace kybern::proxy::test {

// Why packets cannot be tried here ("" when they can): not root, no ip tool, no nftables.
const std::string& why_no_network();

// Runs a bash command in the namespace of the calling thread; false, and its output on stderr, when it fails.
bool sh(const std::string& command, bool quiet = false);

class Namespace {
 public:
  Namespace();  // a new one, its loopback up
  ~Namespace();
  Namespace(const Namespace&) = delete;
  int file() const { return file_; }
  std::string path() const;                           // for `ip link set ... netns PATH`
  void run(const std::function<void()>& work) const;  // on a thread inside it

 private:
  int file_ = -1;
};

// Answers every TCP connection and UDP datagram on a port (IPv4 and IPv6) with "NAME from ADDRESS".
class EchoServer {
 public:
  EchoServer(const Namespace* where, std::string name, int port);  // `where` null: on the node
  ~EchoServer();

 private:
  std::string name_;
  int tcp_ = -1, udp_ = -1, wake_ = -1;
  std::thread thread_;
  void serve();
};

struct Question {
  std::string address;
  int port = 80;
  bool udp = false;
  int source_port = 0;  // 0: any
  std::chrono::milliseconds patience{3000};
};
// The answer; or "refused", "timeout", or another error's text. `where` null: from the node.
std::string ask(const Namespace* where, const Question& question);

// The first word of an answer ("web-a from 10.244.0.1" -> "web-a"), and what follows " from ".
std::string who(const std::string& answer);
std::string seen_as(const std::string& answer);

}  // namespace kybern::proxy::test
