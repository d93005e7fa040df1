// A key service (KMS v2): values are sealed with AES-GCM under keys that come from a seed; the seed lies beside each value,
// encrypted by the service. One call opens all values of a seed.
#include <fmt/format.h>

#include <mutex>
#include <optional>
#include <unordered_map>

#include "apiserver/encryption/provider.h"
#include "apiserver/encryption/wire.h"
#include "base/log.h"
#include "net/certificates.h"
#include "net/cipher.h"
#include "net/client.h"

namespace kybern::apiserver::encryption {
namespace {

constexpr std::size_t seed_bytes = 32, info_bytes = 32, seeds_kept = 1000;
constexpr std::size_t key_id_max_bytes = 1024;
constexpr Duration status_interval = std::chrono::minutes(1);
constexpr Duration good_health_lasts = std::chrono::seconds(20), bad_health_lasts = std::chrono::seconds(3);
enum : unsigned { sealed_data = 1, key_id = 2, sealed_seed = 3, annotations = 4, seed_type = 5 };  // fields of EncryptedObject
constexpr std::uint64_t type_key = 0, type_seed = 1;

class GrpcKeyService final : public KeyService {
 public:
  GrpcKeyService(std::unique_ptr<net::GrpcClient> client, std::chrono::milliseconds timeout)
      : client_(std::move(client)), timeout_(timeout) {}

  Result<std::string> status() override {
    auto answer = ask("Status", Message());
    if (!answer) return std::unexpected(answer.error());
    if (std::string version = answer->text(1); version != "v2" && version != "v2beta1")
      return fail(Code::unavailable, fmt::format("expected KMS API version v2 or v2beta1, got {}", version));
    if (std::string health = answer->text(2); health != "ok")
      return fail(Code::unavailable, fmt::format("expected KMS healthz status \"ok\", got \"{}\"", health));
    return answer->text(3);
  }
  Result<Encrypted> encrypt(std::string_view plain, std::string_view uid) override {
    auto answer = ask("Encrypt", Message().text(1, plain).text(2, uid));
    if (!answer) return std::unexpected(answer.error());
    Encrypted out{answer->text(1), answer->text(2), {}};
    for (const std::string& entry : answer->texts[3])
      if (auto pair = read_message(entry)) out.annotations.emplace_back(pair->text(1), pair->text(2));
    return out;
  }
  Result<std::string> decrypt(const Encrypted& sealed, std::string_view uid) override {
    Message request;
    request.text(1, sealed.ciphertext).text(2, uid).text(3, sealed.key_id);
    for (const auto& [name, value] : sealed.annotations) request.text(4, Message().text(1, name).text(2, value).bytes());
    auto answer = ask("Decrypt", request);
    if (!answer) return std::unexpected(answer.error());
    return answer->text(1);
  }

 private:
  Result<Fields> ask(std::string_view method, const Message& request) {
    auto bytes = client_->call(fmt::format("/v2.KeyManagementService/{}", method), request.bytes(), timeout_);
    if (!bytes) return std::unexpected(bytes.error());
    auto fields = read_message(*bytes);
    if (!fields) return fail(Code::invalid, fmt::format("the key service's answer to {} is malformed", method));
    return std::move(*fields);
  }
  std::unique_ptr<net::GrpcClient> client_;
  const std::chrono::milliseconds timeout_;
};

// Sealed under a key that is derived for this value alone: the derivation's random input, then nonce, ciphertext and tag.
Result<std::string> seal_extended(std::string_view seed, std::string_view plain, std::string_view where) {
  const std::string info = net::random_bytes(info_bytes);
  auto key = net::hkdf_expand(seed, info, seed_bytes);
  if (!key) return key;
  auto sealed = net::seal_gcm(*key, plain, where);
  if (!sealed) return sealed;
  return info + *sealed;
}
Result<std::string> open_extended(std::string_view seed, std::string_view sealed, std::string_view where) {
  if (sealed.size() < info_bytes) return fail(Code::invalid, "the stored data was shorter than the required size");
  auto key = net::hkdf_expand(seed, sealed.substr(0, info_bytes), seed_bytes);
  if (!key) return key;
  return net::open_gcm(*key, sealed.substr(info_bytes), where);
}

class Kms final : public Provider, public std::enable_shared_from_this<Kms> {
 public:
  Kms(std::string name, std::shared_ptr<KeyService> service, World world)
      : name_(std::move(name)), prefix_(fmt::format("k8s:enc:kms:v2:{}:", name_)), service_(std::move(service)), world_(world) {}

  bool needs_service() const override { return true; }
  Result<void> health() override {
    std::lock_guard lock(health_mutex_);
    const Instant now = world_.clock.steady();
    if (!health_ || now - looked_ >= (*health_ ? good_health_lasts : bad_health_lasts)) {
      auto id = service_->status();
      health_ =
          id ? Result<void>()
             : fail(Code::unavailable, fmt::format("failed to perform status section of the healthz check for KMS Provider {}, error: {}",
                                                   name_, id.error().message));
      looked_ = now;
    }
    return *health_;
  }

  bool knows(std::string_view bytes) const override { return bytes.starts_with(prefix_); }

  Result<Sealed> seal(std::string_view plain, std::string_view where) override {
    auto seed = current_seed();
    if (!seed) return std::unexpected(seed.error());
    auto sealed = seal_extended(seed->plain, plain, where);
    if (!sealed) return std::unexpected(sealed.error());
    Message out;
    out.text(sealed_data, *sealed).text(key_id, seed->sealed.key_id).text(sealed_seed, seed->sealed.ciphertext);
    for (const auto& [key, value] : seed->sealed.annotations) out.text(annotations, Message().text(1, key).text(2, value).bytes());
    out.number(seed_type, type_seed);
    return Sealed{prefix_ + out.bytes(), prefix_ + seed->sealed.key_id};
  }

