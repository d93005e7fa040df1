// Changing kubeconfig files: each is written whole, beside itself and then in its place.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "document/document.h"

namespace kybern::cli {

// The file that new entries go to: --kubeconfig, the first of $KUBECONFIG that exists (or its last), ~/.kube/config.
std::string default_config_file(const std::string& flag);
// The file that has `name` in `list` ("contexts"); "": none has.
std::string config_file_of(const std::string& flag, std::string_view list, std::string_view name);
// Reads the file, or begins an empty config when there is none, and keeps what `change` makes of it.
Result<void> change_config(const std::string& file, const std::function<Result<void>(Draft& config)>& change);

// The entry {"name": name, ...} of a list; nullptr when it is not there. With `make`, it is made.
Draft* named_entry(Draft& config, std::string_view list, std::string_view name, bool make = false);

}  // namespace kybern::cli
