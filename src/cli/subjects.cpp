#include "cli/subjects.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "base/strings.h"
#include "cli/manifest.h"

namespace kybern::cli {

Result<Named> read_words(const std::vector<std::string>& words) {
  Named out;
  if (words.empty()) return out;
  const bool slashed = std::any_of(words.begin(), words.end(), [](const std::string& w) { return w.find('/') != std::string::npos; });
  if (slashed) {
    for (const std::string& word : words) {
      const std::size_t slash = word.find('/');
      if (slash == std::string::npos)
        return fail(
            Code::invalid,
            words[0] == word
                ? "error: there is no need to specify a resource type as a separate argument when passing arguments in resource/name form "
                  "(e.g. 'kubectl get resource/<resource_name>' instead of 'kubectl get resource resource/<resource_name>'"
                : "error: there is no need to specify a resource type as a separate argument when passing arguments in resource/name "
                  "form: " +
                      go_quote(word));
      if (slash == 0 || slash + 1 == word.size() || word.find('/', slash + 1) != std::string::npos)
        return fail(Code::invalid, slash == 0 || slash + 1 == word.size()
                                       ? "error: arguments in resource/name form must have a single resource and name"
                                       : "error: arguments in resource/name form may not have more than one slash");
      out.items.push_back({word.substr(0, slash), word.substr(slash + 1)});
      if (out.items.back().type != out.items.front().type) out.several = true;
    }
    return out;
  }
  const auto types = split(words[0], ',');
  for (std::string_view type : types) {
    if (type.empty()) continue;
    if (words.size() == 1) out.items.push_back({std::string(type), ""});
    for (std::size_t i = 1; i < words.size(); ++i) out.items.push_back({std::string(type), words[i]});
  }
  out.several = types.size() > 1;
  return out;
}

Result<Subject> manifest_subject(Session& session, Value object, const std::string& source) {
  auto discovery = session.discovery();
  if (!discovery) return std::unexpected(discovery.error());
  const ApiResource* type = (*discovery)->find_kind(object["apiVersion"].as_string(), object["kind"].as_string());
  if (type == nullptr) {
    session.forget_discovery();
    return fail(Code::not_found,
                fmt::format("error: resource mapping not found for name: {} namespace: {} from {}: no matches for kind {} in version "
                            "{}\nensure CRDs are installed first",
                            go_quote(object["metadata"]["name"].as_string()), go_quote(object["metadata"]["namespace"].as_string()),
                            go_quote(source), go_quote(object["kind"].as_string()), go_quote(object["apiVersion"].as_string())));
  }
  Subject out{type, "", object["metadata"]["name"].str(), source, object.document()};
  if (!type->namespaced) return out;
  const std::string own = object["metadata"]["namespace"].str();
  if (!own.empty() && session.ns_given() && own != session.ns())
    return fail(Code::invalid, fmt::format("error: the namespace from the provided object {} does not match the namespace {}. You must "
                                           "pass '--namespace={}' to perform this operation.",
                                           go_quote(own), go_quote(session.ns()), own));
  out.ns = own.empty() ? session.ns() : own;
  if (own.empty()) {
    Draft filled(object);
    filled["metadata"]["namespace"] = out.ns;
    out.object = filled.freeze();
  }
  return out;
}

namespace {

std::string flag_text(const Arguments& arguments, std::string_view flag) {
  return arguments.knows(flag) ? arguments.text(flag) : std::string();
}
bool flag_on(const Arguments& arguments, std::string_view flag) { return arguments.knows(flag) && arguments.on(flag); }

Result<void> fetch(Session& session, Subject& subject) {
  auto got = session.call("GET", subject.path());
  if (!got) return std::unexpected(shown(got.error()));
  subject.object = *std::move(got);
  return {};
}

Result<void> list(Session& session, const Arguments& arguments, const ApiResource& type, std::vector<Subject>& out) {
  const std::string ns = flag_on(arguments, "all-namespaces") ? "" : session.ns();
  auto got = session.call(
      "GET", type.path(ns),
      query_of({{"labelSelector", flag_text(arguments, "selector")}, {"fieldSelector", flag_text(arguments, "field-selector")}}));
  if (!got) return std::unexpected(shown(got.error()));
  for (Value item : (*got)["items"].items()) {
    Draft whole(item);
    whole["apiVersion"] = type.api_version();
    whole["kind"] = type.kind;
    out.push_back({&type, item["metadata"]["namespace"].str(), item["metadata"]["name"].str(), "", whole.freeze()});
  }
  return {};
}

}  // namespace

namespace {

struct Selection {
  std::vector<Subject> found;
  std::optional<Error> failed;  // the first kind of failure, the texts of all

