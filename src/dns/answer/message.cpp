#include "dns/answer/message.h"

#include <ldns/ldns.h>

#include <algorithm>
#include <memory>

#include "base/strings.h"

namespace kybern::dns {
namespace {

constexpr std::uint16_t our_udp_bytes = 1232;  // what we tell others that we take: fits into any path's packets

template <auto function>
struct Call {
  template <class T>
  void operator()(T* pointer) const {
    function(pointer);
  }
};
using Packet = std::unique_ptr<ldns_pkt, Call<ldns_pkt_free>>;
using Rr = std::unique_ptr<ldns_rr, Call<ldns_rr_free>>;
using Rdf = std::unique_ptr<ldns_rdf, Call<ldns_rdf_deep_free>>;
using Buffer = std::unique_ptr<ldns_buffer, Call<ldns_buffer_free>>;

std::uint16_t read16(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint16_t>(static_cast<unsigned char>(bytes[at]) << 8 | static_cast<unsigned char>(bytes[at + 1]));
}

std::vector<std::string> labels_of(std::string_view wire) {
  std::vector<std::string> out;
  for (std::size_t at = 0; at < wire.size() && wire[at] != 0;) {
    const std::size_t length = static_cast<unsigned char>(wire[at]);
    out.push_back(to_lower(wire.substr(at + 1, length)));
    at += 1 + length;
  }
  return out;
}

// A name in wire form from its text; nothing when a label is empty or too long, or the whole is.
std::optional<std::string> wire_name(std::string_view text) {
  std::string out;
  if (!text.empty()) {
    for (std::string_view label : split(text, '.')) {
      if (label.empty() || label.size() > LDNS_MAX_LABELLEN) return std::nullopt;
      out += static_cast<char>(label.size());
      out += label;
    }
  }
  out += '\0';
  if (out.size() > LDNS_MAX_DOMAINLEN) return std::nullopt;
  return out;
}

ldns_rdf* dname(std::string_view wire) { return ::ldns_dname_new_frm_data(static_cast<std::uint16_t>(wire.size()), wire.data()); }

void push_number16(ldns_rr* rr, std::uint16_t value) { ::ldns_rr_push_rdf(rr, ::ldns_native2rdf_int16(LDNS_RDF_TYPE_INT16, value)); }
void push_number32(ldns_rr* rr, ldns_rdf_type type, std::uint32_t value) { ::ldns_rr_push_rdf(rr, ::ldns_native2rdf_int32(type, value)); }

bool push_name(ldns_rr* rr, std::string_view text) {
  const std::optional<std::string> wire = wire_name(text);
  if (!wire) return false;
  ::ldns_rr_push_rdf(rr, dname(*wire));
  return true;
}

bool push_data(ldns_rr* rr, const Record& record) {
  if (const Ip* ip = std::get_if<Ip>(&record.data)) {
    ::ldns_rr_push_rdf(rr, ::ldns_rdf_new_frm_data(ip->v6 ? LDNS_RDF_TYPE_AAAA : LDNS_RDF_TYPE_A, ip->v6 ? 16 : 4, ip->bytes.data()));
    return true;
  }
  if (const NameData* name = std::get_if<NameData>(&record.data)) return push_name(rr, name->name);
  if (const SrvData* srv = std::get_if<SrvData>(&record.data)) {
    push_number16(rr, srv->priority);
    push_number16(rr, srv->weight);
    push_number16(rr, srv->port);
    return push_name(rr, srv->target);
  }
  if (const TextData* text = std::get_if<TextData>(&record.data)) {
    std::string counted(1, static_cast<char>(std::min<std::size_t>(255, text->text.size())));
    counted += text->text.substr(0, 255);
    ::ldns_rr_push_rdf(rr, ::ldns_rdf_new_frm_data(LDNS_RDF_TYPE_STR, counted.size(), counted.data()));
    return true;
  }
  const SoaData& soa = std::get<SoaData>(record.data);
  if (!push_name(rr, soa.primary) || !push_name(rr, soa.mailbox)) return false;
  push_number32(rr, LDNS_RDF_TYPE_INT32, soa.serial);
  for (std::uint32_t period : {soa.refresh, soa.retry, soa.expire, soa.minimum}) push_number32(rr, LDNS_RDF_TYPE_PERIOD, period);
  return true;
}

Rr make_rr(const Query& query, const Record& record) {
  const std::optional<std::string> owner = record.owner.empty() ? query.qname : wire_name(record.owner);
  if (!owner) return nullptr;
  Rr rr(::ldns_rr_new());
  ::ldns_rr_set_type(rr.get(), static_cast<ldns_rr_type>(record.type));
  ::ldns_rr_set_class(rr.get(), LDNS_RR_CLASS_IN);
  ::ldns_rr_set_ttl(rr.get(), record.ttl_s);
  ::ldns_rr_set_owner(rr.get(), dname(*owner));
  ::ldns_rr_set_rd_count(rr.get(), 0);
  return push_data(rr.get(), record) ? std::move(rr) : nullptr;
}

void push_records(ldns_pkt* packet, ldns_pkt_section section, const Query& query, const std::vector<Record>& records, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    if (Rr rr = make_rr(query, records[i])) ::ldns_pkt_push_rr(packet, section, rr.release());
  }
}

void push_question(ldns_pkt* packet, std::string_view qname, std::uint16_t type, std::uint16_t class_number) {
  ldns_rr* rr = ::ldns_rr_new();
  ::ldns_rr_set_question(rr, true);
  ::ldns_rr_set_type(rr, static_cast<ldns_rr_type>(type));
  ::ldns_rr_set_class(rr, static_cast<ldns_rr_class>(class_number));
  ::ldns_rr_set_owner(rr, dname(qname));
  ::ldns_pkt_push_rr(packet, LDNS_SECTION_QUESTION, rr);
}

Packet reply_to(const Query& query, Rcode rcode, bool authoritative) {
  Packet packet(::ldns_pkt_new());
  ldns_pkt* p = packet.get();
  const unsigned code = static_cast<unsigned>(rcode);
  ::ldns_pkt_set_id(p, query.id);
  ::ldns_pkt_set_qr(p, true);
  ::ldns_pkt_set_opcode(p, static_cast<ldns_pkt_opcode>(query.opcode));
  ::ldns_pkt_set_aa(p, authoritative);
  ::ldns_pkt_set_rd(p, query.recursion_desired);
  ::ldns_pkt_set_cd(p, query.checking_disabled);
  ::ldns_pkt_set_ra(p, true);
  ::ldns_pkt_set_rcode(p, static_cast<std::uint8_t>(code & 0xf));
  if (query.edns) {
    ::ldns_pkt_set_edns_udp_size(p, our_udp_bytes);
    ::ldns_pkt_set_edns_extended_rcode(p, static_cast<std::uint8_t>(code >> 4));
    if (query.dnssec_ok) ::ldns_pkt_set_edns_do(p, true);
  }
  if (!query.qname.empty()) push_question(p, query.qname, query.type_number, query.class_number);
  return packet;
}

std::string wire_of(const ldns_pkt* packet) {
  // Kept by the thread: the writing of an answer needs no new buffer.
  thread_local const Buffer buffer(::ldns_buffer_new(plain_udp_bytes));
  ::ldns_buffer_clear(buffer.get());
  if (::ldns_pkt2buffer_wire(buffer.get(), packet) != LDNS_STATUS_OK) return {};
  std::string out(reinterpret_cast<const char*>(::ldns_buffer_begin(buffer.get())), ::ldns_buffer_position(buffer.get()));
  if (::ldns_buffer_capacity(buffer.get()) > max_message_bytes) ::ldns_buffer_set_capacity(buffer.get(), plain_udp_bytes);
  return out;
}

// Writes with `write(answers, with_additional, truncated)`, ever less until it fits.
template <class Write>
std::string fit(std::size_t answers, bool has_additional, std::size_t limit, Write write) {
  std::string out = write(answers, true, false);
  if (out.size() <= limit && !out.empty()) return out;
  if (has_additional) out = write(answers, false, false);
  while (out.size() > limit && answers > 0) {
    answers = std::min(answers - 1, answers * limit / out.size());
    out = write(answers, false, true);
  }
  return out;
}

Packet parse_packet(std::string_view message) {
  ldns_pkt* packet = nullptr;
  if (::ldns_wire2pkt(&packet, reinterpret_cast<const std::uint8_t*>(message.data()), message.size()) != LDNS_STATUS_OK) return nullptr;
  return Packet(packet);
}

void read_edns(const ldns_pkt* packet, Query& query) {
  query.edns = ::ldns_pkt_edns(packet);
  if (!query.edns) return;
  query.udp_bytes = std::max<std::uint16_t>(plain_udp_bytes, ::ldns_pkt_edns_udp_size(packet));
  query.dnssec_ok = ::ldns_pkt_edns_do(packet);
  if (::ldns_pkt_edns_version(packet) != 0) query.refusal = Rcode::bad_version;
}

}  // namespace

