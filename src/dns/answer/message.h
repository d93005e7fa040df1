// DNS messages (RFC 1035, EDNS RFC 6891): a query read, an answer written. The parsing of names and records is ldns's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "dns/answer/answer.h"

namespace kybern::dns {

constexpr std::size_t header_bytes = 12;
constexpr std::size_t plain_udp_bytes = 512;  // what every client takes over UDP
constexpr std::size_t max_udp_bytes = 4096;   // more is truncated, even when the client would take it
constexpr std::size_t max_message_bytes = 65535;

struct Query {
  std::uint16_t id = 0;
  bool recursion_desired = false, checking_disabled = false;
  std::string qname;  // in wire form, as written by the client
  Question question;
  std::uint16_t type_number = 0, class_number = 1;
  bool edns = false, dnssec_ok = false;
  std::uint16_t udp_bytes = plain_udp_bytes;  // what the client takes over UDP
  // not no_error: the query is answered with this at once (malformed, another opcode, another EDNS version)
  Rcode refusal = Rcode::no_error;
  std::uint8_t opcode = 0;
};

// Nothing: not to be answered at all (too short for a header, or itself an answer).
std::optional<Query> parse_query(std::string_view message);

// At most `limit` bytes: additional records go first, then answers (with the TC bit). An answer to a refused query
// carries what is known of it.
std::string write_answer(const Query& query, const Answer& answer, std::size_t limit);

// The most bytes for an answer over UDP.
std::size_t udp_limit(const Query& query);

// A query of our own, with EDNS: `name` without trailing dot.
std::optional<std::string> write_query(std::uint16_t id, std::string_view name, Type type);

// Whether `message` answers a query with this id and question (names compare without case).
bool answers_query(std::string_view message, std::uint16_t id, std::string_view query_message);

// `answer` with the answer records of an upstream's `message` after its own, its rcode, and the SOA record of a negative answer.
// Nothing when the message is malformed.
std::optional<std::string> write_chased(const Query& query, const Answer& answer, std::string_view message, std::size_t limit);

// Length of the header and question section, 0 when malformed; the question starts at header_bytes.
std::size_t question_end(std::string_view message);

}  // namespace kybern::dns
