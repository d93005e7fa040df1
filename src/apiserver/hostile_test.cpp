// Bodies that are made to hurt: every content type and verb is answered with a refusal, memory stays where it was, and
// others are served meanwhile.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <thread>

#include "apiserver/testing/live_server.h"
#include "base/log.h"
#include "base/testing/eventually.h"
#include "document/json.h"
#include "net/client.h"

namespace kybern::apiserver {
namespace {

// No request here is work for more than some hundred milliseconds. What takes a minute has taken the square of its size.
constexpr std::chrono::milliseconds patience{20000};
constexpr std::size_t most_answer_bytes = 8 << 20, most_head_bytes = 64 << 10;
constexpr std::size_t most_growth_bytes = std::size_t(384) << 20;

std::size_t resident_bytes() {
  std::ifstream in("/proc/self/statm");
  std::size_t size = 0, resident = 0;
  in >> size >> resident;
  return resident * 4096;
}

std::string repeated(std::string_view piece, std::size_t count) {
  std::string out;
  out.reserve(piece.size() * count);
  for (std::size_t i = 0; i < count; ++i) out += piece;
  return out;
}

std::string zipped(const std::string& text) {
  z_stream z{};
  deflateInit2(&z, Z_BEST_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&z, text.size()), '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  deflate(&z, Z_FINISH);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

// Each line names the one above nine times.
std::string laughs() {
  std::string out = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    out += fmt::format("a{0}: &a{0} [", i);
    for (int n = 0; n < 9; ++n) out += fmt::format("{}*a{}", n ? ", " : "", i - 1);
    out += "]\n";
  }
  return out;
}

const std::string object = R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":)";

struct Hostile {
  const char* what;
  std::string body;
};
std::vector<Hostile> json_bodies() {
  return {
      {"nothing", ""},
      {"not an object", "[]"},
      {"cut short", object.substr(0, 30)},
      {"arrays in arrays", repeated("[", 1'000'000)},
      {"objects in objects", repeated(R"({"a":)", 300'000)},
      {"deep, and whole", object + repeated(R"({"a":)", 20'000) + "1" + repeated("}", 20'001)},
      {"no text", object + "{\"k\":\xff\xfe}}"},
      {"half a pair", object + R"({"k":"\ud800"}})" + "\x01"},
      {"a control character", object + "{\"k\":\"\x01\"}}"},
      {"a number without end",
       R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","generation":)" + repeated("9", 1'000'000) + "}}"},
      {"an exponent", R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","generation":1e999999999}})"},
      {"a key of two megabytes",
       R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{")" + repeated("k", 2'000'000) + R"(":"v"}})"},
      {"a name of a megabyte", R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":")" + repeated("n", 1'000'000) + R"("}})"},
      {"zeros, compressed", zipped(std::string(200'000'000, '\0'))},
      {"more than is taken", object + "{\"k\":\"" + std::string(4'000'000, 'v') + "\"}}"},
      {"zeros", std::string(2'000'000, '\0')},
  };
}

class HostileTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(live_.start());
    EXPECT_EQ(
        status("POST", "/api/v1/namespaces/default/configmaps", "application/json", R"({"metadata":{"name":"there"},"data":{"k":"v"}})"),
        201);
  }
  void TearDown() override {
    live_.stop();
    set_log_level(LogLevel::warn);
  }
  // 0: the connection was closed.
  int status(std::string method, std::string path, std::string type, std::string body) {
    auto begin = std::chrono::steady_clock::now();
    auto out = live_.client().call({std::move(method),
                                    std::move(path),
                                    {{"authorization", "Bearer secret-admin"}, {"content-type", type}},
                                    std::move(body),
                                    patience});
    EXPECT_LT(std::chrono::steady_clock::now() - begin, patience);  // 0 is a connection that was closed, not one that hangs
    return out ? out->status : 0;
  }
  // Whatever the answer is, there is one, soon, and no failure of the server.
  void answered(const char* what, std::string method, std::string path, const std::string& type, const std::string& body) {
    auto out = live_.client().call({method, path, {{"authorization", "Bearer secret-admin"}, {"content-type", type}}, body, patience});
    ASSERT_TRUE(out) << method << " " << type << ", " << what << ": " << out.error().message;
    bool mismatch = out->body.find("failed to create typed patch object") != std::string::npos;  // which upstream answers so
    EXPECT_TRUE(out->status != 500 || mismatch) << method << " " << type << ", " << what << ": " << out->body.substr(0, 200);
    EXPECT_LT(out->body.size(), most_answer_bytes) << what;
    std::size_t head = 0;
    for (const auto& [name, value] : out->headers.fields()) head += name.size() + value.size();
    EXPECT_LT(head, most_head_bytes) << what;
  }
  void refused(const char* what, std::string method, std::string path, const std::string& type, const std::string& body) {
    const int code = status(method, std::move(path), type, body);
    EXPECT_TRUE(code == 0 || code == 400 || code == 413 || code == 415 || code == 422)
        << method << " " << type << ", " << what << ": " << code;
    auto health = live_.client().call({"GET", "/healthz", {}, ""});
    EXPECT_TRUE(health && health->status == 200) << method << " " << type << ", " << what;
  }

