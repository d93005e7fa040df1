// The transport over HTTP: calls with JSON bodies, and a subscription as list + watch on a thread of its own.
#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <random>
#include <stop_token>
#include <thread>
#include <tuple>
#include <utility>

#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "base/time.h"
#include "client/following.h"
#include "client/transport.h"
#include "client/watch_lines.h"
#include "document/json.h"
#include "net/client.h"

namespace kybern::client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using SteadyClock = std::chrono::steady_clock;

constexpr milliseconds call_timeout = seconds(60);
constexpr milliseconds head_timeout = seconds(30);       // until a watch or a list answers
constexpr milliseconds list_read_timeout = seconds(60);  // between two pieces of a list
constexpr int page_size = 500;
constexpr std::size_t page_limit_bytes = 512u << 20;
constexpr seconds watch_shortest(300), watch_longest(600);  // a watch is asked to end after a time between them
constexpr seconds watch_grace(20);                          // and is given up when it has not ended then
constexpr milliseconds first_backoff(800), last_backoff(30000);
constexpr seconds backoff_forgotten(120);  // after a connection that lasted as long
constexpr int busy_retries = 5;            // of a call that was answered 429 or 503 with Retry-After
constexpr seconds longest_retry_after(10);
constexpr seconds token_life(60);        // a token file is read again after this time
constexpr seconds credentials_life(60);  // and so is what is followed, or when the server knows it no more

const char* content_type(PatchType type) {
  switch (type) {
    case PatchType::json: return "application/json-patch+json";
    case PatchType::merge: return "application/merge-patch+json";
    case PatchType::strategic: return "application/strategic-merge-patch+json";
    case PatchType::apply: return "application/apply-patch+yaml";
  }
  return "application/json";
}

std::string_view reason_of(int code) {
  switch (code) {
    case 400: return "BadRequest";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 405: return "MethodNotAllowed";
    case 406: return "NotAcceptable";
    case 409: return "Conflict";
    case 410: return "Expired";
    case 415: return "UnsupportedMediaType";
    case 422: return "Invalid";
    case 429: return "TooManyRequests";
    case 500: return "InternalError";
    case 503: return "ServiceUnavailable";
    case 504: return "Timeout";
    default: return "";
  }
}

Status unreachable(const Error& error) {
  Status status;
  status.code = error.code == Code::timeout ? 504 : 503;
  status.reason = error.code == Code::timeout ? "Timeout" : "ServiceUnavailable";
  status.message = error.message;
  return status;
}

Status failure(int code, std::string_view body, int retry_after) {
  Status status;
  std::optional<Status> told;
  if (Result<Document> parsed = parse_json(body); parsed && (*parsed)["kind"].as_string() == "Status") told = Status::read(*parsed);
  if (told) {
    status = *std::move(told);
  } else if (code == 404) {
    status = generic_not_found();
  } else {
    constexpr std::size_t shown_bytes = 2048;
    status.reason = reason_of(code);
    status.message = body.empty() ? fmt::format("an error on the server has prevented the request from succeeding (status {})", code)
                                  : std::string(body.substr(0, shown_bytes));
  }
  status.code = code;
  if (status.retry_after_seconds == 0) status.retry_after_seconds = retry_after;
  return status;
}

// How the API is reached, and by a client that does.
struct Way {
  HttpOptions options;
  std::shared_ptr<net::HttpClient> client;
};
using WayPtr = std::shared_ptr<const Way>;

Result<WayPtr> make_way(HttpOptions options) {
  if (options.url.empty()) return fail(Code::invalid, "the address of the API server is not set");
  if (options.user_agent.empty()) options.user_agent = "kybern";
  net::ClientOptions wanted;
  wanted.url = options.url;
  wanted.tls.ca_pem = options.ca_pem;
  wanted.tls.certificate_pem = options.certificate_pem;
  wanted.tls.key_pem = options.key_pem;
  wanted.tls.server_name = options.server_name;
  wanted.tls.insecure = options.insecure;
  Result<std::unique_ptr<net::HttpClient>> client = net::HttpClient::make(std::move(wanted));
  if (!client) return std::unexpected(client.error());
  return std::make_shared<const Way>(Way{std::move(options), *std::move(client)});
}

bool same(const HttpOptions& a, const HttpOptions& b) {
  auto all = [](const HttpOptions& o) {
    return std::tie(o.url, o.ca_pem, o.certificate_pem, o.key_pem, o.token, o.token_file, o.insecure, o.server_name, o.username,
                    o.password);
  };
  return all(a) == all(b);
}

class HttpTransport final : public Transport {
 public:
  HttpTransport(WayPtr way, std::function<Result<HttpOptions>()> read, std::stop_token stop)
      : read_(std::move(read)),
        stop_(std::move(stop)),
        way_(std::move(way)),
        read_at_(SteadyClock::now()),
        random_(std::random_device{}()) {}