std::optional<Query> parse_query(std::string_view message) {
  if (message.size() < header_bytes || (message[2] & 0x80) != 0) return std::nullopt;
  Query out;
  out.id = read16(message, 0);
  out.opcode = static_cast<std::uint8_t>(message[2] >> 3 & 0xf);
  out.recursion_desired = (message[2] & 0x01) != 0;
  out.checking_disabled = (message[3] & 0x10) != 0;
  if (out.opcode != LDNS_PACKET_QUERY) {
    out.refusal = Rcode::not_implemented;
    return out;
  }
  const Packet packet = parse_packet(message);
  if (!packet || ::ldns_pkt_qdcount(packet.get()) != 1) {
    out.refusal = Rcode::format_error;
    return out;
  }
  const ldns_rr* question = ::ldns_rr_list_rr(::ldns_pkt_question(packet.get()), 0);
  const ldns_rdf* owner = ::ldns_rr_owner(question);
  out.qname.assign(reinterpret_cast<const char*>(::ldns_rdf_data(owner)), ::ldns_rdf_size(owner));
  out.type_number = static_cast<std::uint16_t>(::ldns_rr_get_type(question));
  out.class_number = static_cast<std::uint16_t>(::ldns_rr_get_class(question));
  out.question = {labels_of(out.qname), static_cast<Type>(out.type_number)};
  read_edns(packet.get(), out);
  if (out.refusal != Rcode::no_error) return out;
  const bool transfer = out.question.type == Type::axfr || out.question.type == Type::ixfr;
  if (transfer || out.class_number != LDNS_RR_CLASS_IN) out.refusal = Rcode::refused;
  return out;
}

