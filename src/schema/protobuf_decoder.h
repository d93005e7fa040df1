// Protobuf to documents: the reader behind decode_protobuf. Its messages are in protobuf_decode.cpp, its single values in
// protobuf_values.cpp.
//
// A message's fields nearly always lie in ascending order, each in one part, as every encoder writes them: then one pass
// reads and writes. Protobuf allows any order, and messages in parts that count as merged. Such input is read again, each
// message twice: its fields are cut into pieces, then the pieces are written in the table's order.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "document/document.h"
#include "document/names.h"
#include "schema/schema.h"
#include "schema/wire_reader.h"

namespace kybern::schema {

inline constexpr int max_message_depth = 200;                // of messages in messages
inline constexpr std::size_t max_message_bytes = 16u << 20;  // of an API object
inline constexpr std::size_t max_proto3_bytes = 64u << 20;   // of an answer of the runtime or etcd
inline constexpr std::size_t max_length = (1u << 24) - 1;    // of one string or one list, as a document has it
inline constexpr std::string_view magic("k8s\0", 4);

bool plain_long_text(std::string_view text);

// Valid UTF-8. Most texts are short and of ASCII.
inline bool plain_text(std::string_view text) {
  const std::size_t size = text.size();
  if (size < 8 || size > 16) { return plain_long_text(text); }
  std::uint64_t first, last;
  std::memcpy(&first, text.data(), 8);
  std::memcpy(&last, text.data() + size - 8, 8);
  return ((first | last) & 0x8080808080808080u) == 0 || plain_long_text(text);
}

class Decoder {
 public:
  explicit Decoder(std::size_t hint, bool by_pieces = false) : out_(hint), by_pieces_(by_pieces) {}

  bool object(const Type& type, std::string_view bytes, int depth) {
    out_.begin_object();
    if (!fields(type, bytes, depth)) { return false; }
    out_.end_object();
    return true;
  }

  // With the type's own name in front, for an object that came in an envelope.
  bool top(const Type& type, std::string_view api_version, std::string_view kind, std::string_view bytes, int depth) {
    out_.begin_object();
    if (!api_version.empty()) {
      out_.key(names::apiVersion);
      out_.string(api_version);
    }
    if (!kind.empty()) {
      out_.key(names::kind);
      out_.string(kind);
    }
    if (!fields(type, bytes, depth)) { return false; }
    out_.end_object();
    return true;
  }

  bool envelope(std::string_view bytes, int depth);

  // The fields of some message are not in the table's order, or come in parts: a Decoder by pieces can read it.
  bool disordered() const { return disordered_; }

  Result<Document> finish(bool good) {
    if (!good) { return fail(error_.code, std::move(error_.message)); }
    return out_.finish();
  }

  bool wrong(std::string message, Code code = Code::invalid) {
    error_ = {code, std::move(message)};
    return false;
  }

 private:
  bool message(const Type& type, std::string_view bytes, int depth);
  bool in_order(const Type& type, std::string_view bytes, int depth);
  bool many(const Type& type, const Unit& unit, Reader& reader, std::uint64_t tag, Piece piece, int depth);
  bool cut(const Type& type, std::string_view bytes);
  bool fields(const Type& type, std::string_view bytes, int depth);
  bool unit(const Type& type, const Unit& unit, std::size_t a, std::size_t b, int depth);
  bool absent(const Type& type, const Unit& unit, int depth);
  bool field(const Type& type, const Unit& unit, std::size_t a, std::size_t b, int depth);
  bool too_deep();
  bool too_many(const Field& field);
  bool wrong_wire(const Field& field, WireType wire);
  bool list(const Type& type, const Field& field, std::size_t a, std::size_t b, int depth);
  bool packed(const Field& field, std::string_view bytes, std::size_t& count);
  bool wrapped(std::string_view bytes);
  bool map(const Type& type, const Field& field, std::size_t a, std::size_t b, int depth);
  bool item(const Type& type, const Field& field, Piece piece, std::size_t& count, int depth);
  bool entry(const Type& type, const Field& field, std::string_view bytes, int depth);
  bool text_ok(const Type& type, const Field& field, std::string_view text);
  bool single(const Type& type, const Field& field, Piece piece, int depth);
  bool number(const Field& field, std::uint64_t raw);
  bool time(const Field& field, std::string_view bytes);
  bool int_or_string(std::string_view bytes);
  bool embedded(std::string_view bytes, int depth);
  bool schema_or(const Field& field, std::string_view bytes, int depth);
  void zero(const Field& field, int depth);
  void zero_fields(const Type& type, int depth);
  std::string_view merged(std::size_t a, std::size_t b, std::string& buffer);
  bool only_field(std::string_view bytes, std::uint32_t number, std::string_view& text);

  BlockWriter out_;
  std::vector<Piece> pieces_;
  Error error_;
  bool by_pieces_, disordered_ = false;
};

}  // namespace kybern::schema
