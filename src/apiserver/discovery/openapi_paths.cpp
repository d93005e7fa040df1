// Paths and their operations, as OpenAPI has them.
#include <fmt/format.h>

#include "apiserver/custom/custom.h"
#include "apiserver/discovery/openapi_text.h"
#include "base/strings.h"

namespace kybern::apiserver {
namespace {

using schema::Resource;
using schema::Subresource;
using schema::Type;

struct Parameter {
  std::string_view name, in, type, description;
};
constexpr Parameter known_parameters[] = {
    {"allowWatchBookmarks", "query", "boolean", "Lets a watch send bookmarks: events that carry a resource version and nothing else."},
    {"continue", "query", "string", "Where a list goes on: the value that the page before this one came with."},
    {"dryRun", "query", "string", "With All, everything is done but nothing is stored."},
    {"fieldManager", "query", "string", "The name under which the changed fields are tracked; at most 128 printable characters."},
    {"fieldSelector", "query", "string", "Selects objects by their fields. Everything when empty."},
    {"fieldValidation", "query", "string",
     "What to do about unknown and duplicate fields: Ignore drops them, Warn drops them and sends a warning, Strict refuses the request."},
    {"force", "query", "boolean", "With server-side apply: takes over fields that others manage."},
    {"gracePeriodSeconds", "query", "integer",
     "Seconds until the object is deleted; zero means at once. Without it, the default of its kind."},
    {"ignoreStoreReadErrorWithClusterBreakingPotential", "query", "boolean",
     "Deletes an object that can no longer be read, without its finalizers and preconditions."},
    {"labelSelector", "query", "string", "Selects objects by their labels. Everything when empty."},
    {"limit", "query", "integer", "At most how many objects a page of a list has; the answer's continue tells how to get the next one."},
    {"orphanDependents", "query", "boolean", "Deprecated: use propagationPolicy. Whether dependents stay."},
    {"propagationPolicy", "query", "string",
     "What becomes of dependents: Orphan leaves them, Background deletes them afterwards, Foreground deletes them first."},
    {"resourceVersion", "query", "string", "Which version of the state to serve from."},
    {"resourceVersionMatch", "query", "string", "How resourceVersion is meant: Exact, or NotOlderThan."},
    {"sendInitialEvents", "query", "boolean", "Begins a watch with the objects that exist, and a bookmark after them."},
    {"shardSelector", "query", "string", "Selects a shard of the objects by a range of hashes."},
    {"timeoutSeconds", "query", "integer", "Seconds after which a list or watch ends."},
    {"watch", "query", "boolean", "Streams changes instead of listing objects."},
    {"pretty", "query", "string", "With true, the answer is indented."},
    {"namespace", "path", "string", "The namespace of the object."},
    {"path", "path", "string", "The rest of the path, as the peer sees it."},
    {"command", "query", "string", "The command to run, with its arguments."},
    {"container", "query", "string", "Which container; the only one, or the default one, when empty."},
    {"stderr", "query", "boolean", "Whether the standard error stream is wanted."},
    {"stdin", "query", "boolean", "Whether the standard input stream is sent."},
    {"stdout", "query", "boolean", "Whether the standard output stream is wanted."},
    {"tty", "query", "boolean", "Whether there is a terminal."},
    {"ports", "query", "integer", "The ports to forward."},
    {"follow", "query", "boolean", "Goes on with the lines to come."},
    {"insecureSkipTLSVerifyBackend", "query", "boolean", "Does not verify the node's serving certificate."},
    {"limitBytes", "query", "integer", "At most how many bytes of the log."},
    {"previous", "query", "boolean", "The log of the container's run before this one."},
    {"sinceSeconds", "query", "integer", "Lines that are younger than this many seconds."},
    {"stream", "query", "string", "Which stream: All, Stdout or Stderr."},
    {"tailLines", "query", "integer", "At most how many lines, from the end."},
    {"timestamps", "query", "boolean", "Each line begins with its time."},
};
constexpr std::string_view list_parameters[] = {
    "allowWatchBookmarks",  "continue",          "fieldSelector", "labelSelector",  "limit", "resourceVersion",
    "resourceVersionMatch", "sendInitialEvents", "shardSelector", "timeoutSeconds", "watch"};
constexpr std::string_view collection_parameters[] = {"continue",
                                                      "dryRun",
                                                      "fieldSelector",
                                                      "gracePeriodSeconds",
                                                      "ignoreStoreReadErrorWithClusterBreakingPotential",
                                                      "labelSelector",
                                                      "limit",
                                                      "orphanDependents",
                                                      "propagationPolicy",
                                                      "resourceVersion",
                                                      "resourceVersionMatch",
                                                      "sendInitialEvents",
                                                      "shardSelector",
                                                      "timeoutSeconds"};
constexpr std::string_view delete_parameters[] = {"dryRun", "gracePeriodSeconds", "ignoreStoreReadErrorWithClusterBreakingPotential",
                                                  "orphanDependents", "propagationPolicy"};
constexpr std::string_view write_parameters[] = {"dryRun", "fieldManager", "fieldValidation"};
constexpr std::string_view patch_parameters[] = {"dryRun", "fieldManager", "fieldValidation", "force"};
constexpr std::string_view log_parameters[] = {
    "container", "follow", "insecureSkipTLSVerifyBackend", "limitBytes", "previous", "sinceSeconds", "stream", "tailLines", "timestamps"};
constexpr std::string_view exec_parameters[] = {"command", "container", "stderr", "stdin", "stdout", "tty"};
constexpr std::string_view attach_parameters[] = {"container", "stderr", "stdin", "stdout", "tty"};
constexpr std::string_view forward_parameters[] = {"ports"};
constexpr std::string_view proxy_parameters[] = {"path"};  // in the query

using Names = std::span<const std::string_view>;
using Answers = std::vector<std::string_view>;

const std::vector<std::string_view> object_forms{"application/json", "application/yaml", "application/vnd.kubernetes.protobuf"};
const std::vector<std::string_view> list_forms{"application/json", "application/yaml", "application/vnd.kubernetes.protobuf",
                                               "application/json;stream=watch", "application/vnd.kubernetes.protobuf;stream=watch"};
const std::vector<std::string_view> any_form{"*/*"};
const std::vector<std::string_view> log_forms{"text/plain", "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"};
const std::vector<std::string_view> patch_forms{"application/json-patch+json", "application/merge-patch+json",
                                                "application/strategic-merge-patch+json", "application/apply-patch+yaml"};

constexpr std::string_view patch_name = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";

struct Operation {
  std::string_view method, action;  // "get", "list"; action empty: discovery
  std::string id, description;
  Names parameters{};
  const Type* body = nullptr;
  bool patch_body = false;
  bool body_required = true;
  std::string_view body_form = "*/*";
  const Type* answer = nullptr;  // null: a text
  Answers codes{"200"};
  const std::vector<std::string_view>* forms = &object_forms;
};

std::string capital(std::string_view word) {
  std::string out(word);
  if (!out.empty() && out[0] >= 'a' && out[0] <= 'z') out[0] = static_cast<char>(out[0] - 32);
  return out;
}

// "a Pod", "an Event", "Endpoints".
std::string with_article(std::string_view kind) {
  if (kind.ends_with('s') && !kind.ends_with("ss")) return std::string(kind);
  return fmt::format("{} {}", std::string_view("AEIOU").find(kind.front()) == std::string_view::npos ? "a" : "an", kind);
}

std::string_view reason(std::string_view code) {
  if (code == "201") return "Created";
  return code == "202" ? "Accepted" : "OK";
}

class Paths {
 public:
  Paths(JsonText& json, SchemaSet& schemas, OpenapiVersion version, std::string_view group, std::string_view group_version)
      : json_(json), schemas_(schemas), v3_(version == OpenapiVersion::v3), group_(group), version_(group_version) {
    words_ = group_words(group, true) + capital(group_version);
    tag_ = group_words(group, false) + "_" + std::string(group_version);
    root_ = group.empty() ? fmt::format("/api/{}", group_version) : fmt::format("/apis/{}/{}", group, group_version);
  }

