// The API server: the one process that owns the store, and the one road to it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "apiserver/account_options.h"
#include "apiserver/audit/sink.h"
#include "apiserver/authn/front_proxy.h"
#include "apiserver/authn/oidc.h"
#include "apiserver/authn/token_webhook.h"
#include "apiserver/authz/chain.h"
#include "apiserver/user.h"
#include "base/result.h"
#include "base/world.h"
#include "document/document.h"
#include "machinery/status.h"
#include "store/store.h"

namespace kybern::apiserver {

struct ServerOptions {
  std::string data_dir;  // pki/ and kybern.db lie here
  std::string bind_address = "0.0.0.0";
  int secure_port = 6443;
  std::string advertise_address;         // of the `kubernetes` service's endpoint; "": found by the default route
  std::vector<std::string> extra_names;  // further DNS names and IPs for the serving certificate
  std::string node_name, node_ip;        // of a node agent in this process: kubelet.crt is kept for it; no address: the server's
  std::string service_cidr = "10.96.0.0/12";
  int node_port_low = 30000, node_port_high = 32767;
  std::string cluster_domain = "cluster.local";
  std::string token_file;
  AccountOptions accounts;  // tokens of service accounts; without an issuer: https://kubernetes.default.svc.<cluster domain>
  // Who tokens may stand for besides (authn/authenticator.h).
  bool bootstrap_tokens = false;
  TokenWebhookOptions token_webhook;
  OidcOptions oidc;
  std::string authentication_config;
  FrontProxyOptions front_proxy;
  std::string proxy_client_certificate, proxy_client_key;  // how servers behind this one know it; "": of the own authority
  AuthorizationOptions authorization;
  std::string encryption_config;                       // how secrets lie on disk; "": as they are
  bool encryption_reload = false;                      // the file is followed
  audit::SinkOptions audit;                            // what is kept of requests, and where
  Duration follow_interval{std::chrono::seconds(10)};  // between two looks at the files of issuers, authorizers and keys
  bool anonymous = true;
  std::size_t max_requests = 600;  // at once, long-running ones not counted
  // False: only components in this process reach it, and it has no threads: requests run on their callers', all else is
  // tasks of the world's executor.
  bool listen = true;
};

// Where the certificates of a data folder lie.
struct Credentials {
  std::string ca_file, server_certificate, server_key, service_account_key, admin_kubeconfig;
  std::string kubelet_client_certificate, kubelet_client_key;  // the server's own, towards kubelets
  std::string ca_key;
  std::string front_proxy_ca_file{}, front_proxy_certificate{}, front_proxy_key{};  // by which servers behind this one know it
};

// A change that a component in the same process sees: the document is the store's own block.
struct LocalEvent {
  bool erased;
  Document object;
};
class LocalWatch {
 public:
  virtual ~LocalWatch() = default;
};

class ApiServer {
 public:
  // Makes what is missing in the data folder (CA, certificates, keys, admin kubeconfig), opens the store, reconciles the
  // bootstrap objects, and listens.
  static Result<std::unique_ptr<ApiServer>> start(ServerOptions options, World world);
  virtual ~ApiServer() = default;
  virtual int port() const = 0;
  virtual const Credentials& credentials() const = 0;
  virtual std::string advertise_address() const = 0;
  virtual std::string dns_service_ip() const = 0;  // by convention the tenth of the service range
  virtual store::Store& store() = 0;
  virtual void stop(std::chrono::milliseconds grace) = 0;

  // For components in the same process: the same authorization and admission as over HTTP.
  virtual ApiResult<Document> call(const User& user, std::string_view method, std::string_view path, std::string_view query, Document body,
                                   std::string_view patch_type) = 0;
  // List, then changes, of a collection. `replaced` and `changed` come one at a time, in order, with the revision up to
  // which everything has been told; `changed` may come without events, only for that.
  virtual ApiResult<std::unique_ptr<LocalWatch>> subscribe(const User& user, std::string path, std::string query,
                                                           std::function<void(std::vector<Document>, std::uint64_t)> replaced,
                                                           std::function<void(std::vector<LocalEvent>, std::uint64_t)> changed) = 0;
};

}  // namespace kybern::apiserver