  Result<Sealed> open(std::string_view bytes, std::string_view where) override {
    auto fields = read_message(bytes.substr(prefix_.size()));
    if (!fields || fields->text(sealed_data).empty() || fields->text(sealed_seed).empty())
      return fail(Code::invalid, "the stored data is no encrypted object");
    KeyService::Encrypted sealed{fields->text(sealed_seed), fields->text(key_id), {}};
    for (const std::string& entry : fields->texts[annotations])
      if (auto pair = read_message(entry)) sealed.annotations.emplace_back(pair->text(1), pair->text(2));
    auto seed = opened_seed(sealed);
    if (!seed) return std::unexpected(seed.error());
    const std::string data = fields->text(sealed_data);
    std::uint64_t type = fields->numbers.count(seed_type) ? fields->numbers[seed_type] : type_key;
    auto plain = type == type_seed ? open_extended(*seed, data, where) : net::open_gcm(*seed, data, where);
    if (!plain) return std::unexpected(plain.error());
    return Sealed{std::move(*plain), prefix_ + sealed.key_id};
  }

  Result<std::string> writes_with() override {
    auto seed = current_seed();
    if (!seed) return std::unexpected(seed.error());
    return prefix_ + seed->sealed.key_id;
  }

 private:
  struct Seed {
    std::string plain;
    KeyService::Encrypted sealed;
  };

  // A seed lasts until the service has another key. The service is asked now and then, and nobody waits for that: while it
  // is slow or away the last seed is good, and writes go on.
  Result<Seed> current_seed() {
    std::lock_guard lock(mutex_);
    const Instant now = world_.clock.steady();
    if (!seed_) {
      if (failed_ && now - asked_ < bad_health_lasts) return std::unexpected(*failed_);  // those who waited do not ask in turn
      auto fresh = new_seed();
      asked_ = world_.clock.steady();
      if (!fresh) {
        failed_ = fresh.error();
        return fresh;
      }
      seed_ = std::move(*fresh);
    } else if (now - asked_ >= status_interval) {
      asked_ = now;
      world_.executor.post([weak = weak_from_this()] {
        if (auto self = weak.lock()) self->renew();
      });
    }
    return *seed_;
  }

  void renew() {
    std::string had;
    {
      std::lock_guard lock(mutex_);
      had = seed_->sealed.key_id;
    }
    auto id = service_->status();
    if (!id) return log_warn("encryption", "the key service does not answer", {{"provider", name_}, {"why", id.error().message}});
    if (*id == had) return;
    auto fresh = new_seed();
    if (!fresh)
      return log_warn("encryption", "there is a new key, which cannot be had", {{"provider", name_}, {"why", fresh.error().message}});
    std::lock_guard lock(mutex_);
    seed_ = std::move(*fresh);
  }

  Result<Seed> new_seed() {
    auto id = service_->status();
    if (!id) return fail(Code::internal, fmt::format("failed to generate DEK, error: {}", id.error().message));
    Seed fresh{net::random_bytes(seed_bytes), {}};
    auto sealed = service_->encrypt(fresh.plain, new_uuid(world_.random));
    if (!sealed) return fail(Code::internal, fmt::format("failed to encrypt DEK, error: {}", sealed.error().message));
    if (sealed->key_id.empty() || sealed->key_id.size() > key_id_max_bytes)
      return fail(Code::internal,
                  fmt::format("the key service's key id has {} bytes, expected 1 to {}", sealed->key_id.size(), key_id_max_bytes));
    fresh.sealed = std::move(*sealed);
    std::lock_guard lock(opened_mutex_);
    remember(fresh.sealed.ciphertext, fresh.plain);
    return fresh;
  }

  Result<std::string> opened_seed(const KeyService::Encrypted& sealed) {
    std::lock_guard lock(opened_mutex_);
    if (auto found = opened_.find(sealed.ciphertext); found != opened_.end()) return found->second;
    auto plain = service_->decrypt(sealed, new_uuid(world_.random));
    if (!plain) return fail(Code::internal, fmt::format("failed to decrypt DEK, error: {}", plain.error().message));
    remember(sealed.ciphertext, *plain);
    return plain;
  }

  void remember(const std::string& ciphertext, const std::string& plain) {
    if (opened_.size() >= seeds_kept) opened_.clear();
    opened_[ciphertext] = plain;
  }

  const std::string name_, prefix_;
  const std::shared_ptr<KeyService> service_;
  World world_;
  std::mutex mutex_;
  std::optional<Seed> seed_;
  std::optional<Error> failed_;  // when the first one could not be had
  Instant asked_{};
  std::mutex health_mutex_;
  std::optional<Result<void>> health_;
  Instant looked_{};
  std::mutex opened_mutex_;
  std::unordered_map<std::string, std::string> opened_;  // encrypted seeds, and what they are
};

}  // namespace

Result<std::unique_ptr<KeyService>> grpc_key_service(const std::string& endpoint, std::chrono::milliseconds timeout) {
  net::ClientOptions options;
  options.url = endpoint;
  auto client = net::GrpcClient::make(std::move(options));
  if (!client) return std::unexpected(client.error());
  return std::make_unique<GrpcKeyService>(std::move(*client), timeout);
}

std::shared_ptr<Provider> kms_provider(std::string name, std::shared_ptr<KeyService> service, World world) {
  return std::make_shared<Kms>(std::move(name), std::move(service), world);
}

}  // namespace kybern::apiserver::encryption
