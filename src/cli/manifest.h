// Manifests: files, folders and standard input, with any number of objects in each.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "document/document.h"

namespace kybern::cli {

struct Manifest {
  Document object;
  std::string source;  // the file, or STDIN
};

// `files`: what was given with -f. Folders give their .yaml, .yml and .json files in order of name, with `recursive`
// those of their folders too. Lists are taken apart.
Result<std::vector<Manifest>> read_manifests(const std::vector<std::string>& files, bool recursive);
// One text's objects. Every one has a kind and an apiVersion.
Result<std::vector<Manifest>> parse_manifests(std::string_view text, const std::string& source);

}  // namespace kybern::cli
