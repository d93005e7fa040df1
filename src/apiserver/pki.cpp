#include "apiserver/pki.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/files.h"
#include "base/log.h"
#include "base/strings.h"
#include "document/json.h"
#include "document/yaml.h"
#include "net/certificates.h"

namespace kybern::apiserver {
namespace {

namespace fs = std::filesystem;
constexpr Duration clock_skew = std::chrono::hours(1);  // certificates begin this long ago: other machines' clocks may lag

// Whole or not at all: written beside, synced, renamed.
Result<void> write_file(const std::string& path, std::string_view text, int mode) {
  std::string temporary = path + ".new";
  int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
  if (fd < 0) return fail(Code::unavailable, fmt::format("{}: {}; choose another folder with --data-dir", temporary, std::strerror(errno)));
  bool ok = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && ::fchmod(fd, static_cast<mode_t>(mode)) == 0 &&
            ::fsync(fd) == 0;
  int problem = errno;
  ::close(fd);
  if (!ok || ::rename(temporary.c_str(), path.c_str()) != 0)
    return fail(Code::unavailable, fmt::format("{}: {}", path, std::strerror(ok ? errno : problem)));
  return {};
}

struct Issued {
  std::string name;  // of the files: <name>.crt, <name>.key
  net::CertificateSpec spec;
};

bool still_good(const std::string& certificate, const std::string& ca, const net::CertificateSpec& spec, Time now) {
  auto info = net::read_certificate(certificate);
  if (!info || info->not_after - renew_before < now || !net::issued_by(certificate, ca)) return false;
  auto holds = [](const std::vector<std::string>& have, const std::vector<std::string>& want) {
    return std::all_of(want.begin(), want.end(),
                       [&](const std::string& w) { return std::find(have.begin(), have.end(), w) != have.end(); });
  };
  return info->common_name == spec.common_name && holds(info->organizations, spec.organizations) &&
         holds(info->dns_names, spec.dns_names) && holds(info->ip_addresses, spec.ip_addresses);
}

Result<void> ensure_certificate(const std::string& folder, const net::KeyPair& ca, Issued wanted, Time now) {
  std::string certificate = folder + "/" + wanted.name + ".crt", key = folder + "/" + wanted.name + ".key";
  wanted.spec.not_before = now - clock_skew;
  wanted.spec.not_after = now + certificate_lifetime;
  if (fs::exists(key) && still_good(file_text(certificate), ca.certificate_pem, wanted.spec, now)) return {};
  auto pair = net::issue(ca, wanted.spec);
  if (!pair) return std::unexpected(pair.error());
  if (auto ok = write_file(key, pair->key_pem, 0600); !ok) return ok;
  return write_file(certificate, pair->certificate_pem, 0644);
}

std::string kubeconfig_text(std::string_view url, std::string_view ca, std::string_view user, const net::KeyPair& pair) {
  Draft config = Draft::object({{"apiVersion", "v1"}, {"kind", "Config"}, {"preferences", Draft::object()}, {"current-context", "kybern"}});
  config["clusters"].push_back(Draft::object(
      {{"name", "kybern"}, {"cluster", Draft::object({{"server", url}, {"certificate-authority-data", base64_encode(ca)}})}}));
  config["users"].push_back(Draft::object({{"name", user},
                                           {"user", Draft::object({{"client-certificate-data", base64_encode(pair.certificate_pem)},
                                                                   {"client-key-data", base64_encode(pair.key_pem)}})}}));
  config["contexts"].push_back(Draft::object({{"name", "kybern"}, {"context", Draft::object({{"cluster", "kybern"}, {"user", user}})}}));
  std::string out;
  write_yaml(config.freeze().root(), out);
  return out;
}

// An authority's files are NAME.crt and NAME.key, and NAME-next.key while there is a next one.
Result<net::KeyPair> load_ca(const std::string& folder, const std::string& name = "ca") {
  const std::string path = folder + "/" + name;
  net::KeyPair ca{file_text(path + ".crt"), file_text(path + ".key")};
  if (ca.certificate_pem.empty() || ca.key_pem.empty()) return fail(Code::not_found, path + ".crt: no certificate authority here");
  return ca;
}

// The certificates of a bundle, each a text of its own.
std::vector<std::string> certificates_of(std::string_view bundle) {
  constexpr std::string_view end = "-----END CERTIFICATE-----\n";
  std::vector<std::string> out;
  for (std::size_t at; (at = bundle.find(end)) != std::string_view::npos; bundle.remove_prefix(at + end.size()))
    out.emplace_back(bundle.substr(0, at + end.size()));
  return out;
}

Result<void> write_ca(const std::string& path, const net::KeyPair& ca) {
  if (auto ok = write_file(path + ".key", ca.key_pem, 0600); !ok) return ok;
  return write_file(path + ".crt", ca.certificate_pem, 0644);
}

// By the time in its name a verifier tells it from the one before.
Result<net::KeyPair> make_ca(const std::string& name, Time now) {
  auto since_epoch = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch());
  return net::new_ca(fmt::format("kybern-{}@{}", name, since_epoch.count()), now - clock_skew, now + ca_lifetime);
}

// The authority whose turn it is: NAME.key belongs to the first certificate of NAME.crt, NAME-next.key to the second, when
// there is one that does not sign yet. Each step is a write or two, and one that was cut short is taken again.
Result<net::KeyPair> current_ca(const std::string& folder, const std::string& name, Time now) {
  const std::string path = folder + "/" + name;
  auto there = load_ca(folder, name);
  if (!there) {
    auto made = make_ca(name, now);
    if (!made) return made;
    if (auto ok = write_ca(path, *made); !ok) return std::unexpected(ok.error());
    return made;
  }
  net::KeyPair ca = std::move(*there);
  std::vector<std::string> certificates = certificates_of(ca.certificate_pem);
  auto signing = net::read_certificate(ca.certificate_pem);
  if (!signing || certificates.empty())
    return fail(Code::invalid, fmt::format("{}.crt: {}", path, signing ? "no certificate ends here" : signing.error().message));
  const std::string next_key_file = path + "-next.key";
  std::string next_key = file_text(next_key_file);
  const bool has_next = !next_key.empty() && certificates.size() > 1;
  if (has_next && signing->not_after - switch_ca_before < now) {
    std::swap(certificates[0], certificates[1]);
    ca.key_pem = next_key;
    log_info("apiserver", "the next certificate authority signs from now on",
             {{"name", name}, {"until", format_rfc3339(net::read_certificate(certificates[0])->not_after)}});
  } else if (!has_next && signing->not_after - next_ca_before < now) {
    auto next = make_ca(name, now);
    if (!next) return next;
    if (auto ok = write_file(next_key_file, next->key_pem, 0600); !ok) return std::unexpected(ok.error());
    certificates.insert(certificates.begin() + 1, next->certificate_pem);
    log_info("apiserver", "a next certificate authority is trusted from now on",
             {{"name", name}, {"instead of the one until", format_rfc3339(signing->not_after)}});
  }
  std::erase_if(certificates, [&](const std::string& pem) {
    auto info = net::read_certificate(pem);
    return &pem != &certificates.front() && (!info || info->not_after < now);
  });
  std::string bundle = join(certificates, "");
  if (bundle == ca.certificate_pem) return ca;
  ca.certificate_pem = std::move(bundle);
  if (auto ok = write_ca(path, ca); !ok) return std::unexpected(ok.error());
  if (ca.key_pem == next_key) {
    std::error_code ignored;  // it is looked at again only when there is a next one
    fs::remove(next_key_file, ignored);
  }
  return ca;
}

}  // namespace

