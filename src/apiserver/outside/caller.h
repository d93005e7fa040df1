// A service outside that the server asks by HTTPS, described by a kubeconfig: audit, token and authorization webhooks.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.h"
#include "document/document.h"

namespace kybern::net {
class HttpClient;
}

namespace kybern::apiserver {

class OutsideCaller {
 public:
  // The cluster and user of the file's current context. Code::invalid: not a kubeconfig, or files that it names are missing.
  static Result<std::unique_ptr<OutsideCaller>> open(const std::string& kubeconfig_file);
  // The API that this server is a pod of: by its environment and the account's files. Code::invalid: it is none.
  static Result<std::unique_ptr<OutsideCaller>> in_cluster(const std::string& account_folder);
  ~OutsideCaller();
  // POST of a JSON body. 5xx and 429 are Code::unavailable with what came, as is no answer: it may be better later; other
  // answers than 2xx are Code::forbidden, one that is no JSON is Code::invalid.
  Result<Document> post(std::string_view body, std::chrono::milliseconds timeout);

 private:
  OutsideCaller();
  std::unique_ptr<net::HttpClient> client_;
  std::string target_, authorization_, token_file_;
};

}  // namespace kybern::apiserver
