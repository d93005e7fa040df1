// One run's way to the server: where it is, who we are, which namespace; calls with their failures in kubectl's words.
//
// In this room an Error's message is the complete text for standard error: `Error from server (NotFound): pods "x" not
// found`, `error: ...`. A Status that did not come from a server (no connection) has code 0 and its complete text as message.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"
#include "cli/discovery.h"
#include "cli/flags.h"
#include "client/transport.h"
#include "document/document.h"
#include "machinery/status.h"
#include "net/client.h"
#include "net/websocket_stream.h"

namespace kybern::cli {

std::vector<Flag> global_flags();

// The complete text of a failed call. `before` goes in front of the server's message: `error when creating "x.yaml": `.
Error shown(const Status& status, std::string_view before = {});

inline constexpr std::string_view json_type = "application/json";
inline constexpr std::string_view merge_type = "application/merge-patch+json";
inline constexpr std::string_view strategic_type = "application/strategic-merge-patch+json";
inline constexpr std::string_view json_patch_type = "application/json-patch+json";
inline constexpr std::string_view apply_type = "application/apply-patch+yaml";

class Session {
 public:
  explicit Session(const Arguments& arguments);
  ~Session();

  Result<void> connect();  // once; everything below does it by itself
  const std::string& ns();
  bool ns_given() const;
  const std::string& url() const { return options_.url; }
  const client::HttpOptions& options() const { return options_; }
  Result<const Discovery*> discovery();
  void forget_discovery() { discovery_.reset(); }  // a CRD came
  // A failure that does not stop the command: it is shown after everything else, and the exit status is 1.
  void defer(const Error& error) { deferred_ += (deferred_.empty() ? "" : "\n") + error.message; }
  const std::string& deferred() const { return deferred_; }
  std::size_t warnings() const { return warned_.size(); }
  bool first_document() { return !std::exchange(document_printed_, true); }  // YAML documents after it begin with ---

  ApiResult<Document> call(std::string method, std::string_view path, std::string query = {}, Value body = {},
                           std::string_view content_type = json_type, std::string_view accept = json_type);
  // The same with the body's bytes; the answer as it came.
  ApiResult<std::string> raw(std::string method, std::string_view path, std::string query, std::string body, std::string_view content_type,
                             std::string_view accept);
  ApiResult<std::unique_ptr<net::ClientStream>> stream(std::string_view path, std::string query, std::string_view accept = json_type);
  // Any answer, whatever its status: of a request that another client made, passed on as ours.
  Result<std::unique_ptr<net::ClientStream>> forward(std::string method, std::string_view target,
                                                     const std::vector<std::pair<std::string, std::string>>& headers, std::string body);
  ApiResult<std::unique_ptr<net::WebSocketClient>> websocket(std::string_view path, std::string query,
                                                             const std::vector<std::string>& protocols);

 private:
  Result<client::HttpOptions> find_options() const;
  net::ClientRequest request(std::string method, std::string_view path, const std::string& query, std::string_view accept);
  Status refused(const Error& error) const;
  void print_warnings(const net::Headers& headers);

  const Arguments& arguments_;
  client::HttpOptions options_;
  std::string ns_;
  std::chrono::milliseconds timeout_{0};
  std::unique_ptr<net::HttpClient> client_;
  std::unique_ptr<Discovery> discovery_;
  std::vector<std::string> warned_;
  std::string deferred_;
  bool document_printed_ = false;
};

// The states of one object, or of a collection: every state that is there, then every change. `seen` gets the event's
// type ("ADDED", "MODIFIED", "DELETED") and the object, and answers true when it has seen enough; `listed` is called
// after each list, with the number of objects in it, and may end it too. False: the time was over.
struct Observer {
  std::function<bool(std::string_view type, Value object)> seen;
  std::function<bool(std::size_t count)> listed{};
};
using Deadline = std::optional<std::chrono::steady_clock::time_point>;
Result<bool> observe(Session& session, const std::string& collection_path, const std::string& query, Deadline deadline,
                     const Observer& observer);
std::string name_query(std::string_view name);  // fieldSelector=metadata.name=NAME, encoded
Deadline deadline_after(std::chrono::nanoseconds time);

// Watch lines from a stream: calls `line` for each until it answers false, the stream ends or the time is over.
enum class StreamEnd { told, closed, deadline };
Result<StreamEnd> read_lines(net::ClientStream& stream, Deadline deadline, const std::function<bool(std::string_view)>& line);

std::string query_of(std::initializer_list<std::pair<std::string_view, std::string_view>> parameters);  // empty values are left out

}  // namespace kybern::cli
