// set: image, resources, selector, serviceaccount, subject; env has its own file.
#include "cli/set.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/strings.h"
#include "cli/create_parts.h"
#include "cli/manifest.h"
#include "cli/typed.h"
#include "machinery/patch/patch.h"
#include "machinery/quantity.h"
#include "schema/schema.h"

namespace kybern::cli {
namespace {

Result<Document> difference(Value before, const Draft& after, std::string_view& media) {
  const Document wanted = after.freeze();
  if (const schema::Type* type = schema::find_type(before["apiVersion"].as_string(), before["kind"].as_string())) {
    auto patch = create_strategic_patch(before, wanted, *type);
    if (!patch) return refuse(patch.error().message);
    media = strategic_type;
    return patch->freeze();
  }
  media = merge_type;
  return create_merge_patch(before, wanted).freeze();
}

// With --local nothing is asked of a server, so a manifest's type is only what it says itself.
Result<std::vector<Subject>> local_subjects(const Arguments& arguments, std::vector<ApiResource>& types) {
  auto manifests = read_manifests(arguments.list("filename"), arguments.on("recursive"));
  if (!manifests) return std::unexpected(manifests.error());
  types.reserve(manifests->size());
  std::vector<Subject> out;
  for (const Manifest& manifest : *manifests) {
    ApiResource type;
    const std::string version = manifest.object["apiVersion"].str();
    const std::size_t slash = version.find('/');
    if (slash != std::string::npos) type.group = version.substr(0, slash);
    type.version = version.substr(slash == std::string::npos ? 0 : slash + 1);
    type.kind = manifest.object["kind"].str();
    types.push_back(std::move(type));
    out.push_back({&types.back(), manifest.object["metadata"]["namespace"].str(), manifest.object["metadata"]["name"].str(),
                   manifest.source, manifest.object});
  }
  return out;
}

}  // namespace

Draft* pod_spec_of(Draft& object) {
  const std::string kind = object["kind"].str();
  if (kind == "Pod") return object.find("spec");
  if (kind == "CronJob") return object.find_path({"spec", "jobTemplate", "spec", "template", "spec"});
  return object.find_path({"spec", "template", "spec"});
}

std::string no_pod_spec(const Subject& subject, bool local) {
  return fmt::format("error: {}/{} the object is not a pod or does not have a pod template: *{}.{}",
                     local ? to_lower(subject.type->kind) : subject.type->plural, subject.name, subject.type->version, subject.type->kind);
}

Result<int> set_objects(Session& session, const Arguments& arguments, const std::vector<std::string>& words, const SetOptions& options,
                        const Change& change) {
  auto dry_run = dry_run_of(arguments);
  if (!dry_run) return std::unexpected(dry_run.error());
  const bool local = arguments.on("local");
  std::vector<ApiResource> types;
  auto subjects = local ? local_subjects(arguments, types) : select(session, arguments, words, {});
  if (!subjects) return std::unexpected(subjects.error());
  for (const Subject& subject : *subjects) {
    Draft after(subject.object);
    auto changed = change(after, subject);
    if (!changed) {
      session.defer(changed.error());
      continue;
    }
    if (!*changed) continue;
    std::string_view media;
    auto patch = difference(subject.object, after, media);
    if (!patch) return std::unexpected(patch.error());
    if (!local && options.quiet_when_same && patch->root().empty()) continue;
    Document object = after.freeze();
    if (local) {
      object = as_typed(object);
    } else if (*dry_run != "client") {
      auto done = patch_subject(session, arguments, subject, *patch, media);
      if (!done) {
        session.defer(done.error());
        continue;
      }
      object = *std::move(done);
    }
    if (auto printed = print_change(session, arguments, object, *subject.type, options.operation); !printed)
      return std::unexpected(printed.error());
  }
  return 0;
}

namespace {

// Words with '=' are changes, the words before them name objects.
std::vector<std::string> take_pairs(std::vector<std::string>& words) {
  const auto first = std::find_if(words.begin(), words.end(), [](const std::string& word) { return word.find('=') != std::string::npos; });
  std::vector<std::string> out(first, words.end());
  words.erase(first, words.end());
  return out;
}

Result<int> set_image(Session& session, const Arguments& arguments) {
  std::vector<std::string> words = arguments.words;
  const std::vector<std::string> pairs = take_pairs(words);
  if (words.empty() && !arguments.given("filename")) return std::unexpected(select(session, arguments, {}, {}).error());
  if (pairs.empty()) return refuse("at least one image update is required");
  return set_objects(session, arguments, words, {"image updated"}, [&](Draft& object, const Subject& subject) -> Result<bool> {
    Draft* spec = pod_spec_of(object);
    if (!spec) return fail(Code::invalid, no_pod_spec(subject, arguments.on("local")));
    for (const std::string& pair : pairs) {
      const std::size_t equals = pair.find('=');
      const std::string name = pair.substr(0, equals);
      bool found = false;
      for (const char* list : {"initContainers", "containers"})
        if (Draft* containers = spec->find(list); containers && containers->is_array())
          for (Draft& container : containers->items())
            if (name == "*" || container["name"].as_string() == name) {
              container["image"] = pair.substr(equals + 1);
              found = true;
            }
      if (!found) return refuse("unable to find container named " + go_quote(name));
    }
    return true;
  });
}

Result<Draft> read_amounts(const std::string& text) {
  Draft out = Draft::object();
  for (std::string_view pair : split(text, ',')) {
    if (pair.empty()) continue;
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos) return refuse("Invalid argument syntax " + std::string(pair) + ", expected <resource>=<value>");
    auto amount = Quantity::parse(pair.substr(equals + 1));
    if (!amount) return refuse(amount.error().message);
    out[pair.substr(0, equals)] = amount->str();
  }
  return out;
}

Result<int> set_resources(Session& session, const Arguments& arguments) {
  if (arguments.text("limits").empty() && arguments.text("requests").empty())
    return refuse("you must specify an update to requests or limits (in the form of --requests/--limits)");
  auto limits = read_amounts(arguments.text("limits")), requests = read_amounts(arguments.text("requests"));
  if (!limits || !requests) return std::unexpected(limits ? requests.error() : limits.error());
  const std::string wanted = arguments.text("containers");
  return set_objects(session, arguments, arguments.words, {"resource requirements updated"},
                     [&](Draft& object, const Subject& subject) -> Result<bool> {
                       Draft* spec = pod_spec_of(object);
                       if (!spec) return fail(Code::invalid, no_pod_spec(subject, arguments.on("local")));
                       bool found = false;
                       if (Draft* containers = spec->find("containers"); containers && containers->is_array())
                         for (Draft& container : containers->items()) {
                           if (wanted != "*" && container["name"].as_string() != wanted) continue;
                           found = true;
                           for (const auto& [field, amounts] : {std::pair{"limits", &*limits}, std::pair{"requests", &*requests}})
                             for (const auto& [key, amount] : amounts->fields()) container["resources"][field][key] = amount;
                         }
                       if (!found) return refuse("unable to find container named " + wanted);
                       return true;
                     });
}

Result<int> set_selector(Session& session, const Arguments& arguments) {
  std::vector<std::string> words = arguments.words;
  if (words.empty()) return refuse("one or more resources must be specified as <resource> <name> or <resource>/<name>");
  Draft labels = Draft::object();
  const std::string text = words.back();
  words.pop_back();
  for (std::string_view pair : split(text, ',')) {
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos) return refuse(go_quote(pair) + " is not a valid label selector");
    labels[pair.substr(0, equals)] = pair.substr(equals + 1);
  }
  return set_objects(session, arguments, words, {"selector updated", false}, [&](Draft& object, const Subject& subject) -> Result<bool> {
    if (subject.type->kind != "Service") return refuse("setting a selector is only supported for Services");
    object["spec"]["selector"] = labels;
    return true;
  });
}

