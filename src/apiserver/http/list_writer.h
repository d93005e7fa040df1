// Lists as clients read them, piece by piece out of a snapshot: a list is never in memory as a whole, but for its protobuf.
#pragma once

#include <string>
#include <vector>

#include "apiserver/discovery/discovery.h"
#include "apiserver/http/media.h"
#include "apiserver/registry/registry.h"

namespace kybern::apiserver {

inline constexpr std::size_t list_chunk_bytes = 64 << 10;

// JSON. The items come first: what the metadata says is known after them.
class ListWriter {
 public:
  ListWriter(Listing listing, const Accepted& accepted, TableOptions table);
  // Appends until `out` has `limit` bytes; false at the end.
  bool produce(std::string& out, std::size_t limit);

 private:
  void begin(std::string& out);
  bool pretty() const;
  void begin_pretty(std::string& out);
  Document item(Value object) const;

  Listing listing_;
  Accepted accepted_;
  TableOptions table_;
  bool begun_ = false;
  std::size_t items_ = 0;
};

// Protobuf, of objects or their metadata. What stands before the items says how long they are: all are encoded at the
// first call, and let go of as they are sent.
class ProtobufListWriter {
 public:
  ProtobufListWriter(Listing listing, const Accepted& accepted);
  bool produce(std::string& out, std::size_t limit);  // as above; a piece may be longer by a few objects

 private:
  void encode();

  Listing listing_;
  Accepted accepted_;
  std::vector<std::string> pieces_;
  std::size_t sent_ = 0;
};

}  // namespace kybern::apiserver