  testing::LiveServer live_;
};

const std::string collection = "/api/v1/namespaces/default/configmaps", one = collection + "/there";

// Somebody who reads meanwhile, and is served.
class Other {
 public:
  explicit Other(int port) {
    thread_ = std::thread([this, port] {
      net::ClientOptions options;
      options.url = fmt::format("https://127.0.0.1:{}", port);
      options.tls.insecure = true;
      auto client = net::HttpClient::make(options);
      while (!done_) {
        auto out = (*client)->call({"GET", one, {{"authorization", "Bearer secret-admin"}}, ""});
        ++(out && out->status == 200 ? served_ : failed_);
        std::unique_lock lock(mutex_);
        wake_.wait_for(lock, std::chrono::milliseconds(20), [this] { return done_.load(); });
      }
    });
  }
  ~Other() {
    done_ = true;
    wake_.notify_all();
    thread_.join();
    EXPECT_GT(served_, 0);
    EXPECT_EQ(failed_, 0);
  }

 private:
  std::atomic<bool> done_{false};
  std::atomic<int> served_{0}, failed_{0};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::thread thread_;
};

TEST_F(HostileTest, EveryTypeAndVerbRefusesThem) {
  const std::size_t before = resident_bytes();
  {
    Other other(live_.server().port());
    for (const Hostile& row : json_bodies()) {
      for (const char* type : {"application/json", "application/vnd.kubernetes.protobuf", "application/octet-stream"}) {
        refused(row.what, "POST", collection, type, row.body);
        refused(row.what, "PUT", one, type, row.body);
      }
      if (row.body.empty()) continue;
      for (const char* type :
           {"application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json", "text/plain"})
        if (row.what != std::string_view("not an object") || type != std::string_view("application/json-patch+json"))
          refused(row.what, "PATCH", one, type, row.body);
    }
  }
  const std::size_t after = resident_bytes();
  EXPECT_LT(after, before + most_growth_bytes) << "grown by " << (after - before) / (1 << 20) << " MiB";
}

TEST_F(HostileTest, Yaml) {
  const std::size_t before = resident_bytes();
  std::string anchors, merges = "base: &b {", texts = "a: &a \"" + std::string(100'000, 'x') + "\"\nb: [";
  for (int i = 0; i < 150'000; ++i) anchors += fmt::format("- &a{} x\n", i);
  for (int i = 0; i < 60'000; ++i) merges += fmt::format("k{}: 1, ", i);
  merges += "}\nwhole: {<<: [" + repeated("*b, ", 100'000) + "]}\n";
  texts += repeated("*a, ", 200'000) + "]\n";
  const std::vector<Hostile> yaml{{"laughs", laughs()},
                                  {"deep", repeated("- ", 100'000)},
                                  {"flow", repeated("[", 100'000)},
                                  {"maps", repeated("{a: ", 100'000)},
                                  {"anchors", anchors},
                                  {"merges", merges},
                                  {"a long text, often", texts},
                                  {"an anchor of itself", "a: &a [*a]"},
                                  {"an anchor of itself, merged", "a: &a\n  <<: *a\n"},
                                  {"no anchor", "a: *b"},
                                  {"no text", "a: \xff\xfe"},
                                  {"no line ends", "a: " + std::string(2'000'000, '\t')},
                                  {"questions", repeated("? ", 100'000)},
                                  {"a name of dots", "metadata: {name: " + std::string(500'000, '.') + "}"},
                                  {"tags", "a: !!binary " + repeated("!!x ", 1000)}};
  {
    Other other(live_.server().port());
    for (const Hostile& row : yaml) {
      refused(row.what, "POST", collection, "application/yaml", row.body);
      refused(row.what, "PUT", one, "application/yaml", row.body);
      refused(row.what, "PATCH", one + "?fieldManager=m", "application/apply-patch+yaml", row.body);
    }
  }
  EXPECT_LT(resident_bytes(), before + most_growth_bytes);
}

// What is no Unicode is replaced in JSON, as upstream's decoders do, and refused in YAML.
TEST_F(HostileTest, WhatIsNoUnicode) {
  const std::string bad = "\"\\ud800x\xff\\udc00\"", mended = "\ufffdx\ufffd\ufffd";
  auto k_of = [&](const std::string& path) {
    auto out = live_.client().call({"GET", path, {{"authorization", "Bearer secret-admin"}}, "", patience});
    auto object = parse_json(out ? out->body : "");
    return object ? (*object)["data"]["k"].str() : std::string();
  };
  EXPECT_EQ(status("POST", collection, "application/json", R"({"metadata":{"name":"odd"},"data":{"k":)" + bad + "}}"), 201);
  EXPECT_EQ(k_of(collection + "/odd"), mended);
  EXPECT_EQ(status("PUT", one, "application/json", R"({"metadata":{"name":"there"},"data":{"k":)" + bad + "}}"), 200);
  EXPECT_EQ(k_of(one), mended);
  for (const char* type : {"application/merge-patch+json", "application/strategic-merge-patch+json"}) {
    EXPECT_EQ(status("PATCH", one, type, R"({"data":{"k":"plain"}})"), 200);
    EXPECT_EQ(status("PATCH", one, type, R"({"data":{"k":)" + bad + "}}"), 200) << type;
    EXPECT_EQ(k_of(one), mended) << type;
  }
  EXPECT_EQ(status("PATCH", one, "application/json-patch+json", R"([{"op":"replace","path":"/data/k","value":)" + bad + "}]"), 200);
  EXPECT_EQ(k_of(one), mended);
  for (const char* body : {"\"\\ud800\"", "\"\xff\""}) {
    const std::string whole =
        R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"there"},"data":{"k":)" + std::string(body) + "}}";
    EXPECT_EQ(status("PUT", one, "application/yaml", whole), 400);
    EXPECT_EQ(status("PATCH", one + "?fieldManager=m", "application/apply-patch+yaml", whole), 400);
  }
  // Of a kind that a definition makes, too.
  EXPECT_EQ(
      status("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", "application/json",
             R"({"metadata":{"name":"odds.x.dev"},"spec":{"group":"x.dev","scope":"Namespaced","names":{"plural":"odds","kind":"Odd"},)"
             R"("versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object",)"
             R"("x-kubernetes-preserve-unknown-fields":true}}}]}})"),
      201);
  const std::string odds = "/apis/x.dev/v1/namespaces/default/odds";
  const std::string odd = R"({"apiVersion":"x.dev/v1","kind":"Odd","metadata":{"name":"o"},"data":{"k":)" + bad + "}}";
  EXPECT_TRUE(eventually([&] { return status("POST", odds, "application/json", odd) == 201; }));
  EXPECT_EQ(k_of(odds + "/o"), mended);
}

// Each of them as deep as is taken at all: whatever walks it has stack enough.
TEST_F(HostileTest, AsDeepAsIsTaken) {
  auto nested = [](int depth) { return repeated(R"({"a":)", depth) + "1" + repeated("}", depth); };
  const std::string deep = nested(990), head = R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"there"},)";
  answered("unknown fields", "PUT", one, "application/json", head + R"("x":)" + deep + "}");
  answered("data", "PUT", one, "application/json", head + R"("data":)" + deep + "}");
  answered("merge", "PATCH", one, "application/merge-patch+json", R"({"x":)" + deep + "}");
  answered("strategic", "PATCH", one, "application/strategic-merge-patch+json", R"({"data":)" + deep + "}");
  answered("apply", "PATCH", one + "?fieldManager=m", "application/apply-patch+yaml", head + R"("data":)" + deep + "}");
  answered("yaml", "PUT", one, "application/yaml", head + "x: " + repeated("[", 990) + repeated("]", 990) + "}");
  // A few operations nest a value in itself; or what is added lies deeper each time.
  std::string doubling = R"([{"op":"add","path":"/data/a","value":{"b":{}}})", path = "/b",
              deeper = R"([{"op":"add","path":"/x","value":{}})";
  for (int i = 0; i < 16; ++i) {
    doubling += R"(,{"op":"copy","from":"/data","path":"/data/a)" + path + R"("})";
    path += path + "/a";
  }
  answered("copies of itself", "PATCH", one, "application/json-patch+json", doubling + "]");
  for (int i = 1; i < 30; ++i) deeper += R"(,{"op":"add","path":"/x)" + repeated("/a", 900 * (i - 1)) + R"(","value":)" + nested(900) + "}";
  answered("deeper and deeper", "PATCH", one, "application/json-patch+json", deeper + "]");
  std::string moves = R"([{"op":"add","path":"/x","value":)" + nested(900) + R"(},{"op":"add","path":"/y","value":)" + nested(900) + "}";
  for (int i = 0; i < 100; ++i)
    moves += fmt::format(R"(,{{"op":"move","from":"/{0}","path":"/{1}{2}"}},{{"op":"add","path":"/{0}","value":{3}}})", i % 2 ? "x" : "y",
                         i % 2 ? "y" : "x", repeated("/a", 900), nested(900));
  answered("moved deeper", "PATCH", one, "application/json-patch+json", moves + "]");
  for (const char* type : {"application/merge-patch+json", "application/strategic-merge-patch+json"})
    for (const char* body : {R"({"metadata":null})", R"({"metadata":[]})", R"({"kind":null,"apiVersion":null,"metadata":{"name":null}})"})
      answered("no metadata", "PATCH", one, type, body);
  for (const char* whole : {"{}", "[]", "1", R"({"metadata":{}})", R"({"metadata":1})"})
    answered("another object", "PATCH", one, "application/json-patch+json",
             fmt::format(R"([{{"op":"replace","path":"","value":{}}}])", whole));
  // Owners of fields, as a client may set them.
  for (std::string value : {"\"v:" + repeated("[", 900) + repeated("]", 900) + "\":{}", "\"f:data\":" + nested(980),
                            "\"k:" + repeated("{\\\"a\\\":", 900) + "1" + repeated("}", 900) + "\":{}"})
    answered("owners", "PUT", one, "application/json",
             R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"there","managedFields":[{"manager":"m","operation":"Apply",)"
             R"("apiVersion":"v1","time":"2020-01-01T00:00:00Z","fieldsType":"FieldsV1","fieldsV1":{)" +
                 value + "}}]}}");
  const std::string last = "kubectl.kubernetes.io/last-applied-configuration";
  std::string escaped;
  for (char c : R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"there"},"data":)" + nested(9000) + "}")
    escaped += c == '"' ? "\\\"" : std::string(1, c);
  answered("an annotation", "PUT", one, "application/json",
           R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"there","annotations":{")" + last + R"(":")" + escaped +
               R"("}},"data":{"k":"v"}})");
  answered("that is applied over", "PATCH", one + "?fieldManager=kubectl", "application/apply-patch+yaml", head + R"("data":{"k":"w"}})");
  EXPECT_EQ(status("GET", one, "application/json", ""), 200);
}

// Long lists and large maps: what is done to them takes steps as many as their members, not as their square.
TEST_F(HostileTest, ManyMembers) {
  constexpr int count = 30'000;
  Other other(live_.server().port());
  // 30,000 keys, and all of them taken away again.
  std::string keys, nulls, removals;
  for (int i = 0; i < count; ++i) {
    keys += fmt::format(R"({}"k{}":"v")", i ? "," : "", i);
    nulls += fmt::format(R"({}"k{}":null)", i ? "," : "", i);
    if (i < 9000) removals += fmt::format(R"({}{{"op":"remove","path":"/data/k{}"}})", i ? "," : "", i);
  }
  const std::string map = R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"there"},"data":{)" + keys + "}}";
  for (const auto& [type, patch] : std::vector<std::pair<const char*, std::string>>{
           {"application/json-patch+json", "[" + removals + "]"},
           {"application/merge-patch+json", R"({"data":{)" + nulls + "}}"},
           {"application/strategic-merge-patch+json", R"({"data":{)" + nulls + "}}"},
       }) {
    ASSERT_EQ(status("PUT", one, "application/json", map), 200);
    EXPECT_EQ(status("PATCH", one, type, patch), 200) << type;
  }
  ASSERT_EQ(status("PATCH", one + "?fieldManager=a&force=true", "application/apply-patch+yaml", map), 200);
  EXPECT_EQ(status("PATCH", one + "?fieldManager=b", "application/apply-patch+yaml", map), 200);
  // Lists that are merged by a key.
  std::string variables, others, order, deletes;
  for (int i = 0; i < count; ++i) {
    const char* comma = i ? "," : "";
    variables += fmt::format(R"({}{{"name":"E{}"}})", comma, i);
    others += fmt::format(R"({}{{"name":"E{}","value":"x"}})", comma, count - i);
    order += fmt::format(R"({}{{"name":"E{}"}})", comma, count - i);
    deletes += fmt::format(R"({}{{"$patch":"delete","name":"E{}"}})", comma, i);
  }
  const std::string pods = "/api/v1/namespaces/default/podtemplates", pod = pods + "/there";
  auto with = [](const std::string& env, const std::string& more = "") {
    return R"({"apiVersion":"v1","kind":"PodTemplate","metadata":{"name":"there"},"template":{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c","image":"i",)" +
           more + R"("env":[)" + env + "]}]}}}";
  };
  ASSERT_EQ(status("PATCH", pod + "?fieldManager=a", "application/apply-patch+yaml", with(variables)), 201);
  EXPECT_EQ(status("PATCH", pod, "application/strategic-merge-patch+json", with(others)), 200);
  EXPECT_EQ(status("PATCH", pod + "?fieldManager=b", "application/apply-patch+yaml", with(variables)), 200);
  EXPECT_EQ(status("PATCH", pod + "?fieldManager=b", "application/apply-patch+yaml", with(others)), 200);
  EXPECT_EQ(status("PATCH", pod, "application/strategic-merge-patch+json", with(others, R"("$setElementOrder/env":[)" + order + "],")),
            200);
  EXPECT_EQ(status("PATCH", pod, "application/strategic-merge-patch+json", with(deletes)), 200);
  answered("twins", "PUT", pod, "application/json", with(repeated(R"({"name":"E"},)", count) + R"({"name":"E"})"));
  // Texts that merge as a set.
  std::string texts, less;
  for (int i = 0; i < count; ++i) {
    texts += fmt::format(R"({}"k.io/f{}")", i ? "," : "", i);
    less += fmt::format(R"({}"k.io/f{}")", i ? "," : "", count - i);
  }
  answered("finalizers", "PATCH", one, "application/strategic-merge-patch+json", R"({"metadata":{"finalizers":[)" + texts + "]}}");
  answered("fewer", "PATCH", one, "application/strategic-merge-patch+json",
           R"({"metadata":{"$deleteFromPrimitiveList/finalizers":[)" + less + "]}}");
}

// A long key above many members: nothing says the key with each of them.
TEST_F(HostileTest, LongKeys) {
  const std::size_t before = resident_bytes();
  const std::string key(700'000, 'k'), head = R"({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"there"},)";
  std::string twice, members;
  for (int i = 0; i < 40'000; ++i) {
    twice += fmt::format(R"({0}"a{1}":1,"a{1}":2)", i ? "," : "", i);
    members += fmt::format(R"({}{{"name":"E{}"}})", i ? "," : "", i);
  }
  for (const char* mode : {"Ignore", "Warn", "Strict"})
    answered("duplicates", "PUT", one + "?fieldValidation=" + mode, "application/json", head + "\"" + key + "\":{" + twice + "}}");
  answered("duplicates", "PUT", one + "?fieldValidation=Strict", "application/yaml", head + "\"" + key + "\":{" + twice + "}}");
  const std::string pod = "/api/v1/namespaces/default/podtemplates/there?fieldManager=m";
  answered("items below a long name", "PATCH", pod, "application/apply-patch+yaml",
           R"({"apiVersion":"v1","kind":"PodTemplate","metadata":{"name":"there"},"template":{"spec":{"containers":[{"name":")" + key +
               R"(","env":[)" + members + "]}]}}}");
  EXPECT_LT(resident_bytes(), before + most_growth_bytes);
}