  ApiResult<Document> call(Call call) override;
  std::unique_ptr<Subscription> subscribe(std::string path, std::string query, Listener listener) override;

  net::ClientRequest request(std::string method, const std::string& path, const std::string& query);
  std::shared_ptr<net::HttpClient> client() { return way()->client; }
  double unit() {  // [0, 1)
    std::lock_guard lock(mutex_);
    return std::uniform_real_distribution<double>(0, 1)(random_);
  }

 private:
  WayPtr way(bool at_once = false);
  std::string token(const HttpOptions& options);
  bool pause(seconds time);  // false: it was cut short

  const std::function<Result<HttpOptions>()> read_;  // may be empty: the way stays
  const std::stop_token stop_;
  std::mutex mutex_;
  WayPtr way_;
  SteadyClock::time_point read_at_;
  std::mt19937_64 random_;
  std::string file_token_;
  SteadyClock::time_point file_token_read_{};
};

// Read again now and then: a certificate that was renewed is in the file, and the one of the start ends.
WayPtr HttpTransport::way(bool at_once) {
  std::lock_guard lock(mutex_);
  const auto now = SteadyClock::now();
  if (!read_ || (!at_once && now - read_at_ < credentials_life)) return way_;
  read_at_ = now;
  Result<HttpOptions> options = read_();
  if (options && options->user_agent.empty()) options->user_agent = way_->options.user_agent;
  if (options && same(*options, way_->options)) return way_;
  Result<WayPtr> next = options ? make_way(*std::move(options)) : std::unexpected(options.error());
  if (next) {
    log_info("client", "the API is reached with other credentials from now on", {{"url", (*next)->options.url}});
    way_ = *std::move(next);
  } else {
    log_warn("client", "credentials could not be read again; those of before stay", {{"why", next.error().message}});
  }
  return way_;
}

std::string HttpTransport::token(const HttpOptions& options) {
  if (options.token_file.empty()) return options.token;
  std::lock_guard lock(mutex_);
  const auto now = SteadyClock::now();
  if (file_token_.empty() || now - file_token_read_ > token_life) {
    if (std::string read(trim(file_text(options.token_file))); !read.empty()) {
      file_token_ = std::move(read);
      file_token_read_ = now;
    }
  }
  return file_token_.empty() ? options.token : file_token_;
}

net::ClientRequest HttpTransport::request(std::string method, const std::string& path, const std::string& query) {
  const WayPtr way = this->way();
  const HttpOptions& options = way->options;
  net::ClientRequest out;
  out.method = std::move(method);
  out.target = query.empty() ? path : path + "?" + query;
  out.headers.set("accept", "application/json");
  out.headers.set("user-agent", options.user_agent);
  if (const std::string bearer = token(options); !bearer.empty()) {
    out.headers.set("authorization", "Bearer " + bearer);
  } else if (!options.username.empty()) {
    out.headers.set("authorization", "Basic " + base64_encode(options.username + ":" + options.password));
  }
  out.timeout = call_timeout;
  return out;
}

// By the machine's clock, on the caller's thread: a timer of the executor needs a thread of the pool, and those may all wait here.
bool HttpTransport::pause(seconds time) {
  std::mutex mutex;
  std::condition_variable_any stopped;
  std::unique_lock lock(mutex);
  stopped.wait_for(lock, stop_, time, [] { return false; });
  return !stop_.stop_requested();
}

ApiResult<Document> HttpTransport::call(Call call) {
  auto prepare = [&] {
    net::ClientRequest out = request(call.method, call.path, call.query);
    if (call.body) {
      out.headers.set("content-type", call.method == "PATCH" ? content_type(call.patch) : "application/json");
      write_json(call.body, out.body);
    }
    return out;
  };
  net::ClientRequest wanted = prepare();
  bool renewed = false;
  for (int attempt = 0;; ++attempt) {
    const WayPtr used = way();
    Result<net::Response> answer = used->client->call(wanted);
    if (!answer) return fail(unreachable(answer.error()));
    const int retry_after = static_cast<int>(parse_int(answer->headers.get("retry-after")).value_or(0));
    const bool busy = answer->status == 429 || answer->status == 503;
    if (busy && retry_after > 0 && seconds(retry_after) <= longest_retry_after && attempt < busy_retries) {
      if (pause(seconds(retry_after))) continue;  // the server said how long
    }
    if (answer->status == 401 && !std::exchange(renewed, true) && way(true) != used) {
      wanted = prepare();
      continue;
    }
    if (answer->status < 200 || answer->status > 299) return fail(failure(answer->status, answer->body, retry_after));
    if (answer->body.empty()) return Document();
    if (!answer->headers.get("content-type").starts_with("application/json")) return Draft(answer->body).freeze();
    Result<Document> parsed = parse_json(answer->body);
    if (!parsed) return fail(internal_error("the answer is not JSON: " + parsed.error().message));
    return *std::move(parsed);
  }
}

