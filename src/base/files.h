// Whole files: credentials, configuration.
#pragma once

#include <string>

#include "base/result.h"

namespace kybern {

Result<std::string> read_file(const std::string& path);  // Code::invalid "PATH: cannot be read"
std::string file_text(const std::string& path);          // "" when it cannot be read

}  // namespace kybern
