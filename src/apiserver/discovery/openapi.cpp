#include "apiserver/discovery/openapi.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <list>
#include <map>
#include <mutex>
#include <set>
#include <span>

#include "apiserver/custom/custom.h"
#include "apiserver/discovery/discovery.h"
#include "apiserver/discovery/openapi_text.h"
#include "base/check.h"
#include "base/strings.h"
#include "document/json.h"
#include "schema/registry.h"

namespace kybern::apiserver {
namespace {

// Clients ask with an @, which no media type may contain: the answer's type has a dot there.
constexpr std::string_view v2_asked = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
constexpr std::string_view v2_protobuf = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
constexpr std::string_view v3_asked = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf";
constexpr std::string_view v3_protobuf = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf";
// Of compressed documents. All forms that clients of one kind ask for fit; what was asked for least recently goes first.
constexpr std::size_t cache_max_bytes = 2 << 20;
constexpr std::string_view format_version = "2";  // counts changes of how documents are written, for ETags

// A document of v3 as the index names it: "api/v1", "apis/apps/v1". What it says depends on what it is about and on the
// tables alone, so that a definition that comes or goes changes no other document.
struct Section {
  std::string_view group, version;  // both empty: "api", "apis"; version empty: a group
  std::vector<const Served*> about;
};
using Sections = std::map<std::string, Section>;  // by path

Sections sections_of(const Catalog::All& all) {
  Sections out{{"api", {}}, {"apis", {}}};
  for (const Served* s : all) {
    if (!s->group().empty()) out.try_emplace(fmt::format("apis/{}", s->group()), Section{s->group(), {}, {}});
    std::string path = fmt::format("{}/{}", s->group().empty() ? "api" : "apis", s->api_version);
    out.try_emplace(std::move(path), Section{s->group(), s->resource->version, {}}).first->second.about.push_back(s);
  }
  return out;
}

// The tables decide what the documents say: a hash of them stands for every document, before any is made.
class Hash {
 public:
  void add(std::string_view text) {
    for (unsigned char c : text) value_ = (value_ ^ c) * 0x100000001b3;
    value_ = (value_ ^ 0xff) * 0x100000001b3;
  }
  std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325;
};

std::uint64_t tables_hash() {
  static const std::uint64_t value = [] {
    Hash hash;
    hash.add(server_version());
    hash.add(format_version);
    for (const schema::Type* type : schema::types()) {
      hash.add(type->name);
      hash.add(type->description);
      for (const schema::Field& field : type->fields) {
        hash.add(field.name.text());
        hash.add(field.description);
        hash.add(field.default_json);
        hash.add(field.patch_key);
        hash.add(fmt::format("{} {} {} {}{}{}{}{}", static_cast<int>(field.scalar), static_cast<int>(field.shape),
                             static_cast<int>(field.list_type), field.required, field.omit_empty, field.pointer, field.atomic,
                             field.patch_merge));
        for (std::string_view value : field.enum_values) hash.add(value);
      }
    }
    return hash.value();
  }();
  return value;
}

std::string etag_of(std::span<const Served* const> about, std::string_view path, std::string_view form) {
  Hash hash;
  hash.add(std::to_string(tables_hash()));
  for (const Served* s : about) {
    hash.add(s->api_version);
    hash.add(s->plural());
    // A definition's spec is known by its uid and the count of its changes.
    if (s->custom)
      hash.add(fmt::format("{} {}", s->custom->definition()["metadata"]["uid"].as_string(),
                           s->custom->definition()["metadata"]["generation"].as_int()));
  }
  hash.add(path);
  hash.add(form);
  return fmt::format("{:016X}", hash.value());
}
std::string etag_of(const Catalog::All& all, std::string_view path, std::string_view form) {
  return etag_of(std::vector<const Served*>(all.begin(), all.end()), path, form);
}

void write_info(JsonText& json) {
  json.key("info").begin_object();
  json.member("title", "Kubernetes");
  json.member("version", "unversioned");
  json.end_object();
}

void write_security(JsonText& json, std::string_view member) {
  json.key(member).raw(
      R"({"BearerToken":{"description":"Bearer Token authentication","in":"header","name":"authorization","type":"apiKey"}})");
}

void write_section(JsonText& json, SchemaSet& schemas, OpenapiVersion version, const std::string& name, const Section& section) {
  std::string path = "/" + name + "/";
  if (name == "api")
    write_discovery_path(json, schemas, version, path, "getCoreAPIVersions", "core", "get available API versions", "meta.v1.APIVersions");
  else if (name == "apis")
    write_discovery_path(json, schemas, version, path, "getAPIVersions", "apis", "get available API versions", "meta.v1.APIGroupList");
  else if (section.version.empty())
    write_discovery_path(json, schemas, version, path, "get" + group_words(section.group, true) + "APIGroup",
                         group_words(section.group, false), "get information of a group", "meta.v1.APIGroup");
  else write_paths(json, schemas, version, section.about, section.group, section.version);
}

std::string v3_document(const Catalog::All& all, const std::string& name, const Section& section) {
  std::string out, paths;
  SchemaSet schemas(OpenapiVersion::v3, all, section.about);
  JsonText path_json(paths);
  path_json.begin_object();
  write_section(path_json, schemas, OpenapiVersion::v3, name, section);
  path_json.end_object();
  JsonText json(out);
  json.begin_object();
  json.key("components").begin_object();
  json.key("schemas").begin_object();
  schemas.write(json);
  json.end_object();
  write_security(json, "securitySchemes");
  json.end_object();
  write_info(json);
  json.member("openapi", "3.0.0");
  json.key("paths").raw(paths);
  json.end_object();
  return out;
}

// What another server says of its group-version: its paths, and the schemas that we have none of under the same name.
class OthersV2 {
 public:
  explicit OthersV2(const std::vector<ExternalVersion>& others) : others_(others) {}

