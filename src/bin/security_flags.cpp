#include "bin/security_flags.h"

namespace kybern::bin {
namespace {

void add_batch(Flags& flags, const std::string& plugin, apiserver::audit::BatchOptions& batch, apiserver::audit::TruncateOptions& truncate) {
  flags.add("audit-" + plugin + "-mode", &batch.mode, "batch: events wait for others; blocking: a request waits for its event; blocking-strict: and fails without");
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
  flags.add("audit-webhook-initial-backoff", &options.webhook_initial_backoff, "how long to wait before what failed is sent again, the first time");
  add_batch(flags, "webhook", options.webhook_batch, options.webhook_truncate);
}

}  // namespace

void add_security_flags(Flags& flags, apiserver::ServerOptions& options) {
  add_audit(flags, options.audit);
}

}  // namespace kybern::bin
