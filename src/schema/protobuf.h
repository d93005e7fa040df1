// Kubernetes' protobuf encoding, driven by the tables (golden/ holds the exact bytes).
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "schema/schema.h"

namespace kybern::schema {

// With the envelope: `k8s\0`, then runtime.Unknown. The kind is found by the object's apiVersion and kind.
Result<Document> decode_protobuf(std::string_view bytes);
Result<std::string> encode_protobuf(Value object);

// One event of a watch: meta/v1 WatchEvent without an envelope, its object in an envelope of its own. In a stream each is
// preceded by its length, 4 bytes big-endian. decode_message of meta.v1.WatchEvent is its reverse.
Result<std::string> encode_watch_event(std::string_view type, Value object);

// A bare message of one type: CRI, etcd, and the inside of the envelope. Raw objects in it are written as JSON, and read
// as JSON or as an envelope.
Result<Document> decode_message(const Type& type, std::string_view bytes);
void encode_message(const Type& type, Value value, std::string& out);

}  // namespace kybern::schema