std::size_t udp_limit(const Query& query) { return std::min<std::size_t>(query.udp_bytes, max_udp_bytes); }

std::string write_answer(const Query& query, const Answer& answer, std::size_t limit) {
  return fit(answer.answers.size(), !answer.additional.empty(), limit, [&](std::size_t answers, bool with_additional, bool truncated) {
    const Packet packet = reply_to(query, answer.rcode, answer.authoritative);
    if (truncated) ::ldns_pkt_set_tc(packet.get(), true);
    push_records(packet.get(), LDNS_SECTION_ANSWER, query, answer.answers, answers);
    push_records(packet.get(), LDNS_SECTION_AUTHORITY, query, answer.authority, answer.authority.size());
    if (with_additional) push_records(packet.get(), LDNS_SECTION_ADDITIONAL, query, answer.additional, answer.additional.size());
    return wire_of(packet.get());
  });
}

std::optional<std::string> write_query(std::uint16_t id, std::string_view name, Type type) {
  const std::optional<std::string> qname = wire_name(name);
  if (!qname) return std::nullopt;
  Packet packet(::ldns_pkt_new());
  ::ldns_pkt_set_id(packet.get(), id);
  ::ldns_pkt_set_rd(packet.get(), true);
  ::ldns_pkt_set_edns_udp_size(packet.get(), our_udp_bytes);
  push_question(packet.get(), *qname, static_cast<std::uint16_t>(type), LDNS_RR_CLASS_IN);
  return wire_of(packet.get());
}

std::size_t question_end(std::string_view message) {
  if (message.size() < header_bytes || read16(message, 4) != 1) return 0;
  std::size_t at = header_bytes;
  while (at < message.size() && message[at] != 0) {
    const std::size_t length = static_cast<unsigned char>(message[at]);
    if (length > LDNS_MAX_LABELLEN) return 0;  // nothing before the question to point to
    at += 1 + length;
  }
  return at + 5 <= message.size() ? at + 5 : 0;
}

bool answers_query(std::string_view message, std::uint16_t id, std::string_view query_message) {
  const std::size_t end = question_end(query_message);
  if (end == 0 || message.size() < header_bytes || (message[2] & 0x80) == 0 || read16(message, 0) != id) return false;
  // An upstream that could not read the query may leave the question out.
  if (read16(message, 4) == 0) return message.size() == header_bytes;
  if (question_end(message) != end) return false;
  return equals_ignore_case(message.substr(header_bytes, end - header_bytes), query_message.substr(header_bytes, end - header_bytes));
}

std::optional<std::string> write_chased(const Query& query, const Answer& answer, std::string_view message, std::size_t limit) {
  const Packet upstream = parse_packet(message);
  if (!upstream) return std::nullopt;
  const ldns_rr_list* more = ::ldns_pkt_answer(upstream.get());
  const ldns_rr_list* authority = ::ldns_pkt_authority(upstream.get());
  const std::size_t own = answer.answers.size();
  const auto rcode = static_cast<Rcode>(::ldns_pkt_get_rcode(upstream.get()));
  return fit(own + ::ldns_rr_list_rr_count(more), false, limit, [&](std::size_t answers, bool, bool truncated) {
    const Packet packet = reply_to(query, rcode, answer.authoritative);
    if (truncated || ::ldns_pkt_tc(upstream.get())) ::ldns_pkt_set_tc(packet.get(), true);
    push_records(packet.get(), LDNS_SECTION_ANSWER, query, answer.answers, std::min(own, answers));
    for (std::size_t i = own; i < answers; ++i) {
      ::ldns_pkt_push_rr(packet.get(), LDNS_SECTION_ANSWER, ::ldns_rr_clone(::ldns_rr_list_rr(more, i - own)));
    }
    for (std::size_t i = 0; i < ::ldns_rr_list_rr_count(authority); ++i) {
      const ldns_rr* rr = ::ldns_rr_list_rr(authority, i);
      if (::ldns_rr_get_type(rr) == LDNS_RR_TYPE_SOA) ::ldns_pkt_push_rr(packet.get(), LDNS_SECTION_AUTHORITY, ::ldns_rr_clone(rr));
    }
    return wire_of(packet.get());
  });
}

}  // namespace kybern::dns
