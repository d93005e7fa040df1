// create: from manifests, or a few kinds from flags.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "base/strings.h"
#include "cli/apply_plan.h"
#include "cli/command.h"
#include "cli/config.h"
#include "cli/create_parts.h"
#include "cli/manifest.h"
#include "cli/output.h"
#include "cli/subjects.h"
#include "cli/typed.h"
#include "document/json.h"

namespace kybern::cli {
namespace {

namespace fs = std::filesystem;

std::string_view validation_of(const Arguments& arguments) {
  const std::string value = arguments.text("validate");
  return value == "true" || value == "strict" ? "Strict" : value == "warn" ? "Warn" : "Ignore";
}

// Sends one object, or with --dry-run=client only shows it.
Result<void> send(Session& session, const Arguments& arguments, Value manifest, const std::string& source, std::string_view failure) {
  auto dry_run = dry_run_of(arguments);
  if (!dry_run) return std::unexpected(dry_run.error());
  auto output = Output::parse(arguments.text("output"));
  if (!output) return std::unexpected(output.error());
  if (*dry_run == "client" && source.empty() && !output->human())
    return print_object(session, *output, as_typed(manifest));  // without a server
  auto subject = manifest_subject(session, manifest, source);
  if (!subject) return std::unexpected(subject.error());
  Document object = arguments.on("save-config") ? with_last_applied(subject->object) : subject->object;
  if (*dry_run != "client") {
    auto made = session.call("POST", subject->type->path(subject->ns),
                             query_of({{"dryRun", dry_run_query(*dry_run)},
                                       {"fieldManager", arguments.text("field-manager")},
                                       {"fieldValidation", validation_of(arguments)}}),
                             object);
    if (!made && !failure.empty() && made.error().code != 0)
      return fail(Code::invalid, "error: " + std::string(failure) + made.error().message);
    if (!made) return std::unexpected(shown(made.error(), source.empty() ? "" : "error when creating " + go_quote(source) + ": "));
    object = *std::move(made);
  }
  return print_change(session, arguments, object, *subject->type, "created");
}

// POSTs the one file as it is.
Result<int> create_raw(Session& session, const Arguments& arguments, std::string_view method) {
  if (arguments.list("filename").size() != 1) return refuse("--raw can only use a single local file or stdin");
  auto body = read_whole_file(arguments.list("filename")[0]);
  if (!body) return std::unexpected(body.error());
  auto answer = session.raw(std::string(method), arguments.text("raw"), "", *body, json_type, "application/json, */*");
  if (!answer) return std::unexpected(shown(answer.error()));
  fmt::print("{}", *answer);
  return 0;
}

Result<int> create(Session& session, const Arguments& arguments) {
  if (!arguments.words.empty()) return refuse_usage(arguments, "Unexpected args: [" + join(arguments.words, " ") + "]");
  if (!arguments.given("filename")) return refuse("must specify one of -f and -k");
  if (!arguments.text("raw").empty()) return create_raw(session, arguments, "POST");
  auto manifests = read_manifests(arguments.list("filename"), arguments.on("recursive"));
  if (!manifests) return std::unexpected(manifests.error());
  if (manifests->empty()) return refuse("no objects passed to create");
  std::string errors;
  for (const Manifest& manifest : *manifests) {
    auto sent = send(session, arguments, manifest.object, manifest.source, "");
    if (!sent) errors += (errors.empty() ? "" : "\n") + sent.error().message;
    if (manifest.object["kind"].as_string() == "CustomResourceDefinition") session.forget_discovery();
  }
  if (!errors.empty()) return fail(Code::invalid, errors);
  return 0;
}

}  // namespace

Result<std::string> one_name(const Arguments& arguments, std::size_t most) {
  const std::size_t names = std::min(arguments.words.size(), arguments.dash);
  if (names == 0 || names > most) return refuse_usage(arguments, fmt::format("exactly one NAME is required, got {}", names));
  return arguments.words[0];
}

Result<int> finish_create(Session& session, const Arguments& arguments, const Draft& object, std::string_view failure) {
  if (auto sent = send(session, arguments, object.freeze(), "", failure); !sent) return std::unexpected(sent.error());
  return 0;
}

Draft new_object(std::string_view api_version, std::string_view kind, std::string_view name, Session& session, bool namespaced) {
  Draft out = Draft::object({{"apiVersion", api_version}, {"kind", kind}, {"metadata", Draft::object({{"name", name}})}});
  if (namespaced && session.ns_given()) out["metadata"]["namespace"] = session.ns();
  return out;
}

std::vector<Flag> create_flags() {
  using namespace flags;
  return {output(),
          dry_run(),
          validate(),
          field_manager("kubectl-create"),
          boolean("save-config", "keep the configuration in the object, for later applies"),
          boolean("show-managed-fields", "with metadata.managedFields in JSON and YAML")};
}

namespace {

Result<int> create_namespace(Session& session, const Arguments& arguments) {
  auto name = one_name(arguments);
  if (!name) return std::unexpected(name.error());
  return finish_create(session, arguments, new_object("v1", "Namespace", *name, session, false), "");
}

Result<int> create_service_account(Session& session, const Arguments& arguments) {
  auto name = one_name(arguments);
  if (!name) return std::unexpected(name.error());
  return finish_create(session, arguments, new_object("v1", "ServiceAccount", *name, session, true), "failed to create serviceaccount: ");
}

Draft containers(const std::vector<std::string>& images, const std::vector<std::string>& command) {
  Draft out = Draft::array();
  for (const std::string& image : images) {
    std::string name = image.substr(image.rfind('/') == std::string::npos ? 0 : image.rfind('/') + 1);
    name = name.substr(0, name.find_first_of(":@"));
    std::replace(name.begin(), name.end(), '_', '-');
    std::replace(name.begin(), name.end(), '.', '-');
    Draft container = Draft::object({{"image", image}, {"name", name}, {"resources", Draft::object()}});
    for (const std::string& word : command) container["command"].push_back(word);
    out.push_back(std::move(container));
  }
  return out;
}

std::vector<std::string> after_dash(const Arguments& arguments) {
  if (arguments.dash == Arguments::no_dash) return {};
  return {arguments.words.begin() + static_cast<std::ptrdiff_t>(arguments.dash), arguments.words.end()};
}

Result<int> create_deployment(Session& session, const Arguments& arguments) {
  auto name = one_name(arguments);
  if (!name) return std::unexpected(name.error());
  const auto images = arguments.list("image");
  if (images.size() > 1 && !after_dash(arguments).empty()) return refuse("cannot specify multiple --image options and command");
  auto replicas = arguments.number("replicas");
  auto port = arguments.number("port");
  if (!replicas || !port) return std::unexpected(replicas ? port.error() : replicas.error());
  Draft object = new_object("apps/v1", "Deployment", *name, session, true);
  const Draft labels = Draft::object({{"app", *name}});
  object["metadata"]["labels"] = labels;
  Draft list = containers(images, after_dash(arguments));
  if (*port > 0) list.items()[0]["ports"].push_back(Draft::object({{"containerPort", *port}}));
  object["spec"] = Draft::object({{"replicas", *replicas},
                                  {"selector", Draft::object({{"matchLabels", labels}})},
                                  {"strategy", Draft::object()},
                                  {"template", Draft::object({{"metadata", Draft::object({{"labels", labels}})},
                                                              {"spec", Draft::object({{"containers", std::move(list)}})}})}});
  return finish_create(session, arguments, object, "failed to create deployment: ");
}

Result<int> create_job(Session& session, const Arguments& arguments) {
  auto name = one_name(arguments);
  if (!name) return std::unexpected(name.error());
  Draft object = new_object("batch/v1", "Job", *name, session, true);
  if (const std::string from = arguments.text("from"); !from.empty()) {
    auto cron = one_subject(session, from, "cronjobs");
    if (!cron) return std::unexpected(cron.error());
    if (cron->type->kind != "CronJob") return refuse("unknown object type *" + cron->type->version + "." + cron->type->kind);
    const Value model = cron->object["spec"]["jobTemplate"];
    object["metadata"]["annotations"] = Draft(model["metadata"]["annotations"]);
    object["metadata"]["annotations"]["cronjob.kubernetes.io/instantiate"] = "manual";
    if (model["metadata"]["labels"].exists()) object["metadata"]["labels"] = Draft(model["metadata"]["labels"]);
    object["metadata"]["ownerReferences"].push_back(Draft::object({{"apiVersion", "batch/v1"},
                                                                   {"kind", "CronJob"},
                                                                   {"name", cron->name},
                                                                   {"uid", Draft(cron->object["metadata"]["uid"])},
                                                                   {"controller", true}}));
    object["spec"] = Draft(model["spec"]);
    return finish_create(session, arguments, object, "failed to create job: ");
  }
  const std::string image = arguments.text("image");
  if (image.empty()) return refuse("either --image or --from must be specified");
  Draft list = containers({image}, after_dash(arguments));
  list.items()[0]["name"] = *name;
  object["spec"] = Draft::object(
      {{"template", Draft::object({{"metadata", Draft::object()},
                                   {"spec", Draft::object({{"containers", std::move(list)}, {"restartPolicy", "Never"}})}})}});
  return finish_create(session, arguments, object, "failed to create job: ");
}

Result<int> create_cron_job(Session& session, const Arguments& arguments) {
  auto name = one_name(arguments);
  if (!name) return std::unexpected(name.error());
  Draft object = new_object("batch/v1", "CronJob", *name, session, true);
  Draft list = containers({arguments.text("image")}, after_dash(arguments));
  list.items()[0]["name"] = *name;
  const std::string restart = arguments.text("restart");
  Draft pod = Draft::object({{"containers", std::move(list)}, {"restartPolicy", restart.empty() ? "OnFailure" : restart}});
  Draft job =
      Draft::object({{"metadata", Draft::object({{"name", *name}})},
                     {"spec", Draft::object({{"template", Draft::object({{"metadata", Draft::object()}, {"spec", std::move(pod)}})}})}});
  object["spec"] = Draft::object({{"schedule", arguments.text("schedule")}, {"jobTemplate", std::move(job)}});
  return finish_create(session, arguments, object, "failed to create cronjob: ");
}

// --from-literal key=value and --from-file [key=]path; `put` stores one.
Result<void> read_entries(const Arguments& arguments, const std::function<void(std::string_view, std::string_view)>& put) {
  if (arguments.given("from-env-file") && (arguments.given("from-file") || arguments.given("from-literal")))
    return refuse("from-env-file cannot be combined with from-file or from-literal");
  for (const std::string& literal : arguments.list("from-literal")) {
    const std::size_t equals = literal.find('=');
    if (equals == std::string::npos || equals == 0)
      return fail(Code::invalid, "error: invalid literal source " + literal + ", expected key=value");
    std::string_view value = std::string_view(literal).substr(equals + 1);
    if (value.size() >= 2 && (value.front() == '"' || value.front() == '\'') && value.back() == value.front())
      value = value.substr(1, value.size() - 2);
    put(std::string_view(literal).substr(0, equals), value);
  }
  for (const std::string& source : arguments.list("from-file")) {
    const std::size_t equals = source.find('=');
    const std::string path = equals == std::string::npos ? source : source.substr(equals + 1);
    std::error_code error;
    std::vector<fs::path> files;
    if (equals == std::string::npos && fs::is_directory(path, error)) {
      for (const auto& entry : fs::directory_iterator(path, error))
        if (entry.is_regular_file(error)) files.push_back(entry.path());
      std::sort(files.begin(), files.end());
    } else {
      files.emplace_back(path);
    }
    for (const fs::path& file : files) {
      auto bytes = read_whole_file(file.string());
      if (!bytes) return fail(Code::not_found, "error: error reading " + file.string() + ": no such file or directory");
      put(equals == std::string::npos ? file.filename().string() : source.substr(0, equals), *bytes);
    }
  }
  for (const std::string& file : arguments.list("from-env-file")) {
    auto bytes = read_whole_file(file);
    if (!bytes) return fail(Code::not_found, "error: error reading " + file + ": no such file or directory");
    for (std::string_view line : split(*bytes, '\n')) {
      line = trim(line);
      if (line.empty() || line[0] == '#') continue;
      const std::size_t equals = line.find('=');
      put(line.substr(0, equals), equals == std::string_view::npos ? "" : line.substr(equals + 1));
    }
  }
  return {};
}

Result<int> create_config_map(Session& session, const Arguments& arguments) {
  auto name = one_name(arguments);
  if (!name) return std::unexpected(name.error());
  Draft object = new_object("v1", "ConfigMap", *name, session, true);
  std::string twice;
  auto read = read_entries(arguments, [&](std::string_view key, std::string_view value) {
    if ((object.find("data") && object["data"].find(key)) || (object.find("binaryData") && object["binaryData"].find(key)))
      twice = std::string(key);
    if (valid_utf8(value)) object["data"][key] = value;
    else object["binaryData"][key] = base64_encode(value);
  });
  if (!read) return std::unexpected(read.error());
  if (!twice.empty())
    return refuse(fmt::format("cannot add key {}, another key by that name already exists in Data for ConfigMap {}", go_quote(twice),
                              go_quote(*name)));
  return finish_create(session, arguments, object, "failed to create configmap: ");
}

Result<int> create_secret_generic(Session& session, const Arguments& arguments) {
  auto name = one_name(arguments);
  if (!name) return std::unexpected(name.error());
  Draft object = new_object("v1", "Secret", *name, session, true);
  auto read = read_entries(arguments, [&](std::string_view key, std::string_view value) { object["data"][key] = base64_encode(value); });
  if (!read) return std::unexpected(read.error());
  if (const std::string type = arguments.text("type"); !type.empty()) object["type"] = type;
  return finish_create(session, arguments, object, "failed to create secret ");
}

Result<int> create_secret_tls(Session& session, const Arguments& arguments) {
  auto name = one_name(arguments);
  if (!name) return std::unexpected(name.error());
  if (arguments.text("cert").empty() || arguments.text("key").empty()) return refuse("key and cert must be specified");
  Draft object = new_object("v1", "Secret", *name, session, true);
  for (const auto& [flag, field] : {std::pair{"cert", "tls.crt"}, std::pair{"key", "tls.key"}}) {
    const std::string file = arguments.text(flag);
    auto bytes = read_whole_file(file);
    if (!bytes) return refuse(fmt::format("Cannot read file {}, open {}: no such file or directory", file, file));
    if (bytes->find("-----BEGIN ") == std::string::npos)
      return refuse(std::string("tls: failed to find any PEM data in ") + (field == std::string_view("tls.crt") ? "certificate" : "key") +
                    " input");
    object["data"][field] = base64_encode(*bytes);
  }
  object["type"] = "kubernetes.io/tls";
  return finish_create(session, arguments, object, "failed to create secret ");
}

Result<int> create_secret_registry(Session& session, const Arguments& arguments) {
  auto name = one_name(arguments);
  if (!name) return std::unexpected(name.error());
  const std::string user = arguments.text("docker-username"), password = arguments.text("docker-password"),
                    email = arguments.text("docker-email");
  if (user.empty() || password.empty())
    return refuse("either --from-file or the combination of --docker-username, --docker-password and --docker-server is required");
  Draft entry = Draft::object({{"username", user}, {"password", password}});
  if (!email.empty()) entry["email"] = email;
  entry["auth"] = base64_encode(user + ":" + password);
  Draft all = Draft::object({{"auths", Draft::object({{arguments.text("docker-server"), std::move(entry)}})}});
  Draft object = new_object("v1", "Secret", *name, session, true);
  object["data"][".dockerconfigjson"] = base64_encode(to_json(all));
  object["type"] = "kubernetes.io/dockerconfigjson";
  return finish_create(session, arguments, object, "failed to create secret ");
}

Result<Draft> service_ports(const Arguments& arguments) {
  Draft out = Draft::array();
  for (const std::string& text : arguments.list("tcp")) {
    const std::size_t colon = text.find(':');
    const auto port = parse_int(text.substr(0, colon));
    if (!port) return refuse("strconv.ParseUint: parsing " + go_quote(text.substr(0, colon)) + ": invalid syntax");
    std::string name = text;
    std::replace(name.begin(), name.end(), ':', '-');
    Draft item = Draft::object({{"name", name}, {"port", *port}, {"protocol", "TCP"}, {"targetPort", *port}});
    if (colon != std::string::npos) {
      const std::string target = text.substr(colon + 1);
      if (auto number = parse_int(target)) item["targetPort"] = *number;
      else item["targetPort"] = target;
    }
    if (arguments.knows("node-port"))
      if (auto node_port = arguments.number("node-port"); node_port && *node_port > 0) item["nodePort"] = *node_port;
    out.push_back(std::move(item));
  }
  return out;
}

Result<int> make_service(Session& session, const Arguments& arguments, std::string_view type) {
  auto name = one_name(arguments);
  if (!name) return std::unexpected(name.error());
  Draft object = new_object("v1", "Service", *name, session, true);
  object["metadata"]["labels"] = Draft::object({{"app", *name}});
  object["spec"] = Draft::object({{"selector", Draft::object({{"app", *name}})}, {"type", type}});
  if (type == "ExternalName") object["spec"]["externalName"] = arguments.text("external-name");
  auto ports = service_ports(arguments);
  if (!ports) return std::unexpected(ports.error());
  const bool headless = arguments.knows("clusterip") && arguments.text("clusterip") == "None";
  if (ports->empty() && type != "ExternalName" && !headless) return refuse("at least one tcp port specifier must be provided");
  if (!ports->empty()) object["spec"]["ports"] = *std::move(ports);
  if (arguments.knows("clusterip") && !arguments.text("clusterip").empty()) object["spec"]["clusterIP"] = arguments.text("clusterip");
  return finish_create(session, arguments, object, fmt::format("failed to create {} service: ", type));
}

Result<int> create_cluster_ip(Session& s, const Arguments& a) { return make_service(s, a, "ClusterIP"); }
Result<int> create_node_port(Session& s, const Arguments& a) { return make_service(s, a, "NodePort"); }
Result<int> create_load_balancer(Session& s, const Arguments& a) { return make_service(s, a, "LoadBalancer"); }
Result<int> create_external_name(Session& s, const Arguments& a) { return make_service(s, a, "ExternalName"); }

Result<int> create_token(Session& session, const Arguments& arguments) {
  auto name = one_name(arguments);
  if (!name) return std::unexpected(name.error());
  Draft object = Draft::object(
      {{"apiVersion", "authentication.k8s.io/v1"}, {"kind", "TokenRequest"}, {"metadata", Draft::object()}, {"spec", Draft::object()}});
  for (const std::string& audience : arguments.list("audience")) object["spec"]["audiences"].push_back(audience);
  auto duration = arguments.duration("duration");
  if (!duration) return std::unexpected(duration.error());
  if (duration->count() > 0) object["spec"]["expirationSeconds"] = std::chrono::duration_cast<std::chrono::seconds>(*duration).count();
  auto made = session.call("POST", "/api/v1/namespaces/" + url_encode(session.ns()) + "/serviceaccounts/" + url_encode(*name) + "/token",
                           "", object.freeze());
  if (!made) return fail(Code::internal, "error: failed to create token: " + made.error().message);
  auto output = Output::parse(arguments.text("output"));
  if (!output) return std::unexpected(output.error());
  if (output->human()) return fmt::print("{}", (*made)["status"]["token"].as_string()), 0;
  if (auto printed = print_object(session, *output, *made); !printed) return std::unexpected(printed.error());
  return 0;
}

std::vector<Flag> entries() {
  using namespace flags;
  return {texts("from-literal", "key=value"), texts("from-file", "[key=]path of a file, or a folder of files"),
          texts("from-env-file", "a file of key=value lines")};
}

}  // namespace

Command create_command() {
  using namespace flags;
  Command out{"create", "create objects", "-f FILE [flags]",
              create_flags() + std::vector<Flag>{filename(), recursive(), selector(), text("raw", "POST the file to this path"),
                                                 boolean("edit", "change it in an editor first")},
              create};
  out.children = {
      {"namespace", "a namespace", "NAME", create_flags(), create_namespace, {}, {"ns"}},
      {"serviceaccount", "a service account", "NAME", create_flags(), create_service_account, {}, {"sa"}},
      {"deployment",
       "a deployment",
       "NAME --image=IMAGE [-- COMMAND...]",
       create_flags() + std::vector<Flag>{required(list("image", "the containers' images")), number("replicas", "how many pods", "1", 'r'),
                                          text("port", "the port that the container listens on", "-1")},
       create_deployment,
       {},
       {"deploy"}},
      {"job", "a job", "NAME --image=IMAGE [-- COMMAND...]",
       create_flags() + std::vector<Flag>{text("image", "the container's image"), text("from", "take the template of this: cronjob/NAME")},
       create_job},
      {"cronjob",
       "a job on a schedule",
       "NAME --image=IMAGE --schedule=\"*/5 * * * *\" [-- COMMAND...]",
       create_flags() + std::vector<Flag>{required(text("image", "the container's image")),
                                          required(text("schedule", "when, in cron's form")), text("restart", "OnFailure or Never")},
       create_cron_job,
       {},
       {"cj"}},
      {"configmap",
       "a config map",
       "NAME [--from-literal=KEY=VALUE] [--from-file=[KEY=]PATH]",
       create_flags() + entries(),
       create_config_map,
       {},
       {"cm"}},
      {"secret",
       "a secret",
       "TYPE NAME",
       {},
       nullptr,
       {{"generic", "of files and texts", "NAME", create_flags() + entries() + std::vector<Flag>{text("type", "the secret's type")},
         create_secret_generic},
        {"tls", "of a certificate and its key", "NAME --cert=FILE --key=FILE",
         create_flags() + std::vector<Flag>{text("cert", "the certificate's file"), text("key", "the key's file")}, create_secret_tls},
        {"docker-registry", "for pulling images", "NAME --docker-username=USER --docker-password=PASSWORD",
         create_flags() + std::vector<Flag>{text("docker-username", "the user"), text("docker-password", "the password"),
                                            text("docker-email", "the address"),
                                            text("docker-server", "the registry", "https://index.docker.io/v1/")},
         create_secret_registry}}},
      {"service",
       "a service",
       "TYPE NAME",
       {},
       nullptr,
       {{"clusterip", "reached inside the cluster", "NAME --tcp=PORT:TARGET",
         create_flags() + std::vector<Flag>{list("tcp", "port[:target]"), text("clusterip", "its address, or None")}, create_cluster_ip},
        {"nodeport", "reached on a port of every node", "NAME --tcp=PORT:TARGET",
         create_flags() + std::vector<Flag>{list("tcp", "port[:target]"), text("node-port", "the nodes' port", "0")}, create_node_port},
        {"loadbalancer", "reached through a load balancer", "NAME --tcp=PORT:TARGET",
         create_flags() + std::vector<Flag>{list("tcp", "port[:target]")}, create_load_balancer},
        {"externalname", "a name elsewhere", "NAME --external-name=HOST",
         create_flags() + std::vector<Flag>{list("tcp", "port[:target]"), required(text("external-name", "the host's name"))},
         create_external_name}},
       {"svc"}},
      {"token",
       "a token of a service account",
       "SERVICEACCOUNT",
       {output(), list("audience", "whom it is for"), duration("duration", "how long it is good", "0s")},
       create_token},
  };
  for (Command& more : create_rbac_commands()) out.children.push_back(std::move(more));
  for (Command& more : create_policy_commands()) out.children.push_back(std::move(more));
  return out;
}

}  // namespace kybern::cli