  void discovery() {
    write_discovery_path(json_, schemas_, v3_ ? OpenapiVersion::v3 : OpenapiVersion::v2, root_ + "/", "get" + words_ + "APIResources", tag_,
                         "get available resources", "meta.v1.APIResourceList");
  }
  void resource(const Served& served);

 private:
  void all_namespaces(const Resource& r, const Type* list);
  void collection(const Resource& r, const Type* list);
  void item(const Resource& r);
  void watches(const Resource& r);
  void watch_path(std::string path, bool with_namespace, bool with_name, std::string_view action, std::string id, std::string description);
  void subresource(const Resource& r, const Subresource& sub);
  void connect(const Resource& r, const Subresource& sub, bool with_path);

  void begin_path(std::string_view path, Names query, bool with_namespace, bool with_name, bool pretty = true, bool with_rest = false);
  void end_path() { json_.end_object(); }
  void operation(const Operation& op);
  void parameter(std::string_view name);
  void parameter(std::string_view name, std::string_view in, std::string_view type, std::string_view description);
  void body(const Operation& op);
  void answers(const Operation& op);
  std::string scope(const Resource& r) const { return r.namespaced ? "Namespaced" : ""; }
  std::string base(const Resource& r, std::string_view before = "") const {
    return r.namespaced ? fmt::format("{}{}/namespaces/{{namespace}}/{}", root_, before, r.plural)
                        : fmt::format("{}{}/{}", root_, before, r.plural);
  }

