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
  bool list = true, printed = false;
  std::optional<JsonPath> sort;

  Result<void> plan();
  std::string selectors() const {
    return query_of({{"labelSelector", arguments.text("selector")}, {"fieldSelector", arguments.text("field-selector")}});
  }
  Result<void> tables();
  Result<void> objects();
  Result<void> watch();
  void sort_rows(std::vector<Value>& rows) const;
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
    if (!types.empty()) table.with_kind = true;
    if (types.empty()) {
      auto type = (*discovery)->find(item.type);
      if (!type) return std::unexpected(type.error());
      types = {*type};
    }
    for (const ApiResource* type : types) {
      if (arguments.on("all-namespaces") && !item.name.empty()) return refuse("a resource cannot be retrieved by name across all namespaces");
      if (!item.name.empty() && !selectors().empty()) return refuse("name cannot be provided when a selector is specified");
      queries.push_back({type, arguments.on("all-namespaces") || !type->namespaced ? "" : session.ns(), item.name});
    }
  }
  if (named->several) table.with_kind = true;
  list = queries.size() != 1 || queries[0].name.empty();
  return {};
}

// The text and number by which rows are sorted.
void Get::sort_rows(std::vector<Value>& rows) const {
  if (!sort) return;
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
}

Document Get::normal(Value answer, const Query& query) const {  // a generic table for a server that prints none
  if (answer["kind"].as_string() == "Table") return answer.document();
  Draft rows = Draft::array();
  const auto add = [&](Value object) {
    rows.push_back(Draft::object({{"cells", Draft::array({object["metadata"]["name"].str(), object["metadata"]["creationTimestamp"].str()})}, {"object", Draft(object)}}));
  };
  if (query.name.empty() && answer["items"].is_array()) {
    for (Value item : answer["items"].items()) add(item);
  } else {
    add(answer);
  }
  return Draft::object({{"kind", "Table"},
                        {"metadata", Draft(answer["metadata"])},
                        {"columnDefinitions", Draft::array({Draft::object({{"name", "Name"}, {"format", "name"}, {"priority", 0}}), Draft::object({{"name", "Created At"}, {"priority", 0}})})},
                        {"rows", std::move(rows)}})
      .freeze();
}

Result<void> Get::tables() {
  std::vector<Error> errors;
  for (const Query& query : queries) {
    std::string parameters = query.name.empty() ? selectors() : "";
    if (query.name.empty()) parameters += (parameters.empty() ? "limit=500" : "&limit=500");
    if (sort) parameters += (parameters.empty() ? "" : "&") + std::string("includeObject=Object");
    TableOptions options = table;
    options.kind_prefix = query.type->shown_kind() + "/";
    options.with_namespace = arguments.on("all-namespaces") && query.type->namespaced;
    TableWriter writer;
    Document columns;
    bool headed = false, any = false;
    std::vector<Document> pages;
    std::string next;
    do {  // a long list comes in pages
      auto answer = session.call("GET", query.type->path(query.ns, query.name), next.empty() ? parameters : parameters + "&continue=" + url_encode(next), {}, json_type, table_type);
      if (!answer) {
        if (answer.error().code == 404 && arguments.on("ignore-not-found")) break;
        errors.push_back(shown(answer.error()));
        break;
      }
      pages.push_back(normal(*answer, query));
      next = (*answer)["metadata"]["continue"].str();
    } while (!next.empty());
    std::vector<Value> rows;
    for (const Document& page : pages)
      for (Value row : page["rows"].items()) rows.push_back(row);
    sort_rows(rows);
    if (!rows.empty()) {
      Draft all = Draft::array();
      for (Value row : rows) all.push_back(Draft(row));
      const Document whole = Draft::object({{"columnDefinitions", Draft(pages[0]["columnDefinitions"])}, {"rows", std::move(all)}}).freeze();
      add_table(whole, options, headed, columns, writer);
      any = true;
    }
    if (any) {
      fmt::print("{}{}", printed && table.with_kind && query.name.empty() ? "\n" : "", writer.flush());
      printed = true;
    }
  }
  std::fflush(stdout);
  if (!errors.empty()) {
    Error all = errors[0];
    for (std::size_t i = 1; i < errors.size(); ++i) all.message += "\n" + errors[i].message;
    return std::unexpected(all);
  }
  if (!printed && !arguments.on("ignore-not-found")) {
    const bool everywhere = arguments.on("all-namespaces") || std::none_of(queries.begin(), queries.end(), [](const Query& q) { return q.type->namespaced; });
    fmt::print(stderr, "{}\n", everywhere ? "No resources found" : fmt::format("No resources found in {} namespace.", session.ns()));
  }
  return {};
}

Result<void> Get::objects() {
  std::vector<Document> found;
  std::vector<Error> errors;
  for (const Query& query : queries) {
    auto answer = session.call("GET", query.type->path(query.ns, query.name), query.name.empty() ? selectors() : "");
    if (!answer) {
      if (answer.error().code == 404 && arguments.on("ignore-not-found")) continue;
      errors.push_back(shown(answer.error()));
      continue;
    }
    if (!query.name.empty()) {
      found.push_back(*answer);
      continue;
    }
    std::vector<Value> items;
    for (Value item : (*answer)["items"].items()) items.push_back(item);
    sort_rows(items);
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
  if (!errors.empty()) return std::unexpected(errors[0]);
  return {};
}

Result<void> Get::watch() {
  if (queries.size() != 1) return refuse("you may only specify a single resource type");
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
      TableOptions now = options;
      if (arguments.on("output-watch-events") && !headed) fmt::print("EVENT      ");
      add_table(object, now, headed, columns, writer);
      std::string lines = writer.flush();
      if (arguments.on("output-watch-events") && !event.empty()) lines = fmt::format("{:<11}{}", event, lines);
      fmt::print("{}", lines);
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
  if (!query.name.empty() && (*first)[human ? "rows" : "items"].empty()) return std::unexpected(shown(not_found(query.type->group, query.type->plural, query.name)));
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
    auto stream = session.stream(path, filter + (filter.empty() ? "" : "&") + "watch=true&resourceVersion=" + version, human ? table_type : json_type);
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
  Get get{session, arguments, *output, {}, {}, true, false, {}};
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
    get.table.with_kind = std::any_of(get.queries.begin(), get.queries.end(), [&](const Query& q) { return q.type != get.queries[0].type; });
  } else if (arguments.words.empty()) {
    return refuse("You must specify the type of resource to get. Use \"kubectl api-resources\" for a complete list of supported resources.");
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
  return {"get", "show one or many objects", "(TYPE[,TYPE...] [NAME...] | TYPE/NAME... | -f FILE) [flags]",
          {output(), boolean("all-namespaces", "of all namespaces", false, 'A'), selector(), field_selector(), filename(), recursive(),
           boolean("watch", "go on and show every change", false, 'w'), boolean("watch-only", "show changes alone"),
           boolean("output-watch-events", "say what kind of change it was"), boolean("show-labels", "with a column of labels"),
           boolean("show-kind", "with the kind before the name"), boolean("show-managed-fields", "with metadata.managedFields in JSON and YAML"),
           boolean("no-headers", "without the line of column names"), list("label-columns", "with a column for each of these labels", 'L'),
           text("sort-by", "order by this field: {.metadata.name}"), boolean("ignore-not-found", "what does not exist is no failure"),
           text("raw", "GET this path and print the answer as it is"), text("chunk-size", "how many objects to ask for at once", "500"),
           boolean("server-print", "let the server make the table", true)},
          get};
}

}  // namespace kybern::cli
