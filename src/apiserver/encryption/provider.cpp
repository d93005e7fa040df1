#include "apiserver/encryption/provider.h"

#include <fmt/format.h>

#include <optional>

#include "net/certificates.h"
#include "net/cipher.h"

namespace kybern::apiserver::encryption {
namespace {

constexpr std::string_view every_prefix = "k8s:enc:";

class Identity final : public Provider {
 public:
  bool knows(std::string_view bytes) const override { return !bytes.starts_with(every_prefix); }
  Result<Sealed> seal(std::string_view plain, std::string_view) override { return Sealed{std::string(plain), ""}; }
  Result<Sealed> open(std::string_view bytes, std::string_view) override {
    if (!knows(bytes)) return fail(Code::invalid, "identity transformer tried to read encrypted data");
    return Sealed{std::string(bytes), ""};
  }
  Result<std::string> writes_with() override { return std::string(); }
};

constexpr std::size_t secretbox_nonce_bytes = 24;

Result<std::string> seal_box(std::string_view key, std::string_view plain) {
  std::string nonce = net::random_bytes(secretbox_nonce_bytes);
  auto box = net::seal_secretbox(key, nonce, plain);
  if (!box) return box;
  return nonce + *box;
}
Result<std::string> open_box(std::string_view key, std::string_view sealed) {
  if (sealed.size() < secretbox_nonce_bytes) return fail(Code::invalid, "the stored data was shorter than the required size");
  return net::open_secretbox(key, sealed.substr(0, secretbox_nonce_bytes), sealed.substr(secretbox_nonce_bytes));
}

// Under one of several keys, whose name stands before what it has sealed. Only GCM binds a value to its place.
class Keyed final : public Provider {
 public:
  enum class Cipher { gcm, cbc, secretbox };
  Keyed(std::string kind, Cipher cipher, std::vector<NamedKey> keys)
      : prefix_(fmt::format("{}{}:v1:", every_prefix, kind)), cipher_(cipher), keys_(std::move(keys)) {}
  bool knows(std::string_view bytes) const override { return bytes.starts_with(prefix_); }
  Result<Sealed> seal(std::string_view plain, std::string_view where) override {
    const NamedKey& key = keys_.front();
    auto sealed = cipher_ == Cipher::gcm   ? net::seal_gcm(key.secret, plain, where)
                  : cipher_ == Cipher::cbc ? net::seal_cbc(key.secret, plain)
                                           : seal_box(key.secret, plain);
    if (!sealed) return std::unexpected(sealed.error());
    return Sealed{prefix_ + key.name + ":" + *sealed, id(key)};
  }
  Result<Sealed> open(std::string_view bytes, std::string_view where) override {
    std::string_view rest = bytes.substr(prefix_.size());
    std::optional<Error> last;
    for (const NamedKey& key : keys_) {
      if (!rest.starts_with(key.name) || rest.size() <= key.name.size() || rest[key.name.size()] != ':') continue;
      std::string_view sealed = rest.substr(key.name.size() + 1);
      auto plain = cipher_ == Cipher::gcm   ? net::open_gcm(key.secret, sealed, where)
                   : cipher_ == Cipher::cbc ? net::open_cbc(key.secret, sealed)
                                            : open_box(key.secret, sealed);
      if (plain) return Sealed{std::move(*plain), id(key)};
      last = plain.error();
    }
    if (last) return std::unexpected(*last);
    return fail(Code::invalid, fmt::format("no matching key was found for the provided {} transformer",
                                           cipher_ == Cipher::secretbox ? "Secretbox" : "AES"));
  }
  Result<std::string> writes_with() override { return id(keys_.front()); }

 private:
  std::string id(const NamedKey& key) const { return prefix_ + key.name; }
  const std::string prefix_;
  const Cipher cipher_;
  const std::vector<NamedKey> keys_;
};

}  // namespace

std::unique_ptr<Provider> identity_provider() { return std::make_unique<Identity>(); }
std::unique_ptr<Provider> aes_gcm_provider(std::vector<NamedKey> keys) {
  return std::make_unique<Keyed>("aesgcm", Keyed::Cipher::gcm, std::move(keys));
}
std::unique_ptr<Provider> aes_cbc_provider(std::vector<NamedKey> keys) {
  return std::make_unique<Keyed>("aescbc", Keyed::Cipher::cbc, std::move(keys));
}
std::unique_ptr<Provider> secretbox_provider(std::vector<NamedKey> keys) {
  return std::make_unique<Keyed>("secretbox", Keyed::Cipher::secretbox, std::move(keys));
}

}  // namespace kybern::apiserver::encryption
