// For tests: a whole API server on loopback with a folder of its own, and who speaks to it, over TLS and from inside.
// All of it goes with the object.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "apiserver/server.h"
#include "base/result.h"
#include "document/document.h"
#include "machinery/status.h"
#include "net/client.h"

namespace kybern::apiserver::testing {

const User& admin();  // of system:masters

class LiveServer {
 public:
  LiveServer();  // only the folder, until start()
  ~LiveServer();
  LiveServer(const LiveServer&) = delete;
  LiveServer& operator=(const LiveServer&) = delete;

  const std::string& folder() const { return folder_; }
  std::string write(std::string_view name, std::string_view text) const;  // a file in the folder; its path
  // 127.0.0.1 with a port of the kernel's, data below folder()/data, and the tokens "secret-admin" of admin
  // (system:masters) and "secret-user" of jane (people).
  ServerOptions options() const;
  // Ends the one before, if any: the data stays.
  Result<void> start(ServerOptions options);
  bool start();  // with options(); a refusal is the test's failure
  void stop();

  ApiServer& server() { return *server_; }
  net::HttpClient& client() { return *client_; }
  std::string url() const;  // https://127.0.0.1:PORT

  // From inside. `must`: a refusal is the test's failure. `refused`: "404 message", or "done".
  ApiResult<Document> call(std::string_view method, std::string_view path, std::string_view body = "", std::string_view query = "",
                           std::string_view patch = "merge", const User& user = admin());
  Document must(std::string_view method, std::string_view path, std::string_view body = "", const User& user = admin());
  std::string refused(std::string_view method, std::string_view path, std::string_view body = "", const User& user = admin());
  // Over TLS; without a token when it is null. A connection that breaks is the test's failure, and its status 0.
  net::Response http(std::string_view method, std::string target, net::Headers headers = {}, std::string body = "",
                     const char* token = "secret-admin");

 private:
  std::string folder_;
  std::unique_ptr<ApiServer> server_;
  std::unique_ptr<net::HttpClient> client_;
};

}  // namespace kybern::apiserver::testing
