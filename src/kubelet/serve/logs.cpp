#include "kubelet/serve/logs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <limits>

#include "base/strings.h"
#include "kubelet/files.h"
#include "kubelet/serve/log_file.h"

namespace kybern::kubelet {
namespace {

constexpr std::size_t read_bytes = 64 * 1024;
constexpr std::size_t most_line_bytes = 1 << 20;  // of a broken file without line ends
constexpr int rotation_settles_ms = 50;
constexpr int follow_check_ms = 1000;  // does the container still run, is the reader still there

struct Fd {
  int fd;
  explicit Fd(int value) : fd(value) {}
  Fd(const Fd&) = delete;
  ~Fd() { reset(-1); }
  void reset(int value) {
    if (fd >= 0) ::close(fd);
    fd = value;
  }
};

// Where the last `lines` lines of a file begin.
off_t tail_start(int fd, std::int64_t lines) {
  struct stat st;
  if (::fstat(fd, &st) != 0) return 0;
  if (lines <= 0) return st.st_size;
  std::string buffer(read_bytes, '\0');
  off_t at = st.st_size;
  std::int64_t found = -1;  // the line end at the very end does not begin a line
  while (at > 0) {
    off_t from = std::max<off_t>(0, at - static_cast<off_t>(read_bytes));
    ssize_t n = ::pread(fd, buffer.data(), static_cast<std::size_t>(at - from), from);
    if (n <= 0) return 0;
    for (ssize_t i = n - 1; i >= 0; --i) {
      if (buffer[static_cast<std::size_t>(i)] == '\n' && ++found == lines) return from + i + 1;
    }
    at = from;
  }
  return 0;
}

class Copier {
 public:
  Copier(const std::string& path, const LogOptions& options, const std::function<bool(std::string)>& write)
      : path_(path), options_(options), write_(write), left_(options.limit_bytes.value_or(std::numeric_limits<std::int64_t>::max())) {}

