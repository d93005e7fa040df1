// get: server-side tables, or whole objects in any output format; once, or as they change.
#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "cli/command.h"
#include "cli/jsonpath.h"
#include "cli/output.h"
#include "cli/subjects.h"
#include "cli/table.h"
#include "document/json.h"
#include "machinery/quantity.h"

namespace kybern::cli {
namespace {

constexpr std::string_view table_type =
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";

struct Query {  // one request: a collection, or one object
  const ApiResource* type;
  std::string ns, name;
};

struct Get {
  Session& session;
  const Arguments& arguments;
  Output output;
  TableOptions table;
  std::vector<Query> queries;
  std::string subresource;
  bool list = true, printed = false;
  std::optional<JsonPath> sort;

  Result<void> plan();
  std::string selectors() const {
    return query_of({{"labelSelector", arguments.text("selector")}, {"fieldSelector", arguments.text("field-selector")}});
  }
  Error failed(const Query& query, const Status& status) const;
  Result<std::vector<Document>> pages(const Query& query) const;
  Result<void> tables();
  Result<void> objects();
  Result<void> watch();
  Result<void> sort_rows(std::vector<Value>& rows) const;
  Document normal(Value answer, const Query& query) const;
};

Result<void> Get::plan() {
  auto named = read_words(arguments.words);
  if (!named) return std::unexpected(named.error());
  auto discovery = session.discovery();
  if (!discovery) return std::unexpected(discovery.error());
  std::string missing;
  for (const TypeAndName& item : named->items) {
    std::vector<const ApiResource*> types = (*discovery)->category(to_lower(item.type));
    if (types.empty()) {
      auto type = (*discovery)->find(item.type);
      if (!type) return std::unexpected(type.error());
      types = {*type};
    }
    for (const ApiResource* type : types) {
      if (arguments.on("all-namespaces") && !item.name.empty())
        return refuse("a resource cannot be retrieved by name across all namespaces");
      if (!item.name.empty() && !selectors().empty()) return refuse("name cannot be provided when a selector is specified");
      queries.push_back({type, arguments.on("all-namespaces") || !type->namespaced ? "" : session.ns(), item.name});
    }
  }
  list = queries.size() != 1 || queries[0].name.empty();
  return {};
}

Error Get::failed(const Query& query, const Status& status) const {
  if (status.code != 400 || !query.name.empty() || selectors().empty()) return shown(status);
  return shown(status, fmt::format("Unable to find {} that match label selector {}, field selector {}: ",
                                   go_quote(query.type->group + "/" + query.type->version + ", Resource=" + query.type->plural),
                                   go_quote(arguments.text("selector")), go_quote(arguments.text("field-selector"))));
}

// By the text or number of --sort-by; a field that no object has is a slip.
Result<void> Get::sort_rows(std::vector<Value>& rows) const {
  if (!sort || rows.empty()) return {};
  const bool known =
      std::any_of(rows.begin(), rows.end(), [&](Value row) { return !sort->find(row["cells"].exists() ? row["object"] : row).empty(); });
  if (!known) return rows.clear(), Result<void>();
  const auto key = [&](Value object) -> Value {
    auto found = sort->find(object);
    return found.empty() ? Value() : found[0];
  };
  std::stable_sort(rows.begin(), rows.end(), [&](Value a, Value b) {
    const Value object_a = a["cells"].exists() ? a["object"] : a, object_b = b["cells"].exists() ? b["object"] : b;
    const Value x = key(object_a), y = key(object_b);
    if (!x.exists() || !y.exists()) return !x.exists() && y.exists();
    if (x.is_string() && y.is_string()) {
      const auto p = Quantity::parse(x.as_string()), q = Quantity::parse(y.as_string());
      if (p && q) return *p < *q;
      return x.as_string() < y.as_string();
    }
    return x.as_double() < y.as_double();
  });
  return {};
}

Document Get::normal(Value answer, const Query& query) const {  // a generic table for a server that prints none
  if (answer["kind"].as_string() == "Table") return answer.document();
  Draft rows = Draft::array();
  const auto add = [&](Value object) {
    rows.push_back(
        Draft::object({{"cells", Draft::array({object["metadata"]["name"].str(), object["metadata"]["creationTimestamp"].str()})},
                       {"object", Draft(object)}}));
  };
  if (query.name.empty() && answer["items"].is_array()) {
    for (Value item : answer["items"].items()) add(item);
  } else {
    add(answer);
  }
  return Draft::object({{"kind", "Table"},
                        {"metadata", Draft(answer["metadata"])},
                        {"columnDefinitions", Draft::array({Draft::object({{"name", "Name"}, {"format", "name"}, {"priority", 0}}),
                                                            Draft::object({{"name", "Created At"}, {"priority", 0}})})},
                        {"rows", std::move(rows)}})
      .freeze();
}

// The pages of one query's table. Nothing when it is not found and that is no failure.
Result<std::vector<Document>> Get::pages(const Query& query) const {
  std::string parameters = query.name.empty() ? selectors() : "";
  if (query.name.empty()) parameters += (parameters.empty() ? "limit=" : "&limit=") + arguments.text("chunk-size");
  if (sort) parameters += (parameters.empty() ? "" : "&") + std::string("includeObject=Object");
  std::vector<Document> out;
  std::string next;
  do {  // a long list comes in pages
    auto answer = session.call("GET", query.type->path(query.ns, query.name, subresource),
                               next.empty() ? parameters : parameters + "&continue=" + url_encode(next), {}, json_type, table_type);
    if (!answer) {
      if (answer.error().code == 404 && arguments.on("ignore-not-found")) break;
      return std::unexpected(failed(query, answer.error()));
    }
    out.push_back(normal(*answer, query));
    next = (*answer)["metadata"]["continue"].str();
  } while (!next.empty());
  return out;
}

// What comes one after another of the same type shares a table.
Result<void> Get::tables() {
  std::vector<Error> errors;
  TableWriter writer;
  Document columns;
  bool headed = false;
  const ApiResource* last = nullptr;
  const auto flush = [&] {
    const std::string lines = writer.flush();
    fmt::print("{}{}", printed && !lines.empty() ? "\n" : "", lines);
    printed = printed || !lines.empty();
  };
  std::vector<std::pair<const Query*, std::vector<Document>>> answers;
  for (const Query& query : queries) {
    auto found = pages(query);
    if (!found) errors.push_back(found.error());
    else if (!found->empty()) answers.emplace_back(&query, *std::move(found));
  }
  const bool several =
      std::any_of(answers.begin(), answers.end(), [&](const auto& answer) { return answer.first->type != answers[0].first->type; });
  for (const auto& [asked, found] : answers) {
    const Query& query = *asked;
    std::vector<Value> rows;
    for (const Document& page : found)
      for (Value row : page["rows"].items()) rows.push_back(row);
    if (auto ordered = sort_rows(rows); !ordered) return ordered;
    if (rows.empty()) continue;
    if (last != query.type) {
      flush();
      writer = TableWriter();
      headed = false;
    }
    last = query.type;
    TableOptions options = table;
    options.with_kind = table.with_kind || several;
    options.kind_prefix = query.type->shown_kind() + "/";
    options.with_namespace = arguments.on("all-namespaces") && query.type->namespaced;
    Draft all = Draft::array();
    for (Value row : rows) all.push_back(Draft(row));
    const Document whole = Draft::object({{"columnDefinitions", Draft(found[0]["columnDefinitions"])}, {"rows", std::move(all)}}).freeze();
    add_table(whole, options, headed, columns, writer);
  }
  flush();
  std::fflush(stdout);
  if (!errors.empty()) {
    Error all = errors[0];
    for (std::size_t i = 1; i < errors.size(); ++i) all.message += "\n" + errors[i].message;
    return std::unexpected(all);
  }
  if (!printed && !arguments.on("ignore-not-found")) {
    const bool everywhere =
        arguments.on("all-namespaces") || std::none_of(queries.begin(), queries.end(), [](const Query& q) { return q.type->namespaced; });
    fmt::print(stderr, "{}\n", everywhere ? "No resources found" : fmt::format("No resources found in {} namespace.", session.ns()));
  }
  return {};
}

Result<void> Get::objects() {
  std::vector<Document> found;
  std::vector<Error> errors;
  for (const Query& query : queries) {
    auto answer = session.call("GET", query.type->path(query.ns, query.name, subresource), query.name.empty() ? selectors() : "");
    if (!answer) {
      if (answer.error().code == 404 && arguments.on("ignore-not-found")) continue;
      errors.push_back(failed(query, answer.error()));
      continue;
    }
    if (!query.name.empty()) {
      found.push_back(*answer);
      continue;
    }
    std::vector<Value> items;
    for (Value item : (*answer)["items"].items()) items.push_back(item);
    if (auto ordered = sort_rows(items); !ordered) return ordered;
    for (Value item : items) {
      Draft whole(item);
      whole["apiVersion"] = query.type->api_version();
      whole["kind"] = query.type->kind;
      found.push_back(whole.freeze());
    }
  }
  if (errors.empty() || !found.empty()) {
    if (list || !found.empty()) {
      auto text = output.print(found, list, nullptr);
      if (!text) return std::unexpected(text.error());
      fmt::print("{}", *text);
      std::fflush(stdout);
    }
  }
  if (errors.empty()) return {};
  for (std::size_t i = 1; i < errors.size(); ++i) errors[0].message += "\n" + errors[i].message;
  return std::unexpected(errors[0]);
}

Result<void> Get::watch() {
  if (queries.size() != 1) {
    if (output.human())
      if (auto listed = tables(); !listed) return listed;
    return refuse("you may only watch a single resource or type of resource at a time");
  }
  const Query& query = queries[0];
  const std::string path = query.type->path(query.ns);
  const std::string filter = query.name.empty() ? selectors() : name_query(query.name);
  const bool human = output.human();
  TableOptions options = table;
  options.with_namespace = arguments.on("all-namespaces") && query.type->namespaced;
  options.kind_prefix = query.type->shown_kind() + "/";
  TableWriter writer;
  Document columns;
  bool headed = false;
  const auto print = [&](Value object, std::string_view event) -> Result<void> {
    if (human) {
      const bool first_lines = !headed && options.headers;
      add_table(object, options, headed, columns, writer);
      const std::string text = writer.flush();
      if (!arguments.on("output-watch-events")) {
        fmt::print("{}", text);
      } else {
        const auto lines = split(trim(text), '\n');
        for (std::size_t i = 0; i < lines.size(); ++i) fmt::print("{:<11}{}\n", i == 0 && first_lines ? "EVENT" : event, lines[i]);
      }
    } else {
      auto text = output.print({object.document()}, false, nullptr);
      if (!text) return std::unexpected(text.error());
      fmt::print("{}", *text);
    }
    std::fflush(stdout);
    return {};
  };
  auto first = session.call("GET", path, filter, {}, json_type, human ? table_type : json_type);
  if (!first) return std::unexpected(shown(first.error()));
  if (!query.name.empty() && (*first)[human ? "rows" : "items"].empty())
    return std::unexpected(shown(not_found(query.type->group, query.type->plural, query.name)));
  std::string version = (*first)["metadata"]["resourceVersion"].str();
  if (human && !arguments.on("watch-only") && !(*first)["rows"].empty()) {
    if (auto done = print(*first, "ADDED"); !done) return done;
  } else if (!human && !arguments.on("watch-only")) {
    for (Value item : (*first)["items"].items()) {
      Draft whole(item);
      whole["apiVersion"] = query.type->api_version();
      whole["kind"] = query.type->kind;
      const Document frozen = whole.freeze();
      if (auto done = print(frozen, "ADDED"); !done) return done;
    }
  }
  while (true) {
    auto stream = session.stream(path, filter + (filter.empty() ? "" : "&") + "watch=true&resourceVersion=" + version,
                                 human ? table_type : json_type);
    if (!stream) return std::unexpected(shown(stream.error()));
    Result<void> failed;
    auto end = read_lines(**stream, {}, [&](std::string_view line) {
      auto event = parse_json(line);
      if (!event) return false;
      const Value object = (*event)["object"];
      if ((*event)["type"].as_string() == "ERROR") {
        if (auto status = Status::read(object)) failed = std::unexpected(shown(*status));
        return false;
      }
      const Value meta = human ? object["rows"][0]["object"]["metadata"] : object["metadata"];
      if (meta["resourceVersion"].exists()) version = meta["resourceVersion"].str();
      failed = print(object, (*event)["type"].as_string());
      return failed.has_value();
    });
    if (!failed) return failed;
    if (!end) return std::unexpected(end.error());
  }
}

Result<int> get(Session& session, const Arguments& arguments) {
  if (const std::string raw = arguments.text("raw"); !raw.empty()) {
    auto text = session.raw("GET", raw, "", "", json_type, "application/json, */*");
    if (!text) return std::unexpected(shown(text.error()));
    fmt::print("{}", *text);
    return 0;
  }
  auto output = Output::parse(arguments.text("output"));
  if (!output) return std::unexpected(output.error());
  Get get{session, arguments, *output, {}, {}, arguments.text("subresource"), true, false, {}};
  get.output.headers = get.table.headers = !arguments.on("no-headers");
  get.output.managed_fields = arguments.on("show-managed-fields");
  get.table.wide = output->type == Output::Type::wide;
  get.table.show_labels = arguments.on("show-labels");
  get.table.label_columns = arguments.list("label-columns");
  get.table.with_kind = arguments.on("show-kind");
  if (const std::string by = arguments.text("sort-by"); !by.empty()) {
    auto path = JsonPath::parse_relaxed(by);
    if (!path) return refuse("couldn't parse the sort field: " + path.error().message);
    get.sort = *path;
  }
  if (arguments.given("filename")) {
    auto subjects = select(session, arguments, arguments.words, {.fetch = false, .manifests_from_server = false});
    if (!subjects) return std::unexpected(subjects.error());
    for (const Subject& subject : *subjects) get.queries.push_back({subject.type, subject.ns, subject.name});
    get.list = get.queries.size() != 1;
  } else if (arguments.words.empty()) {
    return fail(Code::invalid,
                "You must specify the type of resource to get. Use \"kubectl api-resources\" for a complete list of supported "
                "resources.\n\nerror: Required resource not specified.\nUse \"kubectl explain <resource>\" for a detailed description of "
                "that resource (e.g. kubectl explain pods).\nSee 'kubectl get -h' for help and examples");
  } else if (auto planned = get.plan(); !planned) {
    return std::unexpected(planned.error());
  }
  Result<void> done = arguments.on("watch") || arguments.on("watch-only") ? get.watch() : get.output.human() ? get.tables() : get.objects();
  if (!done) return std::unexpected(done.error());
  return 0;
}

}  // namespace

Command get_command() {
  using namespace flags;
  return {"get",
          "show one or many objects",
          "(TYPE[,TYPE...] [NAME...] | TYPE/NAME... | -f FILE) [flags]",
          {output(),
           boolean("all-namespaces", "of all namespaces", false, 'A'),
           selector(),
           field_selector(),
           filename(),
           recursive(),
           boolean("watch", "go on and show every change", false, 'w'),
           boolean("watch-only", "show changes alone"),
           boolean("output-watch-events", "say what kind of change it was"),
           boolean("show-labels", "with a column of labels"),
           boolean("show-kind", "with the kind before the name"),
           boolean("show-managed-fields", "with metadata.managedFields in JSON and YAML"),
           boolean("no-headers", "without the line of column names"),
           list("label-columns", "with a column for each of these labels", 'L'),
           text("sort-by", "order by this field: {.metadata.name}"),
           boolean("ignore-not-found", "what does not exist is no failure"),
           text("subresource", "of this subresource: status, scale"),
           text("raw", "GET this path and print the answer as it is"),
           number("chunk-size", "how many objects to ask for at once", "500"),
           boolean("server-print", "let the server make the table", true)},
          get};
}

}  // namespace kybern::cli