Result<void> write_private_file(const std::string& path, std::string_view text) { return write_file(path, text, 0600); }

Result<Credentials> ensure_pki(const ServerOptions& options, const std::string& service_ip, const std::string& advertise_address,
                               Time now) {
  std::string folder = options.data_dir + "/pki";
  std::error_code error;
  fs::create_directories(folder, error);
  if (error)
    return fail(Code::unavailable, fmt::format("{}: {}; run as root or choose another folder with --data-dir", folder, error.message()));
  ::chmod(folder.c_str(), 0700);
  auto ca = current_ca(folder, "ca", now);
  if (!ca) return std::unexpected(ca.error());
  if (!fs::exists(folder + "/service-account.key")) {
    auto key = net::new_private_key_pem();
    if (!key) return std::unexpected(key.error());
    if (auto ok = write_file(folder + "/service-account.key", *key, 0600); !ok) return std::unexpected(ok.error());
  }
  Issued server{"apiserver", {}};
  server.spec.common_name = "kube-apiserver";
  server.spec.server = true;
  server.spec.dns_names = {"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + options.cluster_domain,
                           "localhost"};
  server.spec.ip_addresses = {"127.0.0.1", service_ip};
  if (!advertise_address.empty()) server.spec.ip_addresses.push_back(advertise_address);
  for (const std::string& name : options.extra_names) {
    bool ip = name.find_first_not_of("0123456789.") == std::string::npos || name.find(':') != std::string::npos;
    (ip ? server.spec.ip_addresses : server.spec.dns_names).push_back(name);
  }
  Issued admin{"admin", {}};
  admin.spec.common_name = "kubernetes-admin";
  admin.spec.organizations = {"system:masters"};
  admin.spec.client = true;
  Issued kubelet_client{"apiserver-kubelet-client", {}};
  kubelet_client.spec.common_name = "kube-apiserver-kubelet-client";
  kubelet_client.spec.organizations = {"system:masters"};
  kubelet_client.spec.client = true;
  std::vector<Issued> all{server, admin, kubelet_client};
  if (!options.node_name.empty()) {
    Issued& kubelet = all.emplace_back(Issued{"kubelet", {}});
    kubelet.spec.common_name = "system:node:" + options.node_name;
    kubelet.spec.organizations = {"system:nodes"};
    kubelet.spec.server = true;
    kubelet.spec.dns_names = {options.node_name};
    kubelet.spec.ip_addresses = {"127.0.0.1"};
    const std::string& address = options.node_ip.empty() ? advertise_address : options.node_ip;
    if (!address.empty()) kubelet.spec.ip_addresses.push_back(address);
  }
  for (const Issued& wanted : all)
    if (auto ok = ensure_certificate(folder, *ca, wanted, now); !ok) return std::unexpected(ok.error());
  // Of the front proxy another authority vouches: whom it names, other servers believe.
  auto front = current_ca(folder, "front-proxy-ca", now);
  if (!front) return std::unexpected(front.error());
  Issued front_client{"front-proxy-client", {}};
  front_client.spec.common_name = "front-proxy-client";
  front_client.spec.client = true;
  if (auto ok = ensure_certificate(folder, *front, front_client, now); !ok) return std::unexpected(ok.error());
  Credentials out{folder + "/ca.crt",
                  folder + "/apiserver.crt",
                  folder + "/apiserver.key",
                  folder + "/service-account.key",
                  options.data_dir + "/kubeconfig",
                  folder + "/apiserver-kubelet-client.crt",
                  folder + "/apiserver-kubelet-client.key",
                  folder + "/ca.key"};
  out.front_proxy_ca_file = folder + "/front-proxy-ca.crt";
  out.front_proxy_certificate = folder + "/front-proxy-client.crt";
  out.front_proxy_key = folder + "/front-proxy-client.key";
  return out;
}

Result<std::string> make_kubeconfig(const std::string& data_dir, std::string_view server_url, std::string_view user,
                                    const std::vector<std::string>& groups, Time now) {
  std::string folder = data_dir + "/pki";
  auto ca = load_ca(folder);
  if (!ca) return std::unexpected(ca.error());
  if (user == "kubernetes-admin")
    return kubeconfig_text(server_url, ca->certificate_pem, user, {file_text(folder + "/admin.crt"), file_text(folder + "/admin.key")});
  net::CertificateSpec spec;
  spec.common_name = user;
  spec.organizations = groups;
  spec.client = true;
  spec.not_before = now - clock_skew;
  spec.not_after = now + certificate_lifetime;
  auto pair = net::issue(*ca, spec);
  if (!pair) return std::unexpected(pair.error());
  return kubeconfig_text(server_url, ca->certificate_pem, user, *pair);
}

}  // namespace kybern::apiserver
