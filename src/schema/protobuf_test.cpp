#include "schema/protobuf.h"
#include "schema/wire_reader.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "base/strings.h"
#include "document/json.h"
#include "schema/convert.h"
#include "schema/test_support.h"

namespace kybern::schema {
namespace {

using test::parse;

Document testdata(const std::string& name) {
  return parse(test::read_file(std::string(KYBERN_SOURCE_DIR) + "/src/schema/testdata/" + name));
}

const std::vector<std::string> files = {"access.json", "crd.json", "lease.json", "pod.json", "service.json"};

std::string unhex(std::string_view hex) {
  std::string out;
  for (std::size_t i = 0; i + 1 < hex.size();) {
    if (hex[i] == ' ') {
      ++i;
      continue;
    }
    out += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
    i += 2;
  }
  return out;
}

TEST(Protobuf, ObjectsComeBackAsTheyWere) {
  for (const std::string& name : files) {
    SCOPED_TRACE(name);
    Document document = testdata(name);
    auto bytes = encode_protobuf(document);
    ASSERT_TRUE(bytes) << bytes.error().message;
    auto again = decode_protobuf(*bytes);
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_TRUE(again->root() == document.root()) << to_json(again->root()) << "\n" << to_json(document.root());
    EXPECT_EQ(*encode_protobuf(*again), *bytes);
    auto typed = to_typed(*find_type(document["apiVersion"].as_string(), document["kind"].as_string()), document);
    ASSERT_TRUE(typed) << typed.error().message;
    EXPECT_TRUE(typed->root() == document.root()) << to_json(typed->root());
  }
}

// The fields of a message with its last field first, the rest in order: what no encoder writes and every decoder must read.
std::string last_first(std::string_view message) {
  std::string last, rest;
  Reader reader{message.data(), message.data() + message.size()};
  while (reader.at != reader.end) {
    const char* begin = reader.at;
    Piece piece;
    reader.next(piece);
    EXPECT_EQ(reader.failed, nullptr);
    rest += last;
    last.assign(begin, reader.at);
  }
  return last + rest;
}

TEST(Protobuf, FieldsComeInAnyOrderAndMessagesInParts) {
  for (const char* type_name : {"core.v1.Pod", "core.v1.Service", "coordination.v1.Lease"}) {
    SCOPED_TRACE(type_name);
    const Type& type = *find_type_named(type_name);
    Document document = testdata(type.name.ends_with(".Pod")       ? "pod.json"
                                 : type.name.ends_with(".Service") ? "service.json"
                                                                   : "lease.json");
    std::string bytes;
    encode_message(type, document, bytes);
    auto expected = decode_message(type, bytes);
    ASSERT_TRUE(expected);
    auto shuffled = decode_message(type, last_first(bytes));
    ASSERT_TRUE(shuffled) << shuffled.error().message;
    EXPECT_TRUE(shuffled->root() == expected->root()) << to_json(shuffled->root());
    // A message that comes twice is merged: a second, empty `metadata` changes nothing.
    auto parts = decode_message(type, bytes + std::string("\x0a\0", 2));
    ASSERT_TRUE(parts) << parts.error().message;
    EXPECT_TRUE(parts->root() == expected->root()) << to_json(parts->root());
  }
}

struct Bytes {
  const char* what;
  const char* type;
  const char* json;
  const char* hex;
};

void PrintTo(const Bytes& row, std::ostream* out) { *out << row.what; }

class ProtobufBytes : public testing::TestWithParam<Bytes> {};

TEST_P(ProtobufBytes, BothWays) {
  const Type* type = find_type_named(GetParam().type);
  ASSERT_TRUE(type);
  Document value = parse(GetParam().json);
  std::string bytes = unhex(GetParam().hex), encoded;
  encode_message(*type, value, encoded);
  EXPECT_EQ(hex_encode(encoded), hex_encode(bytes));
  auto decoded = decode_message(*type, bytes);
  ASSERT_TRUE(decoded) << decoded.error().message;
  EXPECT_TRUE(decoded->root() == value.root()) << to_json(decoded->root());
}

INSTANTIATE_TEST_SUITE_P(
    Rows, ProtobufBytes,
    testing::Values(
        Bytes{"zero scalars are on the wire", "core.v1.ContainerPort", R"({"containerPort":0})", "0a00 1000 1800 2200 2a00"},
        Bytes{"a negative number takes ten bytes", "scheduling.v1.PriorityClass", R"({"metadata":{},"value":-1})",
              "0a10 0a00 1200 1a00 2200 2a00 3200 3800 4200 10ffffffffffffffffff01 1800 2200"},
        Bytes{"a pointer to zero is on the wire", "core.v1.AWSElasticBlockStoreVolumeSource", R"({"volumeID":"v"})",
              "0a0176 1200 1800 2000"},
        Bytes{"maps are in the order of their keys", "core.v1.ConfigMap", R"({"metadata":{},"data":{"b":"2","a":"1"}})",
              "0a10 0a00 1200 1a00 2200 2a00 3200 3800 4200 12060a0161120131 12060a0162120132"},
        Bytes{"int or string: a number", "core.v1.TCPSocketAction", R"({"port":80})", "0a06 0800 1050 1a00 1200"},
        Bytes{"int or string: a text", "core.v1.TCPSocketAction", R"({"port":"web","host":"h"})", "0a09 0801 1000 1a03776562 120168"},
        Bytes{"an inline message", "core.v1.SecretKeySelector", R"({"name":"n","key":"k","optional":false})", "0a03 0a016e 12016b 1800"},
        Bytes{"an inline message that is empty", "core.v1.Volume", R"({"name":"n"})", "0a016e 1200"},
        Bytes{"inline in inline", "admissionregistration.v1.NamedRuleWithOperations",
              R"({"resourceNames":["r"],"operations":["CREATE"],"apiGroups":["g"],"scope":"*"})",
              "0a0172 1210 0a06435245415445 1206 0a0167 22012a"},
        Bytes{"a quantity", "core.v1.EmptyDirVolumeSource", R"({"sizeLimit":"1Gi"})", "0a00 12050a03314769"},
        Bytes{"a list of strings as a value", "authorization.v1.SubjectAccessReviewSpec", R"({"extra":{"k":["a","b"]}})",
              "1a00 2a0b 0a016b 1206 0a0161 0a0162 3200"},
        Bytes{"a list of strings that is wrapped", "meta.v1.APIResource",
              R"({"name":"n","singularName":"","namespaced":true,"kind":"K","verbs":["get"]})",
              "0a016e 1001 1a014b 2205 0a03676574 3200 4200 4a00 5200"},
        Bytes{"a time, whole seconds", "core.v1.ContainerStateRunning", R"({"startedAt":"1970-01-01T00:00:01Z"})", "0a04 0801 1000"},
        Bytes{"a time before 1970", "core.v1.ContainerStateRunning", R"({"startedAt":"1969-12-31T23:59:59Z"})",
              "0a0d 08ffffffffffffffffff01 1000"},
        Bytes{"a time that is zero", "core.v1.ContainerStateRunning", R"({"startedAt":null})", "0a00"},
        Bytes{"a time with microseconds", "coordination.v1.LeaseSpec", R"({"renewTime":"1970-01-01T00:00:01.000002Z"})",
              "2205 0801 10d00f"},
        Bytes{"a duration", "metrics.v1beta1.NodeMetrics", R"({"metadata":{},"timestamp":null,"window":"1ns","usage":null})",
              "0a10 0a00 1200 1a00 2200 2a00 3200 3800 4200 1200 1a02 0801"},
        Bytes{"a number with a fraction", "apiextensions.v1.JSONSchemaProps", R"({"maximum":0.5})",
              "0a00 1200 2200 2a00 3200 3a00 49000000000000e03f 5000 6000 7a00 9001 00 a802 00 b802 00 c002 00"},
        Bytes{"proto3 leaves zeros out", "cri.runtime.v1.PortMapping", R"({"host_port":80})", "1850"},
        Bytes{"proto3 packs numbers", "cri.runtime.v1.LinuxSandboxSecurityContext", R"({"supplemental_groups":[1,300]})", "2a0301ac02"},
        Bytes{"proto3 keeps empty messages", "cri.runtime.v1.LinuxPodSandboxConfig", R"({"security_context":{}})", "1200"},
        Bytes{"proto3 bytes are bytes", "etcd.v3.RangeRequest", R"({"key":"a\u0000b","limit":5})", "0a03610062 1805"},
        Bytes{"one of several, zero", "etcd.v3.Compare", R"({"key":"a","version":0})", "1a0161 2000"},
        Bytes{"proto3 maps", "cri.runtime.v1.PodSandboxFilter", R"({"label_selector":{"a":"b"}})", "1a06 0a0161 120162"}));

struct Hostile {
  const char* what;
  const char* type;
  const char* hex;
  const char* result;  // JSON, or the error
};

void PrintTo(const Hostile& row, std::ostream* out) { *out << row.what; }

class ProtobufHostile : public testing::TestWithParam<Hostile> {};

TEST_P(ProtobufHostile, IsReadOrRefused) {
  const Hostile& row = GetParam();
  auto decoded = decode_message(*find_type_named(row.type), unhex(row.hex));
  std::string expected = row.result;
  if (expected.starts_with("{")) {
    ASSERT_TRUE(decoded) << decoded.error().message;
    EXPECT_TRUE(decoded->root() == parse(expected).root()) << to_json(decoded->root());
  } else {
    ASSERT_FALSE(decoded) << to_json(decoded->root());
    EXPECT_EQ(decoded.error().message, expected);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Rows, ProtobufHostile,
    testing::Values(
        Hostile{"nothing at all", "core.v1.ContainerPort", "", R"({"containerPort":0})"},
        Hostile{"fields in another order", "core.v1.ContainerPort", "2a0168 1805 0a016e", R"({"name":"n","containerPort":5,"hostIP":"h"})"},
        Hostile{"the last of two scalars", "core.v1.ContainerPort", "1805 1806", R"({"containerPort":6})"},
        Hostile{"two halves of a message", "core.v1.SecretKeySelector", "0a03 0a016e 12016b 0a03 0a016f", R"({"name":"o","key":"k"})"},
        Hostile{"list items that are not together", "core.v1.Capabilities", "0a0161 120162 0a0163", R"({"add":["a","c"],"drop":["b"]})"},
        Hostile{"fields of a newer version", "core.v1.ContainerPort", "f80101 1805 fa010161 fd0100000000 f90100000000 00000000",
                R"({"containerPort":5})"},
        Hostile{"a group of a newer version", "core.v1.ContainerPort", "fb01 0801 0b 0c fc01 1805", R"({"containerPort":5})"},
        Hostile{"the same key twice", "core.v1.ConfigMap", "12060a0161120131 12060a0161120132", R"({"metadata":{},"data":{"a":"2"}})"},
        Hostile{"an entry without a key and value", "core.v1.ConfigMap", "1200", R"({"metadata":{},"data":{"":""}})"},
        Hostile{"numbers that are not packed", "cri.runtime.v1.LinuxSandboxSecurityContext", "2801 28ac02",
                R"({"supplemental_groups":[1,300]})"},
        Hostile{"cut off in a length", "core.v1.ContainerPort", "0a", "unexpected EOF"},
        Hostile{"cut off in a text", "core.v1.ContainerPort", "0a05616263", "unexpected EOF"},
        Hostile{"a length of 2^63", "core.v1.ContainerPort", "0affffffffffffffffff01", "unexpected EOF"},
        Hostile{"a number that does not end", "core.v1.ContainerPort", "18ffffffffffffffffffff01", "proto: integer overflow"},
        Hostile{"a wrong wire type", "core.v1.ContainerPort", "1d00000000", "proto: wrong wireType = 5 for field containerPort"},
        Hostile{"a number for a message", "core.v1.Volume", "1001", "proto: wrong wireType = 0 for field hostPath"},
        Hostile{"field zero", "core.v1.ContainerPort", "0000", "proto: illegal tag"},
        Hostile{"the end of a group that never began", "core.v1.ContainerPort", "1c", "proto: illegal tag"},
        Hostile{"a group that does not end", "core.v1.ContainerPort", "fb01 0801", "unexpected EOF"},
        Hostile{"text that is not UTF-8", "core.v1.ContainerPort", "0a01ff", "proto: field name is not valid UTF-8"},
        Hostile{"a key that is not UTF-8", "core.v1.ConfigMap", "12030a01ff", "proto: a key of data is not valid UTF-8"},
        Hostile{"a time of the year 300000000000", "core.v1.ContainerStateRunning", "0a0a 08ffffffffffffffff7f",
                "proto: field startedAt is no time of the years 0 to 9999"},
        Hostile{"an int or string that is neither", "core.v1.TCPSocketAction", "0a02 0802", "impossible IntOrString.Type"},
        Hostile{"raw bytes that are no JSON", "apps.v1.ControllerRevision", "12030a017b", "unexpected end of JSON input"}));

TEST(ProtobufEnvelope, WhatIsNotOne) {
  EXPECT_EQ(decode_protobuf("{}").error().message,
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]");
  EXPECT_EQ(decode_protobuf("").error().code, Code::invalid);
  auto unknown = decode_protobuf(unhex("6b387300 0a0b 0a0476302f78 1203 466f6f"));
  EXPECT_FALSE(unknown);
  EXPECT_EQ(encode_protobuf(parse(R"({"apiVersion":"v0","kind":"Foo"})")).error().message,
            "no kind \"Foo\" is registered for version \"v0\"");
}

TEST(ProtobufEnvelope, ObjectsInsideAListKeepTheirKind) {
  std::string inner = *encode_protobuf(testdata("lease.json"));
  auto varint = [](std::size_t n) {
    std::string out;
    for (; n > 0x7f; n >>= 7) { out += static_cast<char>(n | 0x80); }
    return out + static_cast<char>(n);
  };
  // {2: RawExtension {1: the envelope}}
  std::string item = "\x0a" + varint(inner.size()) + inner;
  std::string bytes = "\x12" + varint(item.size()) + item;
  auto decoded = decode_message(*find_type_named("meta.v1.List"), bytes);
  ASSERT_TRUE(decoded) << decoded.error().message;
  EXPECT_TRUE((*decoded)["items"][0] == testdata("lease.json").root());
}

TEST(ProtobufEnvelope, EventsOfAWatchComeBack) {
  auto bytes = encode_watch_event("MODIFIED", testdata("pod.json"));
  ASSERT_TRUE(bytes) << bytes.error().message;
  auto event = decode_message(*find_type_named("meta.v1.WatchEvent"), *bytes);
  ASSERT_TRUE(event) << event.error().message;
  EXPECT_EQ((*event)["type"].as_string(), "MODIFIED");
  EXPECT_TRUE((*event)["object"] == testdata("pod.json").root());
  EXPECT_FALSE(encode_watch_event("ADDED", parse("{}")));
}

TEST(ProtobufRobust, DepthIsLimited) {
  std::string bytes;
  for (int i = 0; i < 400; ++i) {  // {28: not}
    std::string length;
    for (std::size_t n = bytes.size();; n >>= 7) {
      length += static_cast<char>(n > 0x7f ? n | 0x80 : n);
      if (n <= 0x7f) { break; }
    }
    bytes = "\xe2\x01" + length + bytes;
  }
  auto decoded = decode_message(*find_type_named("apiextensions.v1.JSONSchemaProps"), bytes);
  ASSERT_FALSE(decoded);
  EXPECT_EQ(decoded.error().message, "proto: more than 200 messages inside each other");
}

TEST(ProtobufRobust, EveryPrefixAndManyFlipsAreReadOrRefused) {
  std::mt19937 random(7);
  for (const std::string& name : files) {
    std::string bytes = *encode_protobuf(testdata(name));
    for (std::size_t i = 0; i < bytes.size(); ++i) { (void)decode_protobuf(std::string_view(bytes).substr(0, i)); }
    for (int i = 0; i < 2000; ++i) {
      std::string flipped = bytes;
      for (int flips = 1 + static_cast<int>(random() % 4); flips > 0; --flips) {
        flipped[random() % flipped.size()] = static_cast<char>(random());
      }
      if (auto decoded = decode_protobuf(flipped)) { (void)encode_protobuf(*decoded); }
    }
  }
}

}  // namespace
}  // namespace kybern::schema
