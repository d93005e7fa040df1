// cp: files between here and a container, as an archive that the container's own tar makes or unpacks.
#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "base/strings.h"
#include "cli/command.h"
#include "cli/exec_stream.h"
#include "cli/tar.h"

namespace kybern::cli {
namespace {

namespace fs = std::filesystem;

struct FileSpec {  // [[NAMESPACE/]POD:]FILE
  std::string pod, file;
  bool remote() const { return !pod.empty(); }
};

Result<FileSpec> read_spec(const std::string& text) {
  const std::size_t colon = text.find(':');
  if (colon == 0) return refuse("filespec must match the canonical format: [[namespace/]pod:]file/path");
  if (colon == std::string::npos) return FileSpec{"", text};
  FileSpec out{text.substr(0, colon), text.substr(colon + 1)};
  if (std::count(out.pod.begin(), out.pod.end(), '/') > 1 || out.pod.starts_with('/') || out.pod.ends_with('/'))
    return refuse("filespec must match the canonical format: [[namespace/]pod:]file/path");
  return out;
}

// NAMESPACE/POD becomes the pod's own path; POD is of the session's namespace.
Result<ContainerPlace> place_of(Session& session, const Arguments& arguments, const FileSpec& spec) {
  const std::size_t slash = spec.pod.find('/');
  if (slash == std::string::npos) return find_container(session, arguments, spec.pod, "exec into");
  return ContainerPlace{
      fmt::format("/api/v1/namespaces/{}/pods/{}", url_encode(spec.pod.substr(0, slash)), url_encode(spec.pod.substr(slash + 1))),
      arguments.text("container")};
}

class Pipe {
 public:
  Pipe() {
    if (::pipe(ends_) != 0) ends_[0] = ends_[1] = -1;
  }
  ~Pipe() {
    close_writing();
    if (ends_[0] >= 0) ::close(ends_[0]);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  int reading() const { return ends_[0]; }
  bool write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t put = ::write(ends_[1], bytes.data(), bytes.size());
      if (put <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(put));
    }
    return true;
  }
  void close_writing() {
    if (ends_[1] >= 0) ::close(std::exchange(ends_[1], -1));
  }

 private:
  int ends_[2];
};

void to_stderr(bool, std::string_view bytes) { copy_output(true, bytes); }

Result<int> upload(Session& session, const Arguments& arguments, const std::string& local, const FileSpec& to) {
  std::error_code error;
  if (!fs::exists(local, error)) return refuse(local + " doesn't exist in local filesystem");
  if (to.file.empty()) return refuse("filepath can not be empty");
  auto place = place_of(session, arguments, to);
  if (!place) return std::unexpected(place.error());
  fs::path target(to.file);
  auto is_folder = converse(session, *place, "exec", {"test", "-d", to.file}, {-1, false, [](bool, std::string_view) {}});
  if (!is_folder) return std::unexpected(is_folder.error());
  if (*is_folder == 0)
    target /= fs::path(local).lexically_normal().filename().empty() ? fs::path(local).lexically_normal().parent_path().filename()
                                                                    : fs::path(local).lexically_normal().filename();
  target = target.lexically_normal();
  std::string folder = target.parent_path().string();
  std::vector<std::string> command{"tar", "-xmf", "-"};
  if (arguments.on("no-preserve")) command = {"tar", "--no-same-permissions", "--no-same-owner", "-xmf", "-"};
  if (!folder.empty()) command.insert(command.end(), {"-C", folder});
  Pipe pipe;
  Result<void> packed;
  std::thread packer([&] {
    packed = write_tar(local, target.filename().string(), [&](std::string_view bytes) { return pipe.write(bytes); });
    pipe.write(tar_end());
    pipe.close_writing();
  });
  auto done = converse(session, *place, "exec", command, {pipe.reading(), false, to_stderr});
  if (!done || *done != 0) {  // the packer may wait for a reader
    char rest[4096];
    while (::read(pipe.reading(), rest, sizeof rest) > 0) {}
  }
  packer.join();
  if (done && !packed) return std::unexpected(packed.error());
  return done;
}

// Unpacks what lies at `source` in the container to `to`.
class Unpacker {
 public:
  Unpacker(const std::string& source, fs::path to) : to_(std::move(to)) {
    prefix_ = fs::path(source).lexically_normal().relative_path().string();
    while (prefix_.ends_with('/')) prefix_.pop_back();
    std::error_code error;
    if (fs::is_directory(to_, error) && !prefix_.empty()) to_ /= fs::path(prefix_).filename();
  }
  Result<void> begin(const TarReader::Entry& entry) {
    out_.close();
    ++entries;
    std::string name = fs::path(entry.name).lexically_normal().relative_path().string();
    while (name.ends_with('/')) name.pop_back();
    if (name != prefix_ && !name.starts_with(prefix_ + "/")) return refuse("tar contents corrupted");
    fs::path place = to_;
    if (name.size() > prefix_.size()) place /= name.substr(prefix_.size() + 1);
    if (fs::path(name).lexically_normal().string().starts_with("..")) {
      fmt::print(stderr, "warning: file {} is outside target destination, skipping\n", go_quote(place.string()));
      return {};
    }
    std::error_code error;
    if (entry.type == '5') {
      fs::create_directories(place, error);
      return error ? refuse(place.string() + ": " + error.message()) : Result<void>();
    }
    if (entry.type == '2') {
      fmt::print(stderr, "warning: skipping symlink: {} (consider using \"kubectl exec -n NAMESPACE POD -- tar cf - PATH | tar xf -\")\n",
                 go_quote(place.string()));
      return {};
    }
    if (entry.type != '0') return {};
    if (place.has_parent_path()) fs::create_directories(place.parent_path(), error);
    out_.open(place, std::ios::binary | std::ios::trunc);
    if (!out_) return refuse("open " + place.string() + ": cannot be written");
    fs::permissions(place, static_cast<fs::perms>(entry.mode & 0777), error);
    return {};
  }
  Result<void> data(std::string_view bytes) {
    if (out_.is_open() && !out_.write(bytes.data(), static_cast<std::streamsize>(bytes.size())))
      return refuse("cannot write: the disk may be full");
    return {};
  }
  std::size_t entries = 0;

