#include "kubelet/serve/spdy.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

#include "net/client.h"

namespace kybern::kubelet {
namespace spdy {
namespace {

constexpr std::uint8_t flag_end = 1;
constexpr std::uint16_t version = 3;
constexpr std::size_t most_stored_bytes = 65535;
// The zlib head of a stream with a preset dictionary, and the checksum of the dictionary that SPDY/3 defines.
constexpr std::string_view zlib_head = "\x78\xbb\xe3\xc6\xa7\xc2";

void put32(std::string& out, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
}
std::uint32_t get32(std::string_view bytes) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

std::string control_frame(ControlType type, std::uint8_t flags, std::string_view payload) {
  std::string out;
  put32(out, 0x80000000u | static_cast<std::uint32_t>(version) << 16 | type);
  put32(out, static_cast<std::uint32_t>(flags) << 24 | static_cast<std::uint32_t>(payload.size()));
  out += payload;
  return out;
}

// Deflate blocks that hold their bytes as they are; an empty one last, which makes the reader give out what it has.
std::string stored(std::string_view bytes) {
  std::string out;
  while (!bytes.empty()) {
    std::size_t n = std::min(bytes.size(), most_stored_bytes);
    auto low = static_cast<char>(n & 0xff), high = static_cast<char>(n >> 8);
    out += {'\0', low, high, static_cast<char>(~low), static_cast<char>(~high)};
    out += bytes.substr(0, n);
    bytes.remove_prefix(n);
  }
  return out + std::string("\0\0\0\xff\xff", 5);
}

}  // namespace

Result<std::size_t> parse_frame(std::string_view input, Frame& frame) {
  if (input.size() < head_bytes) return std::size_t(0);
  std::uint32_t first = get32(input), second = get32(input.substr(4));
  std::size_t size = second & 0xffffff;
  if (size > most_frame_bytes)
    return fail(Code::too_large, fmt::format("a SPDY frame of {} bytes; at most {} are taken", size, most_frame_bytes));
  frame.control = (first & 0x80000000u) != 0;
  if (frame.control && (first >> 16 & 0x7fff) != version) return fail(Code::invalid, "not SPDY/3");
  if (input.size() < head_bytes + size) return std::size_t(0);
  frame.type = frame.control ? static_cast<std::uint16_t>(first & 0xffff) : 0;
  frame.stream = frame.control ? 0 : first;
  frame.flags = static_cast<std::uint8_t>(second >> 24);
  frame.payload = input.substr(head_bytes, size);
  return head_bytes + size;
}

std::string data_frame(std::uint32_t stream, std::string_view bytes, bool end) {
  std::string out;
  put32(out, stream & 0x7fffffffu);
  put32(out, static_cast<std::uint32_t>(end ? flag_end : 0) << 24 | static_cast<std::uint32_t>(bytes.size()));
  out += bytes;
  return out;
}

std::string syn_stream_frame(std::uint32_t stream, const SpdyClient::HeaderList& list, bool first_of_connection) {
  std::string block;
  put32(block, static_cast<std::uint32_t>(list.size()));
  for (const auto& [name, value] : list) {
    put32(block, static_cast<std::uint32_t>(name.size()));
    block += name;
    put32(block, static_cast<std::uint32_t>(value.size()));
    block += value;
  }
  std::string payload;
  put32(payload, stream);
  put32(payload, 0);        // associated to no stream
  payload += {'\0', '\0'};  // priority, slot
  if (first_of_connection) payload += zlib_head;
  payload += stored(block);
  return control_frame(syn_stream, 0, payload);
}

std::string ping_frame(std::string_view payload) { return control_frame(ping, 0, payload); }

}  // namespace spdy

namespace {

constexpr std::size_t data_frame_bytes = 32 * 1024;

class Client : public SpdyClient, public std::enable_shared_from_this<Client> {
 public:
  Client(std::unique_ptr<net::HttpClient> http, std::unique_ptr<net::DuplexStream> stream)
      : http_(std::move(http)), stream_(std::move(stream)) {}

