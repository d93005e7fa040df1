#include "dns/serve/cache.h"

#include <algorithm>

#include "base/strings.h"

namespace kybern::dns {
namespace {

std::uint32_t read(std::string_view bytes, std::size_t at, std::size_t count) {
  std::uint32_t out = 0;
  for (std::size_t i = 0; i < count; ++i) out = out << 8 | static_cast<unsigned char>(bytes[at + i]);
  return out;
}

// What the upstream's answer may depend on. The size counts because a larger answer fits only where it was asked for.
std::string key_of(const Query& query) {
  std::string key = to_lower(query.qname);
  for (std::uint16_t number : {query.type_number, query.class_number, query.edns ? query.udp_bytes : std::uint16_t(0)}) {
    key += static_cast<char>(number >> 8);
    key += static_cast<char>(number & 0xff);
  }
  key += static_cast<char>(query.dnssec_ok << 2 | query.checking_disabled << 1 | query.recursion_desired);
  return key;
}

std::size_t skip_name(std::string_view message, std::size_t at) {
  while (at < message.size()) {
    const unsigned length = static_cast<unsigned char>(message[at]);
    if (length == 0) return at + 1;
    if (length >= 0xc0) return at + 2;
    at += 1 + length;
  }
  return message.npos;
}

struct Lifetimes {
  std::vector<std::uint16_t> places;
  std::uint32_t shortest_s = Cache::max_ttl_s;
  bool any = false;
};

// Goes over all records; a negative answer lives as long as its SOA record says (RFC 2308 section 5).
std::optional<Lifetimes> lifetimes(std::string_view message) {
  Lifetimes out;
  std::size_t at = question_end(message);
  if (at == 0) return std::nullopt;
  const std::size_t answers = read(message, 6, 2), records = answers + read(message, 8, 2) + read(message, 10, 2);
  for (std::size_t i = 0; i < records; ++i) {
    at = skip_name(message, at);
    if (at == message.npos || at + 10 > message.size()) return std::nullopt;
    const auto type = static_cast<Type>(read(message, at, 2));
    const std::size_t data = at + 10, data_bytes = read(message, at + 8, 2);
    if (data + data_bytes > message.size()) return std::nullopt;
    if (type != Type::opt) {
      std::uint32_t ttl_s = read(message, at + 4, 4);
      if (type == Type::soa && answers == 0 && data_bytes >= 4) ttl_s = std::min(ttl_s, read(message, data + data_bytes - 4, 4));
      out.shortest_s = std::min(out.shortest_s, ttl_s);
      out.places.push_back(static_cast<std::uint16_t>(at + 4));
      out.any |= i < answers || type == Type::soa;
    }
    at = data + data_bytes;
  }
  return out;
}

}  // namespace

std::optional<std::string> Cache::find(const Query& query, std::string_view query_message, Instant now) {
  if (entries_.empty()) return std::nullopt;
  auto found = by_key_.find(key_of(query));
  if (found == by_key_.end()) return std::nullopt;
  const auto entry = found->second;
  if (entry->until <= now) {
    by_key_.erase(found);
    entries_.erase(entry);
    return std::nullopt;
  }
  entries_.splice(entries_.begin(), entries_, entry);
  std::string out = entry->message;
  const std::size_t end = question_end(query_message);
  if (end == 0 || end != question_end(out)) return std::nullopt;
  out.replace(0, 2, query_message.substr(0, 2));
  out.replace(header_bytes, end - header_bytes, query_message.substr(header_bytes, end - header_bytes));
  const auto passed_s = static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::seconds>(now - entry->from).count());
  for (std::size_t place : entry->lifetimes) {
    std::uint32_t ttl_s = read(out, place, 4);
    ttl_s -= std::min(ttl_s, passed_s);
    for (std::size_t i = 0; i < 4; ++i) out[place + i] = static_cast<char>(ttl_s >> (24 - 8 * i));
  }
  return out;
}

void Cache::put(const Query& query, std::string_view message, Instant now) {
  if (max_entries_ == 0 || message.size() > max_answer_bytes || message.size() < header_bytes) return;
  const bool truncated = (message[2] & 0x02) != 0;
  const auto rcode = static_cast<Rcode>(message[3] & 0xf);
  if (truncated || (rcode != Rcode::no_error && rcode != Rcode::name_error)) return;
  std::optional<Lifetimes> found = lifetimes(message);
  if (!found || !found->any || found->shortest_s == 0) return;
  std::string key = key_of(query);
  if (auto old = by_key_.find(key); old != by_key_.end()) {
    const auto entry = old->second;
    by_key_.erase(old);
    entries_.erase(entry);
  }
  if (entries_.size() >= max_entries_) {
    by_key_.erase(entries_.back().key);
    entries_.pop_back();
  }
  entries_.push_front({std::move(key), std::string(message), std::move(found->places), now, now + std::chrono::seconds(found->shortest_s)});
  by_key_.emplace(entries_.front().key, entries_.begin());
}

}  // namespace kybern::dns
