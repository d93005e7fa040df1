#include "proxy/apply/conntrack.h"

#include <fmt/format.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

namespace kybern::proxy {
namespace {

constexpr std::size_t read_bytes = 64 << 10;  // of one answer of the kernel, far above a page
constexpr int answer_timeout_s = 5;

struct Bytes {
  const char* data = nullptr;
  std::size_t size = 0;
  explicit operator bool() const { return data != nullptr; }
};

// Attributes {u16 length, u16 type, payload} one after the other, each aligned to 4 bytes.
Bytes attribute(Bytes from, unsigned type) {
  std::size_t at = 0;
  while (from.size - at >= NLA_HDRLEN && at < from.size) {
    nlattr header;
    std::memcpy(&header, from.data + at, sizeof header);
    if (header.nla_len < NLA_HDRLEN || header.nla_len > from.size - at) return {};
    if ((header.nla_type & NLA_TYPE_MASK) == type)
      return {from.data + at + NLA_HDRLEN, header.nla_len - static_cast<std::size_t>(NLA_HDRLEN)};
    at += NLA_ALIGN(header.nla_len);
    if (at >= from.size) break;
  }
  return {};
}

std::optional<std::uint16_t> port_in(Bytes proto, unsigned type) {
  const Bytes value = attribute(proto, type);
  if (!value || value.size < 2) return std::nullopt;
  return static_cast<std::uint16_t>(static_cast<unsigned char>(value.data[0]) << 8 | static_cast<unsigned char>(value.data[1]));
}

std::optional<Address> address_in(Bytes tuple, bool v6, unsigned type) {
  const Bytes value = attribute(attribute(tuple, CTA_TUPLE_IP), type);
  if (!value || value.size != (v6 ? 16u : 4u)) return std::nullopt;
  Address out;
  out.v6 = v6;
  std::memcpy(out.bytes.data(), value.data, value.size);
  return out;
}

void append(std::string& out, const void* data, std::size_t size) {
  out.append(static_cast<const char*>(data), size);
  out.append(NLMSG_ALIGN(size) - size, '\0');
}

void append_attribute(std::string& out, unsigned type, Bytes value) {
  nlattr header{static_cast<std::uint16_t>(NLA_HDRLEN + value.size), static_cast<std::uint16_t>(type)};
  append(out, &header, sizeof header);
  append(out, value.data, value.size);
}

std::string message(unsigned type, unsigned flags, bool v6, const std::string& attributes) {
  nlmsghdr header{};
  header.nlmsg_len = static_cast<std::uint32_t>(NLMSG_LENGTH(sizeof(nfgenmsg)) + attributes.size());
  header.nlmsg_type = static_cast<std::uint16_t>(NFNL_SUBSYS_CTNETLINK << 8 | type);
  header.nlmsg_flags = static_cast<std::uint16_t>(flags);
  nfgenmsg family{};
  family.nfgen_family = v6 ? AF_INET6 : AF_INET;
  family.version = NFNETLINK_V0;
  std::string out;
  append(out, &header, sizeof header);
  append(out, &family, sizeof family);
  return out + attributes;
}

class Socket {
 public:
  static Result<Socket> open() {
    Socket out(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER));
    if (out.file_ < 0) return fail(Code::unavailable, fmt::format("conntrack: {}", std::strerror(errno)));
    const timeval limit{answer_timeout_s, 0};
    ::setsockopt(out.file_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return out;
  }
  explicit Socket(int file) : file_(file) {}
  Socket(Socket&& other) noexcept : file_(std::exchange(other.file_, -1)) {}
  ~Socket() {
    if (file_ >= 0) ::close(file_);
  }