  void start(Callbacks callbacks) override {
    callbacks_ = std::move(callbacks);
    std::thread([self = shared_from_this()] { self->read_loop(); }).detach();
  }

  Result<std::uint32_t> open(const HeaderList& list) override {
    std::lock_guard lock(write_mutex_);
    std::uint32_t id = next_stream_;
    next_stream_ += 2;
    auto wrote = stream_->write(spdy::syn_stream_frame(id, list, id == 1));
    if (!wrote) return std::unexpected(wrote.error());
    return id;
  }

  Result<void> write(std::uint32_t stream, std::string_view bytes, bool end) override {
    std::lock_guard lock(write_mutex_);
    do {
      std::string_view part = bytes.substr(0, data_frame_bytes);
      bytes.remove_prefix(part.size());
      auto wrote = stream_->write(spdy::data_frame(stream, part, end && bytes.empty()));
      if (!wrote) return wrote;
    } while (!bytes.empty());
    return {};
  }

  void close() override { stream_->close(); }

 private:
  void read_loop() {
    std::string input, why;
    while (true) {
      auto more = stream_->read();
      if (!more || more->empty()) {
        if (!more && more.error().code != Code::canceled) why = more.error().message;
        break;
      }
      input += *more;
      std::size_t taken = 0;
      bool broken = false;
      while (true) {
        spdy::Frame frame;
        auto used = spdy::parse_frame(std::string_view(input).substr(taken), frame);
        if (!used) {
          why = used.error().message;
          broken = true;
          break;
        }
        if (*used == 0) break;
        handle(frame);
        taken += *used;
      }
      if (broken) break;
      input.erase(0, taken);
    }
    callbacks_.closed(why);
    callbacks_ = {};  // they may hold who holds us
  }

  void handle(const spdy::Frame& frame) {
    if (!frame.control) {
      callbacks_.data(frame.stream, frame.payload, (frame.flags & 1) != 0);
    } else if (frame.type == spdy::ping) {
      std::lock_guard lock(write_mutex_);
      (void)stream_->write(spdy::ping_frame(frame.payload));
    } else if (frame.type == spdy::rst_stream && frame.payload.size() >= 4) {
      std::uint32_t id = 0;
      for (std::size_t i = 0; i < 4; ++i) id = id << 8 | static_cast<unsigned char>(frame.payload[i]);
      callbacks_.data(id, {}, true);
    }
  }

  std::unique_ptr<net::HttpClient> http_;
  std::unique_ptr<net::DuplexStream> stream_;
  Callbacks callbacks_;
  std::mutex write_mutex_;
  std::uint32_t next_stream_ = 1;  // a client's are odd
};

}  // namespace

Result<std::shared_ptr<SpdyClient>> SpdyClient::connect(const std::string& url, const std::vector<std::string>& protocols) {
  std::size_t scheme = url.find("://"), path = scheme == std::string::npos ? std::string::npos : url.find('/', scheme + 3);
  if (path == std::string::npos) return fail(Code::invalid, fmt::format("{} is no URL of a stream", url));
  net::ClientOptions options;
  options.url = url.substr(0, path);
  auto http = net::HttpClient::make(std::move(options));
  if (!http) return std::unexpected(http.error());
  net::ClientRequest request;
  request.method = "POST";
  request.target = url.substr(path);
  request.headers.add("connection", "Upgrade");
  request.headers.add("upgrade", "SPDY/3.1");
  request.headers.add("content-length", "0");
  for (const std::string& p : protocols) request.headers.add("x-stream-protocol-version", p);
  auto stream = (*http)->upgrade(std::move(request));
  if (!stream) return std::unexpected(stream.error());
  return std::make_shared<Client>(std::move(*http), std::move(*stream));
}

}  // namespace kybern::kubelet