// Lists, then watches; resumes a watch that ended where it ended; lists again when the place is lost (410).
class HttpSubscription final : public Subscription {
 public:
  HttpSubscription(HttpTransport& transport, std::string path, std::string query, Listener listener)
      : transport_(transport), path_(std::move(path)), query_(std::move(query)), listener_(std::move(listener)) {
    thread_ = std::thread([this] { run(); });
  }

  ~HttpSubscription() override {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
      if (stream_) stream_->close();
    }
    stopped_.notify_all();
    thread_.join();
  }

 private:
  enum class Next { resume, list_again };

  void run();
  bool list();
  Next watch();
  Next read_watch(net::ClientStream& stream, SteadyClock::time_point give_up);
  Next deliver(std::vector<WatchLine> lines);
  std::optional<Document> page(const std::string& continuation, int* status);
  void back_off(std::string_view what, std::string_view why);

  std::string with(std::string parameters) const { return query_.empty() ? parameters : query_ + "&" + parameters; }
  bool stopping() {
    std::lock_guard lock(mutex_);
    return stopping_;
  }
  // The stream that the destructor closes; false when it is too late to begin one.
  bool hold(net::ClientStream* stream) {
    std::lock_guard lock(mutex_);
    stream_ = stopping_ ? nullptr : stream;
    return stream == nullptr || !stopping_;
  }

  HttpTransport& transport_;
  const std::string path_, query_;
  const Listener listener_;

  std::mutex mutex_;
  std::condition_variable stopped_;
  bool stopping_ = false;
  net::ClientStream* stream_ = nullptr;

  // Of the thread.
  std::string version_;  // the resource version to watch from
  milliseconds delay_ = first_backoff;
  SteadyClock::time_point connected_{}, listed_{};
  std::thread thread_;
};

void HttpSubscription::run() {
  bool have_state = false;
  while (!stopping()) {
    if (!have_state) {
      const auto now = SteadyClock::now();
      if (listed_ != SteadyClock::time_point{} && now - listed_ < seconds(1)) back_off("watch", "the place is lost again and again");
      have_state = list();
      if (!have_state) continue;
      listed_ = SteadyClock::now();
    }
    have_state = watch() == Next::resume;
  }
}

void HttpSubscription::back_off(std::string_view what, std::string_view why) {
  const auto now = SteadyClock::now();
  if (connected_ != SteadyClock::time_point{} && now - connected_ > backoff_forgotten) delay_ = first_backoff;
  connected_ = {};
  const auto wait = std::chrono::duration_cast<milliseconds>(delay_ * (1.0 + transport_.unit()));
  log_debug("client", fmt::format("{} failed", what),
            {{"path", path_}, {"error", std::string(why)}, {"again_after_ms", std::to_string(wait.count())}});
  std::unique_lock lock(mutex_);
  stopped_.wait_for(lock, wait, [&] { return stopping_; });
  delay_ = std::min(delay_ * 2, last_backoff);
}

// One page, read as a stream so that the destructor can end it. Nothing on failure; *status is the HTTP status then, or 0.
std::optional<Document> HttpSubscription::page(const std::string& continuation, int* status) {
  *status = 0;
  std::string query = with("limit=" + std::to_string(page_size));
  if (!continuation.empty()) query += "&continue=" + url_encode(continuation);
  net::ClientRequest wanted = transport_.request("GET", path_, query);
  wanted.timeout = head_timeout;
  Result<std::unique_ptr<net::ClientStream>> stream = transport_.client()->stream(std::move(wanted));
  if (!stream) {
    back_off("list", stream.error().message);
    return {};
  }
  if (!hold(stream->get())) return {};
  std::string body;
  std::string problem;
  for (;;) {
    Result<std::string> piece = (*stream)->read_for(list_read_timeout);
    if (!piece) problem = piece.error().message;
    if (!piece || piece->empty()) break;
    body += *piece;
    if (body.size() > page_limit_bytes) {
      problem = "a page of a list is larger than 512 MiB";
      break;
    }
  }
  hold(nullptr);
  const int code = (*stream)->status();
  if (problem.empty() && code == 200) {
    Result<Document> parsed = parse_json(body);
    if (parsed) return *std::move(parsed);
    problem = parsed.error().message;
  } else if (problem.empty()) {
    *status = code;
    problem = failure(code, body, 0).message;
  }
  if (*status != 410) back_off("list", problem);
  return {};
}