  // Sends, and gives every message of the answer to `take` until the kernel says it is done. ENOENT is no failure: the
  // flow went away by itself.
  template <class Take>
  Result<void> ask(const std::string& request, Take take) {
    if (::send(file_, request.data(), request.size(), 0) < 0)
      return fail(Code::unavailable, fmt::format("conntrack: {}", std::strerror(errno)));
    buffer_.resize(read_bytes);
    while (true) {
      const ssize_t size = ::recv(file_, buffer_.data(), buffer_.size(), 0);
      if (size < 0 && errno == EINTR) continue;
      if (size < 0) return fail(Code::unavailable, fmt::format("conntrack: {}", std::strerror(errno)));
      std::size_t at = 0;
      while (at + sizeof(nlmsghdr) <= static_cast<std::size_t>(size)) {
        nlmsghdr header;
        std::memcpy(&header, buffer_.data() + at, sizeof header);
        if (header.nlmsg_len < sizeof header || at + header.nlmsg_len > static_cast<std::size_t>(size)) break;
        if (header.nlmsg_type == NLMSG_DONE) return {};
        if (header.nlmsg_type == NLMSG_ERROR) {
          nlmsgerr error{};
          std::memcpy(&error, buffer_.data() + at + NLMSG_HDRLEN,
                      std::min(sizeof error, header.nlmsg_len - static_cast<std::size_t>(NLMSG_HDRLEN)));
          if (error.error == 0 || error.error == -ENOENT) return {};
          return fail(Code::internal, fmt::format("conntrack: {}", std::strerror(-error.error)));
        }
        const std::size_t skip = NLMSG_LENGTH(sizeof(nfgenmsg));
        if (header.nlmsg_len >= skip) take(Bytes{buffer_.data() + at + skip, header.nlmsg_len - skip});
        at += NLMSG_ALIGN(header.nlmsg_len);
      }
    }
  }

 private:
  int file_;
  std::vector<char> buffer_;
};

std::optional<Flow> read_flow(Bytes entry, bool v6) {
  const Bytes original = attribute(entry, CTA_TUPLE_ORIG), reply = attribute(entry, CTA_TUPLE_REPLY);
  const Bytes original_proto = attribute(original, CTA_TUPLE_PROTO), reply_proto = attribute(reply, CTA_TUPLE_PROTO);
  const Bytes number = attribute(original_proto, CTA_PROTO_NUM);
  if (!number || number.size < 1 || number.data[0] != static_cast<char>(Protocol::udp)) return std::nullopt;
  const auto to = address_in(original, v6, v6 ? CTA_IP_V6_DST : CTA_IP_V4_DST);
  const auto to_port = port_in(original_proto, CTA_PROTO_DST_PORT);
  const auto from = address_in(reply, v6, v6 ? CTA_IP_V6_SRC : CTA_IP_V4_SRC);
  const auto from_port = port_in(reply_proto, CTA_PROTO_SRC_PORT);
  if (!to || !to_port || !from || !from_port) return std::nullopt;
  return Flow{{*to, Protocol::udp, *to_port}, *from, *from_port};
}

// What names an entry for deletion: its first direction, its zone and its id.
std::string names(Bytes entry) {
  std::string out;
  for (unsigned type : {CTA_TUPLE_ORIG, CTA_ZONE, CTA_ID}) {
    const Bytes value = attribute(entry, type);
    if (value) append_attribute(out, type == CTA_TUPLE_ORIG ? type | NLA_F_NESTED : type, value);
  }
  return out;
}

}  // namespace

Result<std::size_t> forget_udp_flows(bool v6, const std::function<bool(const Flow&)>& stale) {
  Result<Socket> socket = Socket::open();
  if (!socket) return std::unexpected(socket.error());
  std::vector<std::string> doomed;
  Result<void> listed = socket->ask(message(IPCTNL_MSG_CT_GET, NLM_F_REQUEST | NLM_F_DUMP, v6, {}), [&](Bytes entry) {
    const std::optional<Flow> flow = read_flow(entry, v6);
    if (flow && stale(*flow)) doomed.push_back(names(entry));
  });
  if (!listed) return std::unexpected(listed.error());
  for (const std::string& name : doomed) {
    Result<void> done = socket->ask(message(IPCTNL_MSG_CT_DELETE, NLM_F_REQUEST | NLM_F_ACK, v6, name), [](Bytes) {});
    if (!done) return std::unexpected(done.error());
  }
  return doomed.size();
}

}  // namespace kybern::proxy