  void write_paths(JsonText& json) const {
    for (const ExternalVersion& other : others_) {
      const std::string root = fmt::format("/apis/{}/{}/", other.group, other.version);
      for (Member path : other.openapi_v2["paths"].members())
        if (path.key.starts_with(root) || path.key == std::string_view(root).substr(0, root.size() - 1))
          json.key(path.key).raw(to_json(path.value));
    }
  }
  void write_definitions(JsonText& json, const SchemaSet& ours) const {
    std::set<std::string_view> written;
    for (const ExternalVersion& other : others_)
      for (Member schema : other.openapi_v2["definitions"].members())
        if (!ours.has(schema.key) && written.insert(schema.key).second) json.key(schema.key).raw(to_json(schema.value));
  }

 private:
  const std::vector<ExternalVersion>& others_;
};

// What is written goes through in pieces: a document about a thousand definitions has 27 MB, of which nobody needs all at once.
class Gzip {
 public:
  Gzip() { KYBERN_CHECK(deflateInit2(&z_, Z_BEST_SPEED + 2, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK, "deflateInit2"); }
  ~Gzip() { deflateEnd(&z_); }
  Gzip(const Gzip&) = delete;
  Gzip& operator=(const Gzip&) = delete;

  void add(std::string_view text) { write(text, Z_NO_FLUSH); }
  std::string finish() {
    write({}, Z_FINISH);
    out_.shrink_to_fit();
    return std::move(out_);
  }
  std::size_t size() const { return z_.total_in; }  // of what was added

 private:
  void write(std::string_view text, int flush) {
    z_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    z_.avail_in = static_cast<uInt>(text.size());
    do {
      z_.next_out = reinterpret_cast<Bytef*>(buffer_.data());
      z_.avail_out = static_cast<uInt>(buffer_.size());
      KYBERN_CHECK(deflate(&z_, flush) != Z_STREAM_ERROR, "deflate");
      out_.append(buffer_.data(), buffer_.size() - z_.avail_out);
    } while (z_.avail_out == 0);
  }

  z_stream z_{};
  std::array<char, 32 << 10> buffer_;
  std::string out_;
};

// Into anything with add().
template <class Sink>
void write_v2_document(Sink& sink, const Catalog::All& all, const std::vector<ExternalVersion>& others) {
  std::string piece;
  auto pass = [&] {
    sink.add(piece);
    piece.clear();
  };
  std::vector<const Served*> about(all.begin(), all.end());
  SchemaSet schemas(OpenapiVersion::v2, all, about);
  OthersV2 theirs(others);
  JsonText json(piece);
  json.begin_object();
  // The paths come first: they say which definitions there have to be.
  json.key("paths").begin_object();
  for (const auto& [name, section] : sections_of(all)) {
    write_section(json, schemas, OpenapiVersion::v2, name, section);
    pass();
  }
  theirs.write_paths(json);
  json.end_object();
  json.key("definitions").begin_object();
  pass();
  schemas.write(json, pass);
  theirs.write_definitions(json, schemas);
  json.end_object();
  write_info(json);
  json.key("security").raw(R"([{"BearerToken":[]}])");
  write_security(json, "securityDefinitions");
  json.member("swagger", "2.0");
  json.end_object();
  pass();
}

struct Whole {
  std::string text;
  void add(std::string_view piece) { text += piece; }
};

std::string gunzip(std::string_view bytes, std::size_t size) {
  z_stream z{};
  KYBERN_CHECK(inflateInit2(&z, 15 + 16) == Z_OK, "inflateInit2");
  std::string out(size, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  z.avail_in = static_cast<uInt>(bytes.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  KYBERN_CHECK(inflate(&z, Z_FINISH) == Z_STREAM_END, "inflate of our own bytes");
  inflateEnd(&z);
  return out;
}

// Compressed documents by ETag, the ones used last in front.
struct Compressed {
  std::string etag;
  std::shared_ptr<const std::string> bytes;
  std::size_t size;  // of the document
};

class Cache {
 public:
  template <class Make>
  Compressed get(const std::string& etag, Make make) {
    std::lock_guard lock(mutex_);  // also while a document is made: once is enough, and its memory is not needed twice
    for (auto at = entries_.begin(); at != entries_.end(); ++at)
      if (at->etag == etag) {
        entries_.splice(entries_.begin(), entries_, at);
        return entries_.front();
      }
    Gzip gzip;
    make(gzip);
    const std::size_t size = gzip.size();
    entries_.push_front({etag, std::make_shared<const std::string>(gzip.finish()), size});
    std::size_t total = 0;
    for (auto at = entries_.begin(); at != entries_.end();) {
      total += at->bytes->size();
      at = total > cache_max_bytes && at != entries_.begin() ? entries_.erase(at) : std::next(at);
    }
    return entries_.front();
  }

 private:
  std::mutex mutex_;
  std::list<Compressed> entries_;
};

bool accepts_gzip(const net::Request& request) {
  std::string_view accepted = request.headers.get("accept-encoding");
  for (std::string_view one : split(accepted, ','))
    if (trim(one).substr(0, 4) == "gzip" && trim(one).find("q=0") == std::string_view::npos) return true;
  return false;
}

// The form that the client asks for first and that there is; empty for none: 406.
std::string_view form_of(std::string_view accept, OpenapiVersion version) {
  if (accept.empty()) return "application/json";
  bool v2 = version == OpenapiVersion::v2;
  for (std::string_view one : split(accept, ',')) {
    std::string_view form = trim(one.substr(0, one.find(';')));
    if (form == "application/json" || form == "*/*" || form == "application/*") return "application/json";
    if (form == (v2 ? v2_asked : v3_asked) || form == (v2 ? v2_protobuf : v3_protobuf)) return v2 ? v2_protobuf : v3_protobuf;
  }
  return {};
}

bool names_etag(std::string_view if_none_match, std::string_view etag) {
  for (std::string_view one : split(if_none_match, ',')) {
    one = trim(one);
    if (one.starts_with("W/")) one.remove_prefix(2);
    if (one == "*" || one == fmt::format("\"{}\"", etag)) return true;
  }
  return false;
}

// The document of v2 is about everything and takes long: those of v3 have a cache of their own and wait for it nowhere.
Cache& cache_of(OpenapiVersion version) {
  static Cache v2, v3;
  return version == OpenapiVersion::v2 ? v2 : v3;
}

template <class Make>
net::Response serve(OpenapiVersion version, const net::Request& request, std::string_view form, const std::string& etag, Make make) {
  net::Response response;
  response.headers.set("etag", fmt::format("\"{}\"", etag));
  response.headers.set("vary", "Accept-Encoding, Accept");
  if (names_etag(request.headers.get("if-none-match"), etag)) {
    response.status = 304;
    return response;
  }
  Compressed found = cache_of(version).get(etag, make);
  response.headers.set("content-type", form);
  if (accepts_gzip(request)) {
    response.headers.set("content-encoding", "gzip");
    response.body = *found.bytes;
  } else {
    response.body = gunzip(*found.bytes, found.size);
  }
  return response;
}

net::Response not_acceptable() {
  net::Response response;
  response.status = 406;
  response.headers.set("content-type", "text/plain; charset=utf-8");
  response.body = "406 Not Acceptable\n";
  return response;
}

std::string to_protobuf(OpenapiVersion version, const std::string& json) {
  auto document = parse_json(json);
  KYBERN_CHECK(document.has_value(), "the document we wrote is no JSON");
  return openapi_protobuf(version, document->root());
}

std::string_view query_hash(std::string_view query) {
  for (std::string_view one : split(query, '&'))
    if (one.starts_with("hash=")) return one.substr(5);
  return {};
}

net::Response index(const Catalog::All& all, const net::Request& request, const std::vector<ExternalVersion>& others) {
  std::string of_others;
  for (const ExternalVersion& other : others) of_others += fmt::format("{}/{} {} ", other.group, other.version, other.openapi_hash);
  return serve(OpenapiVersion::v3, request, "application/json", etag_of(all, "index", "application/json" + of_others), [&](Gzip& gzip) {
    std::string out;
    JsonText json(out);
    json.begin_object();
    json.key("paths").begin_object();
    auto one = [&](const std::string& path, std::string_view hash) {
      json.key(path).begin_object();
      json.member("serverRelativeURL", fmt::format("/openapi/v3/{}?hash={}", path, hash));
      json.end_object();
    };
    for (const auto& [path, section] : sections_of(all)) one(path, etag_of(section.about, path, ""));
    for (const ExternalVersion& other : others)
      if (!other.openapi_hash.empty()) one(fmt::format("apis/{}/{}", other.group, other.version), other.openapi_hash);
    json.end_object();
    json.end_object();
    gzip.add(out);
  });
}

// A right `hash=` names content that never changes; a wrong one is sent on to the right one.
std::optional<net::Response> v3_answer(const Catalog::All& all, const net::Request& request, const std::string& name) {
  Sections sections = sections_of(all);
  auto at = sections.find(name);
  if (at == sections.end()) return std::nullopt;
  const Section& section = at->second;
  std::string_view form = form_of(request.headers.get("accept"), OpenapiVersion::v3);
  if (form.empty()) return not_acceptable();
  std::string hash = etag_of(section.about, name, "");
  std::string_view asked = query_hash(request.query);
  if (!asked.empty() && asked != hash) {
    net::Response response;
    response.status = 301;
    response.headers.set("location", fmt::format("/openapi/v3/{}?hash={}", name, hash));
    return response;
  }
  bool json = form == "application/json";
  net::Response response = serve(OpenapiVersion::v3, request, form, json ? hash : etag_of(section.about, name, form), [&](Gzip& gzip) {
    const std::string text = v3_document(all, name, section);
    gzip.add(json ? text : to_protobuf(OpenapiVersion::v3, text));
  });
  if (!asked.empty()) {
    response.headers.set("cache-control", "public, immutable");
    response.headers.set("expires", "Fri, 31 Dec 9999 23:59:59 GMT");
  }
  return response;
}

}  // namespace

std::optional<net::Response> openapi_answer(const Catalog& catalog, const net::Request& request, std::string_view path,
                                            const std::vector<ExternalVersion>& others) {
  const Catalog::All all = catalog.all();
  if (path == "/openapi/v3") return index(all, request, others);
  if (path.starts_with("/openapi/v3/")) return v3_answer(all, request, std::string(path.substr(12)));
  if (path != "/openapi/v2") return std::nullopt;
  std::string_view form = form_of(request.headers.get("accept"), OpenapiVersion::v2);
  if (form.empty()) return not_acceptable();
  std::string theirs;
  for (const ExternalVersion& other : others)
    if (other.openapi_v2) theirs += fmt::format("{}/{} {} ", other.group, other.version, other.openapi_v2_tag);
  return serve(OpenapiVersion::v2, request, form, etag_of(all, "v2" + theirs, form), [&](Gzip& gzip) {
    if (form == "application/json") return write_v2_document(gzip, all, others);
    Whole whole;
    write_v2_document(whole, all, others);
    gzip.add(to_protobuf(OpenapiVersion::v2, whole.text));
  });
}

}  // namespace kybern::apiserver
