// Which objects a command is about: `TYPE NAME...`, `TYPE/NAME...`, `TYPE,TYPE`, -f, -l, --all.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cli/discovery.h"
#include "cli/flags.h"
#include "cli/output.h"
#include "cli/session.h"
#include "document/document.h"

namespace kybern::cli {

struct TypeAndName {
  std::string type;  // as typed
  std::string name;  // "": all of the type
};
// Pure: how the words read. `several`: more than one type was named, or names came as TYPE/NAME of more than one type.
struct Named {
  std::vector<TypeAndName> items;
  bool several = false;
};
Result<Named> read_words(const std::vector<std::string>& words);

struct Subject {
  const ApiResource* type = nullptr;
  std::string ns, name;
  std::string source;  // of a manifest: its file
  Document object;     // what the server has; of a manifest: the manifest. Empty when it was not fetched

  std::string path(std::string_view subresource = {}) const { return type->path(ns, name, subresource); }
  std::string shown() const { return type->shown_kind() + "/" + name; }  // "deployment.apps/web"
};

struct SelectOptions {
  bool fetch = true;                  // GET objects named by the words
  bool manifests_from_server = true;  // GET what -f names too
  bool need_names = true;             // a type alone is refused unless --all, -l or --field-selector say which
  bool by_selector = true;            // --selector means the objects
  bool local = false;                 // manifests as they are, the namespace not filled in
  std::string_view nothing_given{};   // the complaint when there are neither words nor files
};
// By the flags that the command has: filename, recursive, selector, field-selector, all, all-namespaces. What cannot be
// fetched while others can is deferred (Session::defer).
Result<std::vector<Subject>> select(Session& session, const Arguments& arguments, const std::vector<std::string>& words,
                                    SelectOptions options);

// A manifest as a subject: its kind looked up, its namespace filled in.
Result<Subject> manifest_subject(Session& session, Value object, const std::string& source);
// Of "pod/web", "deploy/web", "web" (then `fallback` is the type): one named object.
Result<Subject> one_subject(Session& session, std::string_view word, std::string_view fallback);

// What -o, --dry-run and the like say about a change that was made.
std::string dry_run_query(std::string_view dry_run);  // the value of dryRun=: "All" for server, else ""
// The value of --dry-run: none, client or server.
Result<std::string> dry_run_of(const Arguments& arguments);
std::string_view dry_run_suffix(std::string_view dry_run);  // " (dry run)", " (server dry run)", ""
// The object after a patch. Honours --dry-run=server and --field-manager when the command has them.
Result<Document> patch_subject(Session& session, const Arguments& arguments, const Subject& subject, Value patch, std::string_view media,
                               std::string_view subresource = {});
// Prints one of possibly many objects as -o says.
Result<void> print_object(Session& session, const Output& output, Value object);
// Prints `deployment.apps/web created` or the object as -o says.
Result<void> print_change(Session& session, const Arguments& arguments, Value object, const ApiResource& type, std::string_view operation);

}  // namespace kybern::cli