bool HttpSubscription::list() {
  std::vector<Document> objects;
  std::string continuation;
  do {
    int status = 0;
    const std::optional<Document> answer = page(continuation, &status);
    if (!answer) return false;  // an expired page too: begin again
    append_list_items(*answer, objects);
    version_ = (*answer)["metadata"]["resourceVersion"].str();
    continuation = (*answer)["metadata"]["continue"].str();
  } while (!continuation.empty() && !stopping());
  if (stopping()) return false;
  listener_.replaced(std::move(objects));
  if (const auto version = parse_int(version_); listener_.progressed && version && *version > 0)
    listener_.progressed(static_cast<std::uint64_t>(*version));
  return true;
}

HttpSubscription::Next HttpSubscription::watch() {
  const auto span = seconds(watch_shortest.count() +
                            static_cast<long>(transport_.unit() * static_cast<double>((watch_longest - watch_shortest).count())));
  net::ClientRequest wanted = transport_.request(
      "GET", path_,
      with(fmt::format("watch=true&allowWatchBookmarks=true&resourceVersion={}&timeoutSeconds={}", url_encode(version_), span.count())));
  wanted.timeout = head_timeout;
  Result<std::unique_ptr<net::ClientStream>> stream = transport_.client()->stream(std::move(wanted));
  if (!stream) {
    back_off("watch", stream.error().message);
    return Next::resume;
  }
  if (!hold(stream->get())) return Next::resume;
  const int status = (*stream)->status();
  const auto began = SteadyClock::now();
  Next next = Next::resume;
  if (status == 200) {
    connected_ = began;
    next = read_watch(**stream, began + span + watch_grace);
  }
  hold(nullptr);
  if (stopping()) return next;
  if (status == 410) return Next::list_again;
  if (status != 200) {
    back_off("watch", fmt::format("status {}", status));
    const bool busy = status == 429 || status == 502 || status == 503;
    return busy ? Next::resume : Next::list_again;  // "too large resource version" (504) among them: another store is there
  }
  if (next == Next::resume && SteadyClock::now() - began < seconds(1)) back_off("watch", "ended at once");
  return next;
}

HttpSubscription::Next HttpSubscription::read_watch(net::ClientStream& stream, SteadyClock::time_point give_up) {
  WatchLines decoder;
  for (;;) {
    const auto left = std::chrono::duration_cast<milliseconds>(give_up - SteadyClock::now());
    if (left <= milliseconds::zero()) return Next::resume;
    Result<std::string> piece = stream.read_for(left);
    if (!piece || piece->empty()) return Next::resume;
    Result<std::vector<WatchLine>> lines = decoder.feed(*piece);
    if (!lines) {
      log_warn("client", "a watch sent what is no event", {{"path", path_}, {"error", lines.error().message}});
      back_off("watch", lines.error().message);
      return Next::list_again;
    }
    if (deliver(*std::move(lines)) == Next::list_again) return Next::list_again;
  }
}

HttpSubscription::Next HttpSubscription::deliver(std::vector<WatchLine> lines) {
  std::vector<Event> events;
  std::uint64_t progressed = 0;
  Next next = Next::resume;
  for (WatchLine& line : lines) {
    if (line.type == WatchLine::Type::error) {
      const bool expired = line.object["code"].as_int() == 410;
      if (!expired) back_off("watch", line.object["message"].as_string());
      next = Next::list_again;
      break;
    }
    const std::string_view version = line.object["metadata"]["resourceVersion"].as_string();
    if (!version.empty()) version_ = version;
    if (line.type == WatchLine::Type::bookmark) {
      progressed = static_cast<std::uint64_t>(std::max<std::int64_t>(0, parse_int(version).value_or(0)));
      continue;
    }
    events.push_back({line.type == WatchLine::Type::erased ? Event::Type::erased : Event::Type::put, std::move(line.object)});
  }
  if (!events.empty()) {
    delay_ = first_backoff;
    listener_.changed(std::move(events));
  }
  if (progressed > 0 && listener_.progressed) listener_.progressed(progressed);
  return next;
}

std::unique_ptr<Subscription> HttpTransport::subscribe(std::string path, std::string query, Listener listener) {
  return std::make_unique<HttpSubscription>(*this, std::move(path), std::move(query), std::move(listener));
}

}  // namespace

Result<std::unique_ptr<Transport>> http_transport(HttpOptions options) {
  Result<WayPtr> way = make_way(std::move(options));
  if (!way) return std::unexpected(way.error());
  return std::make_unique<HttpTransport>(*std::move(way), nullptr, std::stop_token());
}

Result<std::unique_ptr<Transport>> following_transport(std::function<Result<HttpOptions>()> read, std::stop_token stop) {
  Result<HttpOptions> options = read();
  if (!options) return std::unexpected(options.error());
  Result<WayPtr> way = make_way(*std::move(options));
  if (!way) return std::unexpected(way.error());
  return std::make_unique<HttpTransport>(*std::move(way), std::move(read), std::move(stop));
}

}  // namespace kybern::client