  Result<void> add(Session& session, Subject subject, bool from_server) {
    if (from_server) {
      if (auto got = fetch(session, subject); !got) {
        if (!failed) failed = got.error();
        else failed->message += "\n" + got.error().message;
        return {};
      }
    }
    found.push_back(std::move(subject));
    return {};
  }
  Result<std::vector<Subject>> result(Session& session) {
    if (failed && found.empty()) return std::unexpected(*failed);
    if (failed) session.defer(*failed);
    return std::move(found);
  }
};

Result<std::vector<Subject>> select_manifests(Session& session, const Arguments& arguments, const SelectOptions& options) {
  auto manifests = read_manifests(arguments.list("filename"), flag_on(arguments, "recursive"));
  if (!manifests) return std::unexpected(manifests.error());
  Selection out;
  for (const Manifest& manifest : *manifests) {
    auto subject = manifest_subject(session, manifest.object, manifest.source);
    if (!subject) return std::unexpected(subject.error());
    if (options.local) subject->object = manifest.object;
    if (auto added = out.add(session, *std::move(subject), options.manifests_from_server && !options.local); !added)
      return std::unexpected(added.error());
  }
  return out.result(session);
}

}  // namespace

Result<std::vector<Subject>> select(Session& session, const Arguments& arguments, const std::vector<std::string>& words,
                                    SelectOptions options) {
  if (arguments.knows("filename") && arguments.given("filename")) {
    if (!words.empty())
      return fail(Code::invalid, "error: when paths, URLs, or stdin is provided as input, you may not specify resource arguments as well");
    return select_manifests(session, arguments, options);
  }
  if (words.empty() && !options.nothing_given.empty()) return fail(Code::invalid, std::string(options.nothing_given));
  if (words.empty())
    return fail(Code::invalid,
                "error: You must provide one or more resources by argument or filename.\nExample resource specifications include:\n   '-f "
                "rsrc.yaml'\n   '--filename=rsrc.json'\n   '<resource> <name>'\n   '<resource>'");
  auto named = read_words(words);
  if (!named) return std::unexpected(named.error());
  auto discovery = session.discovery();
  if (!discovery) return std::unexpected(discovery.error());
  const bool selects = flag_on(arguments, "all") || (options.by_selector && !flag_text(arguments, "selector").empty()) ||
                       !flag_text(arguments, "field-selector").empty();
  Selection out;
  for (const TypeAndName& item : named->items) {
    std::vector<const ApiResource*> types = (*discovery)->category(to_lower(item.type));
    if (types.empty()) {
      auto type = (*discovery)->find(item.type);
      if (!type) return std::unexpected(type.error());
      types = {*type};
    }
    for (const ApiResource* type : types) {
      if (item.name.empty()) {
        if (options.need_names && !selects) return fail(Code::invalid, "error: resource(s) were provided, but no name was specified");
        if (auto listed = list(session, arguments, *type, out.found); !listed) return std::unexpected(listed.error());
        continue;
      }
      if (selects) return fail(Code::invalid, "error: name cannot be provided when a selector is specified");
      if (auto added = out.add(session, {type, type->namespaced ? session.ns() : "", item.name, "", {}}, options.fetch); !added)
        return std::unexpected(added.error());
    }
  }
  return out.result(session);
}

Result<Subject> one_subject(Session& session, std::string_view word, std::string_view fallback) {
  const std::size_t slash = word.find('/');
  const std::string_view type_word = slash == std::string_view::npos ? fallback : word.substr(0, slash);
  auto discovery = session.discovery();
  if (!discovery) return std::unexpected(discovery.error());
  auto type = (*discovery)->find(type_word);
  if (!type) return std::unexpected(type.error());
  Subject out{
      *type, (*type)->namespaced ? session.ns() : "", std::string(slash == std::string_view::npos ? word : word.substr(slash + 1)), "", {}};
  if (auto got = fetch(session, out); !got) return std::unexpected(got.error());
  return out;
}

Result<std::string> dry_run_of(const Arguments& arguments) {
  const std::string value = arguments.text("dry-run");
  if (value == "none" || value == "client" || value == "server") return value;
  if (value == "unchanged" || value == "true") return std::string("client");
  if (value == "false") return std::string("none");
  return fail(Code::invalid, "error: Invalid dry-run value (" + value + "). Must be \"none\", \"server\", or \"client\".");
}

std::string dry_run_query(std::string_view dry_run) { return dry_run == "server" ? "All" : ""; }

std::string_view dry_run_suffix(std::string_view dry_run) {
  if (dry_run == "server") return " (server dry run)";
  if (dry_run == "client") return " (dry run)";
  return "";
}

Result<Document> patch_subject(Session& session, const Arguments& arguments, const Subject& subject, Value patch, std::string_view media,
                               std::string_view subresource) {
  std::string dry = "none";
  if (arguments.knows("dry-run")) {
    auto parsed = dry_run_of(arguments);
    if (!parsed) return std::unexpected(parsed.error());
    dry = *parsed;
  }
  auto done =
      session.call("PATCH", subject.path(subresource),
                   query_of({{"dryRun", dry_run_query(dry)}, {"fieldManager", flag_text(arguments, "field-manager")}}), patch, media);
  if (!done) return std::unexpected(shown(done.error()));
  return *std::move(done);
}

Result<void> print_object(Session& session, const Output& output, Value object) {
  auto text = output.print({object.document()}, false, nullptr);
  if (!text) return std::unexpected(text.error());
  fmt::print("{}{}", output.type == Output::Type::yaml && !session.first_document() ? "---\n" : "", *text);
  std::fflush(stdout);
  return {};
}

Result<void> print_change(Session& session, const Arguments& arguments, Value object, const ApiResource& type, std::string_view operation) {
  auto output = Output::parse(flag_text(arguments, "output"));
  if (!output) return std::unexpected(output.error());
  output->managed_fields = flag_on(arguments, "show-managed-fields");
  if (!output->human()) return print_object(session, *output, object);
  std::string dry = "none";
  if (arguments.knows("dry-run")) {
    auto parsed = dry_run_of(arguments);
    if (!parsed) return std::unexpected(parsed.error());
    dry = *parsed;
  }
  fmt::print("{}/{} {}{}\n", type.shown_kind(), object["metadata"]["name"].as_string(), operation, dry_run_suffix(dry));
  std::fflush(stdout);
  return {};
}

}  // namespace kybern::cli