Result<int> set_service_account(Session& session, const Arguments& arguments) {
  std::vector<std::string> words = arguments.words;
  if (words.empty()) return refuse("serviceaccount is required");
  const std::string name = words.back();
  words.pop_back();
  return set_objects(session, arguments, words, {"serviceaccount updated", false},
                     [&](Draft& object, const Subject& subject) -> Result<bool> {
                       Draft* spec = pod_spec_of(object);
                       if (!spec) return fail(Code::invalid, no_pod_spec(subject, arguments.on("local")));
                       (*spec)["serviceAccountName"] = name;
                       return true;
                     });
}

Result<int> set_subject(Session& session, const Arguments& arguments) {
  auto more = rbac_subjects(arguments);
  if (!more) return std::unexpected(more.error());
  if (more->empty()) return refuse("you must specify at least one value of user, group or serviceaccount");
  return set_objects(session, arguments, arguments.words, {"subjects updated"}, [&](Draft& object, const Subject&) -> Result<bool> {
    const std::string kind = object["kind"].str();
    if (kind != "RoleBinding" && kind != "ClusterRoleBinding")
      return refuse("setting subjects is only supported for RoleBinding/ClusterRoleBinding");
    Draft& all = object["subjects"];
    for (const Draft& subject : more->items()) {
      const bool known = all.is_array() && std::find(all.items().begin(), all.items().end(), subject) != all.items().end();
      if (!known) all.push_back(subject);
    }
    return true;
  });
}

}  // namespace

std::vector<Flag> set_flags() {
  using namespace flags;
  return {filename(),
          recursive(),
          selector(),
          output(),
          dry_run(),
          field_manager("kubectl-set"),
          boolean("all", "all of the type in the namespace"),
          boolean("local", "change the files' objects and print them, without a server"),
          boolean("show-managed-fields", "with metadata.managedFields in JSON and YAML")};
}

Command set_command() {
  using namespace flags;
  const std::string which = "(TYPE NAME | TYPE/NAME | -f FILE) ";
  Command out{"set", "change one thing of objects", "COMMAND"};
  const Flag containers = text("containers", "of these containers; *: of all", "*", 'c');
  out.children = {
      set_env_command(),
      {"image", "the images of containers", which + "CONTAINER=IMAGE...", set_flags(), set_image, {}, {"i", "images"}},
      {"resources",
       "what containers ask for and may use",
       which + "[--limits=...] [--requests=...]",
       set_flags() + std::vector<Flag>{containers, text("limits", "cpu=500m,memory=64Mi"), text("requests", "cpu=500m,memory=64Mi")},
       set_resources,
       {},
       {"resource"}},
      {"selector", "the pods of a service", which + "KEY=VALUE,...",
       set_flags() + std::vector<Flag>{text("resource-version", "accepted for compatibility")}, set_selector},
      {"serviceaccount", "the account that pods run as", which + "SERVICEACCOUNT", set_flags(), set_service_account, {}, {"sa"}},
      {"subject", "who has a role", which + "[--user=USER] [--group=GROUP] [--serviceaccount=NS:NAME]", set_flags() + rbac_subject_flags(),
       set_subject},
  };
  return out;
}

}  // namespace kybern::cli
