// How a value is encrypted: one provider of an EncryptionConfiguration (apiserver.config.k8s.io/v1). What it writes begins
// with its prefix, "k8s:enc:aescbc:v1:KEY:", so that a reader knows what can open it.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/world.h"

namespace kybern::apiserver::encryption {

struct NamedKey {
  std::string name, secret;  // secret: raw bytes
};

// `where`: the path of the value, which is bound to it (additional authenticated data).
class Provider {
 public:
  struct Sealed {
    std::string bytes, key;  // key: what identifies the key, "aescbc:v1:key1"
  };
  virtual ~Provider() = default;
  virtual bool knows(std::string_view bytes) const = 0;  // by its prefix
  virtual Result<Sealed> seal(std::string_view plain, std::string_view where) = 0;
  virtual Result<Sealed> open(std::string_view bytes, std::string_view where) = 0;  // bytes of the result: plain
  virtual Result<std::string> writes_with() = 0;                                    // the key that seal() would take now
  // Of one that needs a service: whether that answers, and does what it is there for. Known for a while once found out.
  virtual bool needs_service() const { return false; }
  virtual Result<void> health() { return {}; }
};

std::unique_ptr<Provider> identity_provider();
std::unique_ptr<Provider> aes_gcm_provider(std::vector<NamedKey> keys);
std::unique_ptr<Provider> aes_cbc_provider(std::vector<NamedKey> keys);
std::unique_ptr<Provider> secretbox_provider(std::vector<NamedKey> keys);  // keys of 32 bytes

// A key service of the v2 protocol (KEP-3299): it encrypts the seed of this process's keys, not each value.
class KeyService {
 public:
  struct Encrypted {
    std::string ciphertext, key_id;
    std::vector<std::pair<std::string, std::string>> annotations;
  };
  virtual ~KeyService() = default;
  virtual Result<std::string> status() = 0;  // the id of its current key
  virtual Result<Encrypted> encrypt(std::string_view plain, std::string_view uid) = 0;
  virtual Result<std::string> decrypt(const Encrypted& sealed, std::string_view uid) = 0;
};
// Over gRPC on a Unix socket: "unix:///run/kms.sock".
Result<std::unique_ptr<KeyService>> grpc_key_service(const std::string& endpoint, std::chrono::milliseconds timeout);
std::shared_ptr<Provider> kms_provider(std::string name, std::shared_ptr<KeyService> service, World world);

}  // namespace kybern::apiserver::encryption
