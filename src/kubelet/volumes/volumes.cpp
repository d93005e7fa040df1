#include "kubelet/volumes/volumes.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/openat2.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "base/strings.h"
#include "kubelet/files.h"
#include "kubelet/volumes/atomic_writer.h"

namespace kybern::kubelet {
namespace {

enum Propagation { propagation_none = 0, propagation_host_to_container = 1, propagation_bidirectional = 2 };

const char* plugin_of(Value volume) {
  if (volume["emptyDir"].is_object()) return "kubernetes.io~empty-dir";
  if (volume["configMap"].is_object()) return "kubernetes.io~configmap";
  if (volume["secret"].is_object()) return "kubernetes.io~secret";
  if (volume["projected"].is_object()) return "kubernetes.io~projected";
  if (volume["downwardAPI"].is_object()) return "kubernetes.io~downward-api";
  if (volume["image"].is_object()) return "kubernetes.io~image";
  return "";
}

std::optional<unsigned> fs_group(const PodView& pod) {
  Value group = pod.spec()["securityContext"]["fsGroup"];
  return group.is_int() ? std::optional(static_cast<unsigned>(group.as_int())) : std::nullopt;
}

// hostPath's type: what must be there, or is made.
Result<void> check_host_path(const std::string& path, std::string_view type) {
  struct stat st;
  bool there = ::stat(path.c_str(), &st) == 0;
  if (type.empty()) return {};
  if (type == "DirectoryOrCreate") {
    if (there && !S_ISDIR(st.st_mode)) return fail(Code::invalid, fmt::format("hostPath type check failed: {} is not a directory", path));
    return make_dirs(path, 0755);
  }
  if (type == "FileOrCreate") {
    if (there && !S_ISREG(st.st_mode)) return fail(Code::invalid, fmt::format("hostPath type check failed: {} is not a file", path));
    if (there) return {};
    return write_file(path, "", 0644);
  }
  struct Kind {
    std::string_view type;
    mode_t mode;
    std::string_view what;
  };
  static constexpr Kind kinds[] = {{"Directory", S_IFDIR, "directory"},
                                   {"File", S_IFREG, "file"},
                                   {"Socket", S_IFSOCK, "socket file"},
                                   {"CharDevice", S_IFCHR, "character device"},
                                   {"BlockDevice", S_IFBLK, "block device"}};
  for (const Kind& kind : kinds) {
    if (kind.type == type && (!there || (st.st_mode & S_IFMT) != kind.mode)) {
      return fail(Code::invalid, fmt::format("hostPath type check failed: {} is not a {}", path, kind.what));
    }
  }
  return {};
}

Result<void> mount_tmpfs(const std::string& path, std::int64_t size_bytes) {
  struct stat here, above;  // another file system than its parent's: it is mounted already
  if (::stat(path.c_str(), &here) == 0 && ::stat(dir_name(path).c_str(), &above) == 0 && here.st_dev != above.st_dev) return {};
  std::string options = size_bytes > 0 ? fmt::format("size={}", size_bytes) : "";
  if (::mount("tmpfs", path.c_str(), "tmpfs", 0, options.c_str()) != 0) return std::unexpected(system_error("mount tmpfs on", path));
  return {};
}

Result<void> own_by_group(const std::string& path, std::optional<unsigned> group) {
  if (!group) return {};
  if (::chown(path.c_str(), static_cast<uid_t>(-1), *group) != 0) return std::unexpected(system_error("chown", path));
  struct stat st;
  if (::stat(path.c_str(), &st) != 0) return std::unexpected(system_error("stat", path));
  if (::chmod(path.c_str(), (st.st_mode & 07777) | S_ISGID | 0770) != 0) return std::unexpected(system_error("chmod", path));
  return {};
}

// The size of an emptyDir in memory: its limit, the pod's, or all the node's memory.
std::int64_t memory_volume_size(const PodView& pod, Value spec, std::int64_t node_memory_bytes) {
  std::int64_t size = node_memory_bytes;
  Amounts limits = pod_limits(pod);
  if (auto found = limits.find("memory"); found != limits.end() && found->second.value() > 0)
    size = size > 0 ? std::min(size, found->second.value()) : found->second.value();
  std::int64_t own = Quantity::of(spec["sizeLimit"]).value();
  if (own > 0) size = size > 0 ? std::min(size, own) : own;
  return size;
}

int propagation_of(Value mount) {
  std::string_view text = mount["mountPropagation"].as_string();
  return text == "Bidirectional" ? propagation_bidirectional : text == "HostToContainer" ? propagation_host_to_container : propagation_none;
}

struct Fd {
  int fd = -1;
  explicit Fd(int value) : fd(value) {}
  Fd(Fd&& other) noexcept : fd(std::exchange(other.fd, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd, other.fd);
    return *this;
  }
  ~Fd() {
    if (fd >= 0) ::close(fd);
  }
};

int open_beneath(int folder, const char* path, std::uint64_t flags) {
  open_how how{};
  how.flags = flags | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  return static_cast<int>(::syscall(SYS_openat2, folder, path, &how, sizeof how));
}

// Opens what a subPath names below a volume, wherever links in it point (not out of the volume), making missing folders.
Result<Fd> open_sub_path(const std::string& base, const std::string& sub_path) {
  Fd root(::open(base.c_str(), O_PATH | O_CLOEXEC));
  if (root.fd < 0) return std::unexpected(system_error("open", base));
  if (int fd = open_beneath(root.fd, sub_path.c_str(), O_PATH); fd >= 0) return Fd(fd);
  if (errno != ENOENT) return std::unexpected(system_error("open", sub_path));
  struct stat st;
  mode_t mode = ::fstat(root.fd, &st) == 0 ? st.st_mode & 07777 : 0755;
  Fd at(::dup(root.fd));
  for (std::string_view piece : split(sub_path, '/')) {
    if (piece.empty() || piece == ".") continue;
    std::string name(piece);
    int next = open_beneath(at.fd, name.c_str(), O_PATH);
    if (next < 0 && errno == ENOENT) {
      if (::mkdirat(at.fd, name.c_str(), mode) != 0 && errno != EEXIST) return std::unexpected(system_error("mkdir", sub_path));
      next = open_beneath(at.fd, name.c_str(), O_PATH);
      if (next >= 0) (void)::chmod(fmt::format("/proc/self/fd/{}", next).c_str(), mode);
    }
    if (next < 0) return std::unexpected(system_error("open", sub_path));
    at = Fd(next);
  }
  return at;
}

}  // namespace

std::string Volumes::volume_folder(const PodView& pod, Value volume) const {
  return fmt::format("{}/volumes/{}/{}", pod_folder(pod.uid), plugin_of(volume), volume["name"].as_string());
}

Result<std::string> Volumes::host_path_of(const PodView& pod, Value volume, const VolumeSources& sources) const {
  if (*plugin_of(volume) != '\0') return volume_folder(pod, volume);
  if (Value h = volume["hostPath"]; h.is_object()) return h["path"].str();
  std::string claim_name = volume["persistentVolumeClaim"]["claimName"].str();
  if (volume["ephemeral"].is_object()) claim_name = fmt::format("{}-{}", pod.name, volume["name"].as_string());
  if (claim_name.empty()) return fail(Code::unsupported, "no volume plugin matched");
  auto claim = sources.claim(claim_name);
  if (!claim) return std::unexpected(claim.error());
  std::string bound = (*claim)["spec"]["volumeName"].str();
  if (bound.empty() || (*claim)["status"]["phase"].as_string() != "Bound")
    return fail(Code::unavailable, fmt::format("PVC {}/{} is not bound", pod.ns, claim_name));
  auto persistent = sources.volume(bound);
  if (!persistent) return std::unexpected(persistent.error());
  Value spec = (*persistent)["spec"];
  if (spec["hostPath"].is_object()) return spec["hostPath"]["path"].str();
  if (spec["local"].is_object()) return spec["local"]["path"].str();
  return fail(Code::unsupported, "no volume plugin matched");
}

Result<void> Volumes::prepare_one(const PodView& pod, Value volume, const VolumeSources& sources) {
  std::string folder = volume_folder(pod, volume);
  if (Value spec = volume["emptyDir"]; spec.is_object()) {
    if (auto made = make_dirs(folder, 0777); !made) return made;
    if (spec["medium"].as_string() == "Memory") {
      if (auto mounted = mount_tmpfs(folder, memory_volume_size(pod, spec, sources.node_memory_bytes)); !mounted) return mounted;
      if (::chmod(folder.c_str(), 0777) != 0) return std::unexpected(system_error("chmod", folder));
    }
    return own_by_group(folder, fs_group(pod));
  }
  if (is_payload_volume(volume)) {
    auto payload = make_payload(pod, volume, sources.payload);
    if (!payload) return std::unexpected(payload.error());
    if (auto made = make_dirs(folder, 0777); !made) return made;
    if (!volume["configMap"].is_object()) {  // what may be secret never touches a disk
      if (auto mounted = mount_tmpfs(folder, 0); !mounted) return mounted;
      if (::chmod(folder.c_str(), 0777) != 0) return std::unexpected(system_error("chmod", folder));
    }
    auto wrote = write_payload(folder, *payload, fs_group(pod), world_.clock.now(), world_.random.next() % 10'000'000'000);
    if (!wrote) return std::unexpected(wrote.error());
    return {};
  }
  if (volume["image"].is_object())
    return make_dirs(folder, 0755);  // mounted when a container that uses it starts: it may have to be pulled
  if (Value spec = volume["hostPath"]; spec.is_object()) return check_host_path(spec["path"].str(), spec["type"].as_string());
  auto path = host_path_of(pod, volume, sources);
  if (!path) return std::unexpected(path.error());
  if (!path_exists(*path)) {
    if (auto made = make_dirs(*path, 0777); !made) return made;
  }
  return {};
}

std::vector<VolumeProblem> Volumes::prepare(const PodView& pod, const VolumeSources& sources) {
  std::vector<VolumeProblem> problems;
  std::string folder = pod_folder(pod.uid);
  for (const char* sub : {"", "/volumes", "/plugins", "/containers"}) {
    if (auto made = make_dirs(folder + sub, 0750); !made) problems.push_back({"", made.error().message});
  }
  for (Value volume : pod.spec()["volumes"].items()) {
    auto done = prepare_one(pod, volume, sources);
    if (!done)
      problems.push_back({volume["name"].str(), fmt::format("MountVolume.SetUp failed for volume \"{}\" : {}", volume["name"].as_string(),
                                                            done.error().message)});
  }
  return problems;
}

std::vector<VolumeProblem> Volumes::refresh(const PodView& pod, const VolumeSources& sources) {
  std::vector<VolumeProblem> problems;
  for (Value volume : pod.spec()["volumes"].items()) {
    if (!is_payload_volume(volume)) continue;
    std::string folder = volume_folder(pod, volume);
    if (!is_dir(folder)) continue;
    auto payload = make_payload(pod, volume, sources.payload);
    Result<bool> wrote = payload ? write_payload(folder, *payload, fs_group(pod), world_.clock.now(), world_.random.next() % 10'000'000'000)
                                 : Result<bool>(std::unexpected(payload.error()));
    if (!wrote)
      problems.push_back({volume["name"].str(), fmt::format("MountVolume.SetUp failed for volume \"{}\" : {}", volume["name"].as_string(),
                                                            wrote.error().message)});
  }
  return problems;
}

Result<std::string> Volumes::mount_sub_path(const PodView& pod, const ContainerView& c, std::size_t index, Value volume,
                                            const std::string& base, const std::string& sub_path) {
  auto opened = open_sub_path(base, sub_path);
  if (!opened) {
    return fail(opened.error().code,
                fmt::format("failed to prepare subPath for volumeMount \"{}\" of container \"{}\"", volume["name"].as_string(), c.name));
  }
  std::string target = fmt::format("{}/volume-subpaths/{}/{}/{}", pod_folder(pod.uid), volume["name"].as_string(), c.name, index);
  std::string source = fmt::format("/proc/self/fd/{}", opened->fd);
  struct stat st;
  if (::fstat(opened->fd, &st) != 0) return std::unexpected(system_error("stat", sub_path));
  ::umount2(target.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW);  // of the container's last instance; EINVAL when there is none
  if (auto made = make_dirs(dir_name(target), 0750); !made) return std::unexpected(made.error());
  if (S_ISDIR(st.st_mode)) {
    ::unlink(target.c_str());
    if (auto made = make_dirs(target, 0750); !made) return std::unexpected(made.error());
  } else {
    ::rmdir(target.c_str());
    if (auto made = write_file(target, "", 0640); !made) return std::unexpected(made.error());
  }
  if (::mount(source.c_str(), target.c_str(), nullptr, MS_BIND, nullptr) != 0) return std::unexpected(system_error("mount", target));
  return target;
}

Result<std::vector<MountSpec>> Volumes::mounts(const PodView& pod, const ContainerView& c, const Environment& environment,
                                               const VolumeSources& sources) {
  std::vector<MountSpec> out;
  std::size_t index = 0;
  for (Value m : c.spec["volumeMounts"].items()) {
    std::size_t at = index++;
    Value volume;
    for (Value v : pod.spec()["volumes"].items()) {
      if (v["name"].as_string() == m["name"].as_string()) volume = v;
    }
    if (!volume.is_object())
      return fail(Code::not_found, fmt::format("cannot find volume \"{}\" to mount into container \"{}\"", m["name"].as_string(), c.name));
    auto path = host_path_of(pod, volume, sources);
    if (!path) return std::unexpected(path.error());
    std::string sub = m["subPath"].str();
    if (std::string expression = m["subPathExpr"].str(); !expression.empty()) {
      bool missing = false;
      sub = expand(expression, [&](std::string_view name) {
        auto found = environment.find(name);
        if (found == environment.end()) missing = true;
        return found == environment.end() ? nullptr : &found->second;
      });
      if (missing) return fail(Code::invalid, fmt::format("missing value for \"{}\"", expression));
    }
    if (!sub.empty()) {
      std::vector<std::string_view> pieces = split(sub, '/');
      if (sub.starts_with('/') || std::find(pieces.begin(), pieces.end(), "..") != pieces.end()) {
        return fail(Code::invalid, fmt::format("subPath \"{}\" must not be an absolute path and must not contain '..'", sub));
      }
      path = mount_sub_path(pod, c, at, volume, *path, sub);
      if (!path) return std::unexpected(path.error());
    }
    std::string target = m["mountPath"].str();
    if (!target.starts_with('/')) target = "/" + target;
    bool payload = is_payload_volume(volume) || volume["image"].is_object();
    out.push_back({std::move(target), std::move(*path), m["readOnly"].as_bool() || payload, m["recursiveReadOnly"].as_string() == "Enabled",
                   propagation_of(m)});
  }
  return out;
}

Result<void> Volumes::remove(std::string_view uid) {
  std::string folder = pod_folder(uid);
  if (!path_exists(folder)) return {};
  if (auto unmounted = unmount_below(folder); !unmounted) return unmounted;
  return remove_tree(folder);
}

std::vector<std::string> Volumes::pods_on_disk() const { return list_dir(root_ + "/pods"); }

}  // namespace kybern::kubelet