// Messages that say how much comes, or lie in each other, and do not hold to it.
TEST_F(HostileTest, Protobuf) {
  auto varint = [](std::size_t n) {
    std::string out;
    for (; n >= 128; n >>= 7) out += static_cast<char>((n & 127) | 128);
    return out += static_cast<char>(n);
  };
  auto field = [&](int number, const std::string& content) {
    return varint(static_cast<std::size_t>(number) << 3 | 2) + varint(content.size()) + content;
  };
  auto enveloped = [&](const std::string& version, const std::string& kind, const std::string& raw) {
    return std::string("k8s\0", 4) + field(1, field(1, version) + field(2, kind)) + field(2, raw);
  };
  const char* type = "application/vnd.kubernetes.protobuf";
  std::string schema;  // not: {not: {not: ...
  for (int i = 0; i < 20'000; ++i) schema = field(28, schema);
  const std::string crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
  refused(
      "schemas in schemas", "POST", crds, type,
      enveloped("apiextensions.k8s.io/v1", "CustomResourceDefinition",
                field(1, field(1, "bombs.h.dev")) + field(2, field(1, "h.dev") + field(7, field(1, "v1") + field(4, field(1, schema))))));
  const std::string name = field(1, field(1, "x"));
  refused("a length beyond the end", "POST", collection, type, enveloped("v1", "ConfigMap", name + "\x12\xff\xff\xff\xff\x07"));
  refused("a length of 64 bits", "POST", collection, type,
          enveloped("v1", "ConfigMap", name + "\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"));
  refused("a number without end", "POST", collection, type, enveloped("v1", "ConfigMap", name + "\x12" + std::string(100'000, '\xff')));
  refused("groups", "POST", collection, type, enveloped("v1", "ConfigMap", repeated("\x0b", 1'000'000)));
  refused("no text", "POST", collection, type, enveloped("v1", "ConfigMap", name + field(2, field(1, "\xff\xfe") + field(2, "v"))));
  refused("an envelope of an envelope", "POST", collection, type, enveloped("v1", "ConfigMap", enveloped("v1", "ConfigMap", name)));
  answered("a million empty fields", "POST", collection, type,
           enveloped("v1", "ConfigMap", name + repeated(std::string("\x12\x00", 2), 1'000'000)));
  std::string disordered = name;
  for (int i = 0; i < 100'000; ++i)
    disordered += field(2, field(1, fmt::format("k{}", i % 7)) + field(2, "v")) + field(3, field(1, "b") + field(2, ""));
  answered("fields in no order", "POST", collection, type, enveloped("v1", "ConfigMap", disordered));
}

// The server takes no compressed bodies, so a small one never stands for a large one.
TEST_F(HostileTest, CompressedBodies) {
  const std::string bomb = zipped(std::string(100'000'000, ' '));
  for (const char* coding : {"gzip", "deflate", "br", "gzip, gzip"}) {
    auto out =
        live_.client().call({"POST",
                             collection,
                             {{"authorization", "Bearer secret-admin"}, {"content-type", "application/json"}, {"content-encoding", coding}},
                             bomb});
    ASSERT_TRUE(out);
    EXPECT_TRUE(out->status == 400 || out->status == 415) << coding << ": " << out->status;
  }
}

TEST_F(HostileTest, PatchesThatGrow) {
  std::string doubling = R"([{"op":"add","path":"/data/a0","value":"xxxxxxxxxxxxxxxx"})";
  for (int i = 0; i < 60; ++i)
    doubling += R"(,{"op":"copy","from":"/data","path":"/metadata/annotations"},{"op":"copy","from":"/metadata","path":"/data/m"})";
  refused("copies of copies", "PATCH", one, "application/json-patch+json", doubling + "]");
  std::string inserts = R"([{"op":"add","path":"/x","value":[)" + repeated("0,", 600'000) + "0]}";
  for (int i = 0; i < 9'000; ++i) inserts += R"(,{"op":"add","path":"/x/0","value":0})";
  refused("room at the front of a long list", "PATCH", one, "application/json-patch+json", inserts + "]");
  std::string moves =
      R"([{"op":"add","path":"/x","value":{"l":[)" + repeated("0,", 600'000) + R"(0]}},{"op":"add","path":"/x/l/-","value":0})";
  for (int i = 0; i < 4'000; ++i) moves += R"(,{"op":"move","from":"/x","path":"/y"},{"op":"move","from":"/y","path":"/x"})";
  refused("a large value to and fro", "PATCH", one, "application/json-patch+json", moves + "]");
  refused("too many operations", "PATCH", one, "application/json-patch+json",
          "[" + repeated(R"({"op":"test","path":"/kind","value":"ConfigMap"},)", 20'000) + R"({"op":"remove","path":"/nothing"}])");
  refused("an index without end", "PATCH", one, "application/json-patch+json",
          R"([{"op":"add","path":"/data/)" + repeated("9", 100'000) + R"(/x","value":"1"}])");
  refused("a long path", "PATCH", one, "application/json-patch+json",
          R"([{"op":"add","path":")" + repeated("/a", 500'000) + R"(","value":"1"}])");
  refused("a deep merge", "PATCH", one, "application/merge-patch+json", repeated(R"({"data":)", 50'000) + "1" + repeated("}", 50'000));
  EXPECT_EQ(status("GET", one, "application/json", ""), 200);
}

TEST_F(HostileTest, QueriesAndExpressions) {
  auto get = [&](const std::string& target) { return status("GET", target, "application/json", ""); };
  EXPECT_EQ(get(collection + "?labelSelector=" + repeated("a%20in%20(", 20'000)), 400);
  EXPECT_EQ(get(collection + "?fieldSelector=" + repeated("metadata.name%3D%3D%3D,", 20'000)), 400);
  EXPECT_EQ(get(collection + "?continue=" + repeated("A", 100'000)), 400);
  const std::string definition =
      R"({"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition","metadata":{"name":"bombs.h.dev"},"spec":{"group":"h.dev","scope":"Namespaced","names":{"plural":"bombs","kind":"Bomb"},)"
      R"("versions":[{"name":"v1","served":true,"storage":true,"schema":{"openAPIV3Schema":{"type":"object","properties":{"l":{"type":"array","items":{"type":"string"}}},"x-kubernetes-validations":[{"rule":"RULE"}]}}}]}})";
  auto define = [&](const std::string& rule) {
    std::string body = definition;
    body.replace(body.find("RULE"), 4, rule);
    refused("an expression", "POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", "application/json", body);
  };
  define(repeated("(", 100'000));
  define(repeated("!", 100'000) + "true");
  define("self.l.all(a, self.l.all(b, self.l.all(c, self.l.all(d, a == b))))");
  define(repeated("1+", 50'000) + "1 == 1");
}

}  // namespace
}  // namespace kybern::apiserver
