#include "cli/manifest.h"

#include <algorithm>
#include <filesystem>

#include "base/strings.h"
#include "cli/config.h"
#include "document/json.h"
#include "document/yaml.h"

namespace kybern::cli {
namespace {

namespace fs = std::filesystem;
constexpr std::string_view turn_off = "; if you choose to ignore these errors, turn validation off with --validate=false";

Result<void> add(Value object, const std::string& source, std::vector<Manifest>& out) {
  if (!object.is_object())
    return fail(Code::invalid, "error: error validating " + go_quote(source) + ": error validating data: invalid object to validate" +
                                   std::string(turn_off));
  std::vector<std::string> missing;
  if (object["apiVersion"].as_string().empty()) missing.emplace_back("apiVersion not set");
  if (object["kind"].as_string().empty()) missing.emplace_back("kind not set");
  if (!missing.empty()) {
    const std::string what = missing.size() == 1 ? missing[0] : "[" + join(missing, ", ") + "]";
    return fail(Code::invalid, "error: error validating " + go_quote(source) + ": error validating data: " + what + std::string(turn_off));
  }
  if (object["kind"].as_string().ends_with("List") && object["items"].is_array()) {
    for (Value item : object["items"].items())
      if (auto added = add(item, source, out); !added) return added;
    return {};
  }
  out.push_back({object.document(), source});
  return {};
}

bool is_manifest(const fs::path& path) {
  const std::string extension = path.extension().string();
  return extension == ".yaml" || extension == ".yml" || extension == ".json";
}

void collect(const fs::path& folder, bool recursive, std::vector<fs::path>& out) {
  std::vector<fs::path> entries;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) entries.push_back(entry.path());
  std::sort(entries.begin(), entries.end());
  for (const fs::path& entry : entries) {
    if (fs::is_directory(entry, error)) {
      if (recursive) collect(entry, true, out);
    } else if (is_manifest(entry)) {
      out.push_back(entry);
    }
  }
}

}  // namespace

Result<std::vector<Manifest>> parse_manifests(std::string_view text, const std::string& source) {
  std::vector<Manifest> out;
  if (trim(text).starts_with('{')) {
    if (auto parsed = parse_json(text)) {
      if (auto added = add(*parsed, source, out); !added) return std::unexpected(added.error());
      return out;
    }
  }
  auto documents = parse_yaml(text);
  if (!documents) {
    const std::string name = source == "STDIN" ? source : source;
    return fail(Code::invalid, "error: error parsing " + name + ": error converting YAML to JSON: " + documents.error().message);
  }
  for (const Document& document : *documents) {
    if (document.root().is_null()) continue;
    if (auto added = add(document, source, out); !added) return std::unexpected(added.error());
  }
  return out;
}

Result<std::vector<Manifest>> read_manifests(const std::vector<std::string>& files, bool recursive) {
  std::vector<Manifest> out;
  const auto read = [&](const std::string& file) -> Result<void> {
    auto text = read_whole_file(file);
    if (!text) return std::unexpected(text.error());
    auto parsed = parse_manifests(*text, file == "-" ? "STDIN" : file);
    if (!parsed) return std::unexpected(parsed.error());
    out.insert(out.end(), parsed->begin(), parsed->end());
    return {};
  };
  for (const std::string& file : files) {
    if (file.starts_with("http://") || file.starts_with("https://"))
      return fail(Code::unsupported, "error: manifests are not read from " + file + "; download it and give the file");
    std::error_code error;
    if (file != "-" && fs::is_directory(file, error)) {
      std::vector<fs::path> found;
      collect(file, recursive, found);
      if (found.empty())
        return fail(Code::not_found, "error: error reading [" + file + "]: recognized file extensions are [.json .yaml .yml]");
      for (const fs::path& path : found)
        if (auto done = read(path.string()); !done) return std::unexpected(done.error());
      continue;
    }
    if (auto done = read(file); !done) return std::unexpected(done.error());
  }
  return out;
}

}  // namespace kybern::cli