  JsonText& json_;
  SchemaSet& schemas_;
  bool v3_;
  std::string_view group_, version_;
  std::string words_, tag_, root_;
  GroupVersionKind kind_;  // of the operations that are being written
  bool returns_deleted_ = false;
};

void Paths::parameter(std::string_view name) {
  for (const Parameter& p : known_parameters)
    if (p.name == name) return parameter(p.name, p.in, p.type, p.description);
}

void Paths::parameter(std::string_view name, std::string_view in, std::string_view type, std::string_view description) {
  json_.begin_object();
  json_.member("description", description);
  json_.member("in", in);
  json_.member("name", name);
  if (in == "path") json_.key("required").boolean(true);
  if (v3_) json_.key("schema").begin_object();
  json_.member("type", type);
  json_.key("uniqueItems").boolean(true);
  if (v3_) json_.end_object();
  json_.end_object();
}

void Paths::begin_path(std::string_view path, Names query, bool with_namespace, bool with_name, bool pretty, bool with_rest) {
  json_.key(path).begin_object();
  json_.key("parameters").begin_array();
  for (std::string_view name : query) {
    if (name == "path") parameter("path", "query", "string", "The path of the request that the peer is to get.");
    else parameter(name);
  }
  if (with_name) parameter("name", "path", "string", "The name of the object.");
  if (with_namespace) parameter("namespace");
  if (with_rest) parameter("path");
  if (pretty) parameter("pretty");
  json_.end_array();
}

void Paths::body(const Operation& op) {
  if (op.body == nullptr && !op.patch_body) return;
  auto reference = [&] { op.patch_body ? schemas_.refer(json_, patch_name) : schemas_.refer(json_, op.body); };
  if (!v3_) {  // one of the parameters
    json_.begin_object();
    json_.member("in", "body");
    json_.member("name", "body");
    if (op.body_required) json_.key("required").boolean(true);
    json_.key("schema");
    reference();
    json_.end_object();
    return;
  }
  json_.key("requestBody").begin_object();
  json_.key("content").begin_object();
  auto one = [&](std::string_view form) {
    json_.key(form).begin_object();
    json_.key("schema");
    reference();
    json_.end_object();
  };
  if (op.patch_body)
    for (std::string_view form : patch_forms) one(form);
  else one(op.body_form);
  json_.end_object();
  if (op.body_required) json_.key("required").boolean(true);
  json_.end_object();
}

void Paths::answers(const Operation& op) {
  auto content = [&] {
    if (op.answer) schemas_.refer(json_, op.answer);
    else json_.raw(R"({"type":"string"})");
  };
  json_.key("responses").begin_object();
  for (std::string_view code : op.codes) {
    json_.key(code).begin_object();
    if (v3_) {
      json_.key("content").begin_object();
      for (std::string_view form : *op.forms) {
        json_.key(form).begin_object();
        json_.key("schema");
        content();
        json_.end_object();
      }
      json_.end_object();
    }
    json_.member("description", reason(code));
    if (!v3_) {
      json_.key("schema");
      content();
    }
    json_.end_object();
  }
  json_.raw(R"("401":{"description":"Unauthorized"})");
  json_.end_object();
}

void Paths::operation(const Operation& op) {
  json_.key(op.method).begin_object();
  if (!v3_) json_.texts("consumes", op.patch_body ? patch_forms : any_form);
  json_.member("description", op.description);
  json_.member("operationId", op.id);
  bool v2_body = !v3_ && (op.body != nullptr || op.patch_body);
  if (!op.parameters.empty() || v2_body) {
    json_.key("parameters").begin_array();
    if (v2_body) body(op);
    for (std::string_view name : op.parameters) parameter(name);
    json_.end_array();
  }
  if (!v3_) json_.texts("produces", *op.forms);
  if (v3_) body(op);
  answers(op);
  if (!v3_) json_.texts("schemes", {"https"});
  json_.texts("tags", {tag_});
  json_.member("x-kubernetes-action", op.action);
  json_.key("x-kubernetes-group-version-kind");
  write_kind(json_, kind_);
  json_.end_object();
}

void Paths::resource(const Served& served) {
  const Resource& r = *served.resource;
  kind_ = {group_, version_, r.kind};
  returns_deleted_ = served.traits != nullptr && served.traits->returns_deleted;
  const Type* list = served.custom ? &served.custom->list_type() : schema::find_type(served.api_version, std::string(r.kind) + "List");
  constexpr auto on_collections = schema::verb_create | schema::verb_list | schema::verb_deletecollection;
  constexpr auto on_items = schema::verb_get | schema::verb_update | schema::verb_patch | schema::verb_delete;
  if (r.namespaced && (r.verbs & schema::verb_list) && list) all_namespaces(r, list);
  if (r.verbs & on_collections) collection(r, list);
  if (r.verbs & on_items) item(r);
  for (const Subresource& sub : r.subresources) {
    subresource(r, sub);
    kind_ = {group_, version_, r.kind};
  }
  if (r.verbs & schema::verb_watch) watches(r);
}

void Paths::all_namespaces(const Resource& r, const Type* list) {
  begin_path(fmt::format("{}/{}", root_, r.plural), list_parameters, false, false);
  operation({.method = "get",
             .action = "list",
             .id = fmt::format("list{}{}ForAllNamespaces", words_, r.kind),
             .description = fmt::format("list or watch objects of kind {}", r.kind),
             .answer = list,
             .forms = &list_forms});
  end_path();
}

void Paths::collection(const Resource& r, const Type* list) {
  bool only_create = (r.verbs & (schema::verb_list | schema::verb_deletecollection)) == 0;
  bool only_list = (r.verbs & (schema::verb_create | schema::verb_deletecollection)) == 0;
  // Parameters that all operations of a path share stand at the path.
  begin_path(base(r), only_create ? Names(write_parameters) : only_list ? Names(list_parameters) : Names(), r.namespaced, false);
  if (r.verbs & schema::verb_deletecollection)
    operation({.method = "delete",
               .action = "deletecollection",
               .id = fmt::format("delete{}Collection{}{}", words_, scope(r), r.kind),
               .description = fmt::format("delete collection of {}", r.kind),
               .parameters = collection_parameters,
               .body = schema::find_type_named("meta.v1.DeleteOptions"),
               .body_required = false,
               .answer = schema::find_type_named("meta.v1.Status")});
  if ((r.verbs & schema::verb_list) && list)
    operation({.method = "get",
               .action = "list",
               .id = fmt::format("list{}{}{}", words_, scope(r), r.kind),
               .description = fmt::format("list {}objects of kind {}", r.verbs & schema::verb_watch ? "or watch " : "", r.kind),
               .parameters = only_list ? Names() : Names(list_parameters),
               .answer = list,
               .forms = &list_forms});
  if (r.verbs & schema::verb_create)
    operation({.method = "post",
               .action = "post",
               .id = fmt::format("create{}{}{}", words_, scope(r), r.kind),
               .description = fmt::format("create {}", with_article(r.kind)),
               .parameters = only_create ? Names() : Names(write_parameters),
               .body = r.type,
               .answer = r.type,
               .codes = {"200", "201", "202"}});
  end_path();
}

void Paths::item(const Resource& r) {
  begin_path(base(r) + "/{name}", {}, r.namespaced, true);
  if (r.verbs & schema::verb_delete)
    operation({.method = "delete",
               .action = "delete",
               .id = fmt::format("delete{}{}{}", words_, scope(r), r.kind),
               .description = fmt::format("delete {}", with_article(r.kind)),
               .parameters = delete_parameters,
               .body = schema::find_type_named("meta.v1.DeleteOptions"),
               .body_required = false,
               .answer = returns_deleted_ ? r.type : schema::find_type_named("meta.v1.Status"),
               .codes = {"200", "202"}});
  if (r.verbs & schema::verb_get)
    operation({.method = "get",
               .action = "get",
               .id = fmt::format("read{}{}{}", words_, scope(r), r.kind),
               .description = fmt::format("read the specified {}", r.kind),
               .answer = r.type});
  if (r.verbs & schema::verb_patch)
    operation({.method = "patch",
               .action = "patch",
               .id = fmt::format("patch{}{}{}", words_, scope(r), r.kind),
               .description = fmt::format("partially update the specified {}", r.kind),
               .parameters = patch_parameters,
               .patch_body = true,
               .answer = r.type,
               .codes = {"200", "201"}});
  if (r.verbs & schema::verb_update)
    operation({.method = "put",
               .action = "put",
               .id = fmt::format("replace{}{}{}", words_, scope(r), r.kind),
               .description = fmt::format("replace the specified {}", r.kind),
               .parameters = write_parameters,
               .body = r.type,
               .answer = r.type,
               .codes = {"200", "201"}});
  end_path();
}

void Paths::watch_path(std::string path, bool with_namespace, bool with_name, std::string_view action, std::string id,
                       std::string description) {
  begin_path(path, list_parameters, with_namespace, with_name);
  operation({.method = "get",
             .action = action,
             .id = std::move(id),
             .description = std::move(description),
             .answer = schema::find_type_named("meta.v1.WatchEvent"),
             .forms = &list_forms});
  end_path();
}

void Paths::watches(const Resource& r) {
  std::string many =
      fmt::format("watch individual changes to a list of {}. deprecated: use the 'watch' parameter with a list operation instead.", r.kind);
  std::string one = fmt::format(
      "watch changes to an object of kind {}. deprecated: use the 'watch' parameter with a list operation instead, filtered to a single "
      "item with the 'fieldSelector' parameter.",
      r.kind);
  if (r.namespaced)
    watch_path(fmt::format("{}/watch/{}", root_, r.plural), false, false, "watchlist",
               fmt::format("watch{}{}ListForAllNamespaces", words_, r.kind), many);
  watch_path(base(r, "/watch"), r.namespaced, false, "watchlist", fmt::format("watch{}{}{}List", words_, scope(r), r.kind), many);
  watch_path(base(r, "/watch") + "/{name}", r.namespaced, true, "watch", fmt::format("watch{}{}{}", words_, scope(r), r.kind), one);
}

bool is_connection(std::string_view name) { return name == "proxy" || name == "exec" || name == "attach" || name == "portforward"; }

void Paths::subresource(const Resource& r, const Subresource& sub) {
  if (is_connection(sub.name)) {
    connect(r, sub, false);
    if (sub.name == "proxy") connect(r, sub, true);
    return;
  }
  bool log = sub.name == "log";
  const Type* type = log || sub.type == nullptr ? nullptr : sub.type;
  if (!sub.version.empty() && !log) kind_ = {sub.group, sub.version, sub.kind};
  else if (!sub.kind.empty() && !log) kind_.kind = sub.kind;
  bool reads = sub.verbs & schema::verb_get;
  std::string words = words_ + scope(r) + std::string(r.kind) + capital(sub.name);
  begin_path(base(r) + fmt::format("/{{name}}/{}", sub.name),
             log     ? Names(log_parameters)
             : reads ? Names()
                     : Names(write_parameters),
             r.namespaced, true);
  Names writes = reads ? Names(write_parameters) : Names();
  if (reads)
    operation({.method = "get",
               .action = "get",
               .id = "read" + words,
               .description = fmt::format("read {} of the specified {}", sub.name, r.kind),
               .answer = type,
               .forms = log ? &log_forms : &object_forms});
  if (sub.verbs & schema::verb_patch)
    operation({.method = "patch",
               .action = "patch",
               .id = "patch" + words,
               .description = fmt::format("partially update {} of the specified {}", sub.name, r.kind),
               .parameters = patch_parameters,
               .patch_body = true,
               .answer = type,
               .codes = {"200", "201"}});
  if (sub.verbs & schema::verb_create)
    operation({.method = "post",
               .action = "post",
               .id = "create" + words,
               .description = fmt::format("create {} of {}", sub.name, with_article(r.kind)),
               .parameters = writes,
               .body = type,
               .answer = type,
               .codes = {"200", "201", "202"}});
  if (sub.verbs & schema::verb_update)
    operation({.method = "put",
               .action = "put",
               .id = "replace" + words,
               .description = fmt::format("replace {} of the specified {}", sub.name, r.kind),
               .parameters = writes,
               .body = type,
               .answer = type,
               .codes = {"200", "201"}});
  end_path();
}

void Paths::connect(const Resource& r, const Subresource& sub, bool with_path) {
  bool proxy = sub.name == "proxy";
  Names query = sub.name == "exec"     ? Names(exec_parameters)
                : sub.name == "attach" ? Names(attach_parameters)
                : proxy                ? Names(proxy_parameters)
                                       : Names(forward_parameters);
  begin_path(base(r) + fmt::format("/{{name}}/{}{}", sub.name, with_path ? "/{path}" : ""), query, r.namespaced, true, false, with_path);
  for (std::string_view method : {"delete", "get", "head", "options", "patch", "post", "put"}) {
    if (!proxy && method != "get" && method != "post") continue;
    std::string upper(method);
    for (char& c : upper) c = static_cast<char>(c - 32);
    operation({.method = method,
               .action = "connect",
               .id = fmt::format("connect{}{}{}{}{}{}", words_, capital(method), scope(r), r.kind, capital(sub.name),
                                 with_path ? "WithPath" : ""),
               .description = fmt::format("connect {} requests to {} of {}", upper, sub.name, r.kind),
               .forms = &any_form});
  }
  end_path();
}

}  // namespace

std::string group_words(std::string_view group, bool capital_first) {
  if (group.empty()) return capital_first ? "Core" : "core";
  if (group.ends_with(".k8s.io")) group.remove_suffix(7);
  std::string out;
  for (std::string_view word : split(group, '.')) out += out.empty() && !capital_first ? std::string(word) : capital(word);
  return out;
}

void write_discovery_path(JsonText& json, SchemaSet& schemas, OpenapiVersion version, std::string_view path, std::string_view operation,
                          std::string_view tag, std::string_view description, std::string_view type) {
  const Type* answer = schema::find_type_named(type);
  if (answer == nullptr) return;
  json.key(path).begin_object();
  json.key("get").begin_object();
  if (version == OpenapiVersion::v2) json.texts("consumes", object_forms);
  json.member("description", description);
  json.member("operationId", operation);
  if (version == OpenapiVersion::v2) json.texts("produces", object_forms);
  json.key("responses").begin_object();
  json.key("200").begin_object();
  if (version == OpenapiVersion::v3) {
    json.key("content").begin_object();
    for (std::string_view form : object_forms) {
      json.key(form).begin_object();
      json.key("schema");
      schemas.refer(json, answer);
      json.end_object();
    }
    json.end_object();
  }
  json.member("description", "OK");
  if (version == OpenapiVersion::v2) {
    json.key("schema");
    schemas.refer(json, answer);
  }
  json.end_object();
  json.raw(R"("401":{"description":"Unauthorized"})");
  json.end_object();
  if (version == OpenapiVersion::v2) json.texts("schemes", {"https"});
  json.texts("tags", {tag});
  json.end_object();
  json.end_object();
}

void write_paths(JsonText& json, SchemaSet& schemas, OpenapiVersion version, std::span<const Served* const> about, std::string_view group,
                 std::string_view group_version) {
  Paths paths(json, schemas, version, group, group_version);
  paths.discovery();
  for (const Served* served : about) paths.resource(*served);
}

}  // namespace kybern::apiserver