 private:
  fs::path to_;
  std::string prefix_;
  std::ofstream out_;
};

Result<int> download(Session& session, const Arguments& arguments, const FileSpec& from, const std::string& local) {
  if (from.file.empty() || local.empty()) return refuse("filepath can not be empty");
  auto place = place_of(session, arguments, from);
  if (!place) return std::unexpected(place.error());
  Unpacker unpacker(from.file, local);
  TarReader reader([&](const TarReader::Entry& entry) { return unpacker.begin(entry); },
                   [&](std::string_view bytes) { return unpacker.data(bytes); });
  Result<void> unpacked;
  auto done = converse(session, *place, "exec", {"tar", "cf", "-", from.file}, {-1, false, [&](bool error, std::string_view bytes) {
                                                                                  if (error) copy_output(true, bytes);
                                                                                  else if (unpacked) unpacked = reader.feed(bytes);
                                                                                }});
  if (!unpacked) return std::unexpected(unpacked.error());
  return done;
}

Result<int> cp(Session& session, const Arguments& arguments) {
  if (arguments.words.size() != 2) return refuse("source and destination are required");
  auto from = read_spec(arguments.words[0]), to = read_spec(arguments.words[1]);
  if (!from || !to) return std::unexpected(from ? to.error() : from.error());
  if (from->remote() && to->remote()) return refuse("one of src or dest must be a local file specification");
  if (!from->remote() && !to->remote()) return refuse("one of src or dest must be a remote file specification");
  if (from->file.empty() || to->file.empty()) return refuse("filepath can not be empty");
  return told(from->remote() ? download(session, arguments, *from, to->file) : upload(session, arguments, from->file, *to));
}

}  // namespace

Command cp_command() {
  using namespace flags;
  return {"cp",
          "copy files to and from containers (which need tar)",
          "[[NAMESPACE/]POD:]FILE [[NAMESPACE/]POD:]FILE [-c CONTAINER]",
          {text("container", "of this container", "", 'c'), boolean("no-preserve", "do not keep owner and permissions in the container"),
           number("retries", "accepted for compatibility"), boolean("quiet", "say less", false, 'q')},
          cp};
}

}  // namespace kybern::cli
