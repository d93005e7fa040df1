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

// A bare message of one type: CRI, etcd, and the inside of the envelope.
Result<Document> decode_message(const Type& type, std::string_view bytes);
void encode_message(const Type& type, Value value, std::string& out);

}  // namespace kybern::schema