  Result<void> run(const std::function<bool()>& running) {
    file_.reset(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
    if (file_.fd < 0) return std::unexpected(system_error("open", path_));
    if (options_.tail_lines) offset_ = tail_start(file_.fd, *options_.tail_lines);
    if (!options_.follow) {
      drain();
      return {};
    }
    Fd watch(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (watch.fd >= 0) ::inotify_add_watch(watch.fd, dir_name(path_).c_str(), IN_MODIFY | IN_CREATE | IN_MOVED_FROM | IN_MOVED_TO);
    while (true) {
      bool runs = running();  // before reading: what it wrote until it ended is in the file by then
      if (!drain()) return {};
      if (rotated()) {
        // The runtime makes the new file first and lets go of the old one then.
        if (!drain()) return {};
        ::poll(nullptr, 0, rotation_settles_ms);
        if (!drain()) return {};
        open_new();
        continue;
      }
      if (!runs) return {};
      pollfd p{watch.fd, POLLIN, 0};
      if (::poll(&p, watch.fd >= 0 ? 1 : 0, follow_check_ms) > 0) {
        char events[4096];
        while (::read(watch.fd, events, sizeof events) > 0) {}
      } else if (!write_("")) {
        return {};
      }
    }
  }

 private:
  // Everything that is in the file now. False: enough was written, or the reader is gone.
  bool drain() {
    std::string buffer(read_bytes, '\0');
    while (true) {
      ssize_t n = ::pread(file_.fd, buffer.data(), buffer.size(), offset_);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return true;
      offset_ += n;
      pending_.append(buffer, 0, static_cast<std::size_t>(n));
      std::string out;
      std::size_t begin = 0, end;
      while ((end = pending_.find('\n', begin)) != std::string::npos) {
        add(std::string_view(pending_).substr(begin, end - begin), out);
        begin = end + 1;
      }
      pending_.erase(0, begin);
      if (pending_.size() > most_line_bytes) pending_.clear();
      bool enough = static_cast<std::int64_t>(out.size()) >= left_;
      if (enough) out.resize(static_cast<std::size_t>(left_));
      left_ -= static_cast<std::int64_t>(out.size());
      if (!out.empty() && !write_(std::move(out))) return false;
      if (enough) return false;
    }
  }

  void add(std::string_view raw, std::string& out) {
    auto line = parse_log_line(raw);
    if (!line || (!options_.stream.empty() && line->stream != options_.stream)) return;
    if (options_.since) {
      auto at = parse_rfc3339(line->time);
      if (at && *at < *options_.since) return;
    }
    if (options_.timestamps) out += fmt::format("{} ", line->time);
    out += line->text;
    if (!line->partial) out += '\n';
  }

  // The file at the path is another one by now.
  bool rotated() {
    struct stat here, there;
    if (::fstat(file_.fd, &here) != 0 || ::stat(path_.c_str(), &there) != 0) return false;
    return here.st_ino != there.st_ino || here.st_dev != there.st_dev;
  }

  void open_new() {
    int next = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
    if (next < 0) return;  // seen again, and tried again
    file_.reset(next);
    offset_ = 0;
    pending_.clear();
  }

  std::string path_;
  const LogOptions& options_;
  const std::function<bool(std::string)>& write_;
  std::int64_t left_;
  Fd file_{-1};
  off_t offset_ = 0;
  std::string pending_;
};

}  // namespace

Result<LogOptions> parse_log_options(std::string_view query, Time now) {
  LogOptions o;
  for (std::string_view pair : split(query, '&')) {
    std::size_t equals = pair.find('=');
    std::string key = url_decode(pair.substr(0, equals), true);
    std::string value = equals == std::string_view::npos ? "" : url_decode(pair.substr(equals + 1), true);
    auto truth = [&] { return value == "true" || value == "1"; };
    auto number = [&](std::int64_t least) -> Result<std::int64_t> {
      auto n = parse_int(value);
      if (!n || *n < least)
        return fail(Code::invalid, fmt::format("{}: Invalid value: \"{}\": must be greater than or equal to {}", key, value, least));
      return *n;
    };
    if (key == "follow") o.follow = truth();
    else if (key == "previous") o.previous = truth();
    else if (key == "timestamps") o.timestamps = truth();
    else if (key == "stream" && (value == "Stdout" || value == "Stderr")) o.stream = to_lower(value);
    else if (key == "tailLines" || key == "limitBytes" || key == "sinceSeconds") {
      auto n = number(key == "tailLines" ? 0 : 1);
      if (!n) return std::unexpected(n.error());
      if (key == "tailLines") o.tail_lines = *n;
      else if (key == "limitBytes") o.limit_bytes = *n;
      else o.since = now - std::chrono::seconds(*n);
    } else if (key == "sinceTime" && !value.empty()) {
      o.since = parse_rfc3339(value);
      if (!o.since) return fail(Code::invalid, fmt::format("sinceTime: Invalid value: \"{}\"", value));
    }
  }
  return o;
}

Result<std::string> log_container_id(Value status, std::string_view pod, std::string_view container, bool previous) {
  Value found;
  for (const char* list : {"containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"}) {
    for (Value s : status[list].items()) {
      if (s["name"].as_string() == container) found = s;
    }
  }
  auto bare = [](Value id) {
    std::string text = id.str();
    std::size_t scheme = text.find("://");
    return scheme == std::string::npos ? text : text.substr(scheme + 3);
  };
  if (!found.is_object()) return fail(Code::invalid, fmt::format("container \"{}\" in pod \"{}\" is not available", container, pod));
  Value last = found["lastState"]["terminated"], state = found["state"];
  if (previous) {
    if (!last.is_object() || last["containerID"].as_string().empty()) {
      return fail(Code::invalid, fmt::format("previous terminated container \"{}\" in pod \"{}\" not found", container, pod));
    }
    return bare(last["containerID"]);
  }
  if (state["running"].is_object()) return bare(found["containerID"]);
  if (Value ended = state["terminated"]; ended.is_object()) {
    if (!ended["containerID"].as_string().empty()) return bare(ended["containerID"]);
    if (!last.is_object()) return fail(Code::invalid, fmt::format("container \"{}\" in pod \"{}\" is terminated", container, pod));
  }
  if (last.is_object() && !last["containerID"].as_string().empty()) return bare(last["containerID"]);
  std::string_view reason = state["waiting"]["reason"].as_string();
  if (reason == "ErrImagePull" || reason == "ImagePullBackOff") reason = "trying and failing to pull image";
  return fail(Code::invalid, fmt::format("container \"{}\" in pod \"{}\" is waiting to start: {}", container, pod, reason));
}

Result<void> copy_log(const std::string& path, const LogOptions& options, const std::function<bool(std::string bytes)>& write,
                      const std::function<bool()>& running) {
  return Copier(path, options, write).run(running);
}

}  // namespace kybern::kubelet
