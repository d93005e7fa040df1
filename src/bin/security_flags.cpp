#include "bin/security_flags.h"

namespace kybern::bin {
namespace {

void add_batch(Flags& flags, const std::string& plugin, apiserver::audit::BatchOptions& batch,
               apiserver::audit::TruncateOptions& truncate) {
  flags.add("audit-" + plugin + "-mode", &batch.mode,
            "batch: events wait for others; blocking: a request waits for its event; blocking-strict: and fails without");
  flags.add("audit-" + plugin + "-batch-buffer-size", &batch.buffer_size, "how many events may wait; more are dropped");
  flags.add("audit-" + plugin + "-batch-max-size", &batch.max_size, "how many events go together");
  flags.add("audit-" + plugin + "-batch-max-wait", &batch.max_wait, "how long an event waits for others");
  flags.add("audit-" + plugin + "-truncate-enabled", &truncate.enabled, "large events go without the objects in them");
  flags.add("audit-" + plugin + "-truncate-max-event-size", &truncate.max_event_bytes, "the bytes of an event from which it is large");
}

void add_audit(Flags& flags, apiserver::audit::SinkOptions& options) {
  flags.add("audit-policy-file", &options.policy_file, "which requests are audited: a file of audit.k8s.io/v1 Policy");
  flags.add("audit-log-path", &options.log_path, "the file of audit events, one in a line; - for standard output");
  flags.add("audit-log-maxage", &options.log_max_age_days, "days after which an old audit log is removed; 0: never");
  flags.add("audit-log-maxbackup", &options.log_max_backups, "how many old audit logs are kept; 0: all");
  flags.add("audit-log-maxsize", &options.log_max_size_mb, "megabytes from which the audit log is set aside; 0: 100");
  flags.add("audit-log-compress", &options.log_compress, "old audit logs are compressed with gzip");
  add_batch(flags, "log", options.log_batch, options.log_truncate);
  flags.add("audit-webhook-config-file", &options.webhook_config, "a kubeconfig of the service that audit events are sent to");
  flags.add("audit-webhook-initial-backoff", &options.webhook_initial_backoff,
            "how long to wait before what failed is sent again, the first time");
  add_batch(flags, "webhook", options.webhook_batch, options.webhook_truncate);
}

void add_accounts(Flags& flags, apiserver::AccountOptions& options) {
  flags.add(
      "service-account-issuer", &options.issuers,
      "who makes service accounts' tokens, as they say themselves: the first makes them, all are believed; empty: the cluster's name");
  flags.add("api-audiences", &options.audiences, "for whom a token has to be meant to be good here; empty: the issuers");
  flags.add("service-account-key-file", &options.key_files, "further keys by which such tokens are verified, private or public");
  flags.add("service-account-signing-key-file", &options.signing_key_file, "the key that signs them; empty: pki/service-account.key");
  flags.add("service-account-jwks-uri", &options.jwks_uri, "where others are told to read the keys; empty: of this server");
  flags.add("service-account-max-token-expiration", &options.max_expiration, "how long such a token is good at most; 0s: as asked");
  flags.add("service-account-extend-token-expiration", &options.extend,
            "whether tokens of pods live on for clients that are slow to read the next one");
}

void add_authentication(Flags& flags, apiserver::ServerOptions& options) {
  flags.add("enable-bootstrap-token-auth", &options.bootstrap_tokens,
            "whether Secrets of type bootstrap.kubernetes.io/token in kube-system let nodes join");
  flags.add("authentication-token-webhook-config-file", &options.token_webhook.config_file,
            "a kubeconfig of the service that says who a token stands for");
  flags.add("authentication-token-webhook-cache-ttl", &options.token_webhook.cache_ttl, "how long its answers are kept");
  flags.add("authentication-config", &options.authentication_config,
            "issuers of tokens, and who may come without: a file of AuthenticationConfiguration");
  apiserver::OidcOptions& oidc = options.oidc;
  flags.add("oidc-issuer-url", &oidc.issuer_url, "the issuer of OpenID Connect tokens, https");
  flags.add("oidc-client-id", &oidc.client_id, "for whom its tokens have to be meant");
  flags.add("oidc-ca-file", &oidc.ca_file, "the CA of the issuer; empty: the system's");
  flags.add("oidc-username-claim", &oidc.username_claim, "the claim that is the user's name");
  flags.add("oidc-username-prefix", &oidc.username_prefix,
            "goes before it; -: nothing; empty: the issuer's URL and #, unless the claim is email");
  flags.add("oidc-groups-claim", &oidc.groups_claim, "the claim that holds the user's groups");
  flags.add("oidc-groups-prefix", &oidc.groups_prefix, "goes before each of them");
  flags.add("oidc-required-claim", &oidc.required_claims, "name=value that a token has to hold");
  flags.add("oidc-signing-algs", &oidc.signing_algorithms,
            "the signatures that are taken: RS256, RS384, RS512, ES256, ES384, ES512, PS256, PS384, PS512");
  apiserver::FrontProxyOptions& proxy = options.front_proxy;
  flags.add("requestheader-client-ca-file", &proxy.client_ca_file,
            "signs the certificates of front proxies, whose word on the user is taken; empty: pki/front-proxy-ca.crt");
  flags.add("requestheader-allowed-names", &proxy.allowed_names,
            "the common names that such certificates may have; empty: any, of the own authority's front-proxy-client");
  flags.add("requestheader-username-headers", &proxy.username_headers, "the headers in which a front proxy names the user");
  flags.add("requestheader-uid-headers", &proxy.uid_headers, "in which it gives the user's uid");
  flags.add("requestheader-group-headers", &proxy.group_headers, "in which it lists the user's groups");
  flags.add("requestheader-extra-headers-prefix", &proxy.extra_prefixes, "with which headers begin that hold more about the user");
  flags.add("proxy-client-cert-file", &options.proxy_client_certificate,
            "the certificate shown to API servers behind this one; empty: pki/front-proxy-client.crt");
  flags.add("proxy-client-key-file", &options.proxy_client_key, "and its key");
}

void add_authorization(Flags& flags, apiserver::AuthorizationOptions& options) {
  flags.add("authorization-mode", &options.modes,
            "who is asked what may be done, in this order: Node, RBAC, Webhook, AlwaysAllow, AlwaysDeny; empty: Node,RBAC");
  flags.add("authorization-config", &options.config_file,
            "the same with more than one webhook: a file of AuthorizationConfiguration; followed when it changes");
  flags.add("authorization-webhook-config-file", &options.webhook_config_file, "a kubeconfig of the service that mode Webhook asks");
  flags.add("authorization-webhook-version", &options.webhook_version, "the version of SubjectAccessReview it takes; empty: v1beta1");
  flags.add("authorization-webhook-cache-authorized-ttl", &options.webhook_authorized_ttl, "how long a yes is kept; empty: 5m0s");
  flags.add("authorization-webhook-cache-unauthorized-ttl", &options.webhook_unauthorized_ttl, "and a no; empty: 30s");
}

}  // namespace

void add_security_flags(Flags& flags, apiserver::ServerOptions& options) {
  add_accounts(flags, options.accounts);
  add_authentication(flags, options);
  add_authorization(flags, options.authorization);
  flags.add("encryption-provider-config", &options.encryption_config,
            "which resources are encrypted on disk, and how: a file of EncryptionConfiguration");
  flags.add("encryption-provider-config-automatic-reload", &options.encryption_reload, "read that file again when it changes");
  add_audit(flags, options.audit);
}

}  // namespace kybern::bin
