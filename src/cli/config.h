// Where the client's settings lie: --kubeconfig, $KUBECONFIG, ~/.kube/config, the pod's own account, this product's file.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "client/transport.h"
#include "document/document.h"

namespace kybern::cli {

// The files that are read, in order of precedence; those that do not exist are left out unless named by a flag.
std::vector<std::string> config_files(const std::string& flag);
// All of them as one kubeconfig: of equal names the first counts. Relative file names have been made absolute.
Result<Draft> merged_config(const std::vector<std::string>& files);
// Which of its contexts, and what counts instead of the cluster and user that the context names; "": what the file says.
struct ConfigChoice {
  std::string kubeconfig, context, cluster, user;
};
Result<client::HttpOptions> load_options(const ConfigChoice& choice);

Result<std::string> read_whole_file(const std::string& path);  // "-": standard input. At most 64 MiB

}  // namespace kybern::cli
