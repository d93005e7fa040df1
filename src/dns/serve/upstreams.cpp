#include "dns/serve/upstreams.h"

#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "base/log.h"
#include "base/strings.h"

namespace kybern::dns {
namespace {

constexpr std::size_t max_upstreams = 15;
constexpr int dns_port = 53;
constexpr Duration look_interval{std::chrono::seconds(5)};
constexpr Duration penalty{std::chrono::seconds(10)};

bool same(const SocketAddress& a, const SocketAddress& b) { return a.ip() == b.ip() && a.port() == b.port(); }

// A server bound to all addresses answers on the loopback ones for certain; the other ones the loop probe finds out.
bool is_own(const SocketAddress& upstream, const SocketAddress& own) {
  if (upstream.port() != own.port()) return false;
  const Ip ip = upstream.ip(), mine = own.ip();
  const bool wildcard = std::ranges::all_of(mine.bytes, [](std::uint8_t byte) { return byte == 0; });
  const bool loopback = ip.v6 ? ip == *parse_ip("::1") : ip.bytes[0] == 127;
  return ip == mine || (wildcard && loopback && (mine.v6 || !ip.v6));
}

}  // namespace

std::vector<SocketAddress> read_resolv_conf(std::string_view text) {
  std::vector<SocketAddress> out;
  for (std::string_view line : split(text, '\n')) {
    line = trim(line);
    constexpr std::string_view word = "nameserver";
    if (!line.starts_with(word) || line.size() == word.size()) continue;
    if (line[word.size()] != ' ' && line[word.size()] != '\t') continue;
    line = trim(line.substr(word.size()));
    line = line.substr(0, line.find_first_of(" \t#;"));
    line = line.substr(0, line.find('%'));  // a link-local address's interface cannot be kept
    const std::optional<Ip> ip = parse_ip(line);
    if (ip && out.size() < max_upstreams) out.push_back(SocketAddress::of(*ip, dns_port));
  }
  return out;
}

Upstreams::Upstreams(std::string resolv_conf, std::vector<SocketAddress> fixed, std::vector<SocketAddress> own)
    : file_(std::move(resolv_conf)), fixed_(std::move(fixed)), own_(std::move(own)) {}

void Upstreams::take(std::vector<SocketAddress> found) {
  usable_.clear();
  for (SocketAddress& upstream : found) {
    if (std::ranges::any_of(own_, [&](const SocketAddress& own) { return is_own(upstream, own); })) {
      log_warn("dns", "an upstream resolver is this server itself; it is not used", {{"upstream", upstream.text()}});
      continue;
    }
    usable_.push_back(upstream);
  }
  bad_until_.assign(usable_.size(), Instant{});
  if (usable_.empty()) log_warn("dns", "no upstream resolvers: only names of the cluster are answered", {{"file", file_}});
}

bool Upstreams::refresh(Instant now) {
  if (!fixed_.empty()) {
    if (seen_size_ >= 0) return false;
    seen_size_ = 0;
    take(fixed_);
    return true;
  }
  if (now < next_look_) return false;
  next_look_ = now + look_interval;
  struct stat status {};
  const bool there = ::stat(file_.c_str(), &status) == 0;
  const std::int64_t time_ns = there ? status.st_mtim.tv_sec * 1'000'000'000LL + status.st_mtim.tv_nsec : 0;
  const std::int64_t size = there ? status.st_size : 0;
  if (time_ns == seen_time_ns_ && size == seen_size_) return false;
  seen_time_ns_ = time_ns;
  seen_size_ = size;
  std::ifstream in(file_);
  std::stringstream text;
  text << in.rdbuf();
  take(read_resolv_conf(text.str()));
  return true;
}

std::size_t Upstreams::choose(const std::vector<SocketAddress>& tried, Instant now) const {
  std::size_t best = 0;
  std::pair<std::ptrdiff_t, bool> best_rank{PTRDIFF_MAX, true};
  for (std::size_t i = 0; i < usable_.size(); ++i) {
    const auto times = std::ranges::count_if(tried, [&](const SocketAddress& address) { return same(address, usable_[i]); });
    const std::pair<std::ptrdiff_t, bool> rank{times, bad_until_[i] > now};
    if (rank >= best_rank) continue;
    best_rank = rank;
    best = i;
  }
  return best;
}

void Upstreams::failed(const SocketAddress& upstream, Instant now) {
  for (std::size_t i = 0; i < usable_.size(); ++i) {
    if (same(usable_[i], upstream)) bad_until_[i] = now + penalty;
  }
}

void Upstreams::worked(const SocketAddress& upstream) {
  for (std::size_t i = 0; i < usable_.size(); ++i) {
    if (same(usable_[i], upstream)) bad_until_[i] = Instant{};
  }
}

void Upstreams::drop(const SocketAddress& upstream) {
  for (std::size_t i = 0; i < usable_.size(); ++i) {
    if (!same(usable_[i], upstream)) continue;
    log_error("dns", "queries to this upstream resolver come back here; it is not used", {{"upstream", upstream.text()}});
    usable_.erase(usable_.begin() + static_cast<std::ptrdiff_t>(i));
    bad_until_.erase(bad_until_.begin() + static_cast<std::ptrdiff_t>(i));
    return;
  }
}

}  // namespace kybern::dns
