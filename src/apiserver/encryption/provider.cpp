#include "apiserver/encryption/provider.h"

#include <fmt/format.h>

#include <optional>

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

class Aes final : public Provider {
 public:
  Aes(std::string kind, bool authenticated, std::vector<NamedKey> keys)
      : prefix_(fmt::format("{}{}:v1:", every_prefix, kind)), authenticated_(authenticated), keys_(std::move(keys)) {}
  bool knows(std::string_view bytes) const override { return bytes.starts_with(prefix_); }
  Result<Sealed> seal(std::string_view plain, std::string_view where) override {
    const NamedKey& key = keys_.front();
    auto sealed = authenticated_ ? net::seal_gcm(key.secret, plain, where) : net::seal_cbc(key.secret, plain);
    if (!sealed) return std::unexpected(sealed.error());
    return Sealed{prefix_ + key.name + ":" + *sealed, id(key)};
  }
  Result<Sealed> open(std::string_view bytes, std::string_view where) override {
    std::string_view rest = bytes.substr(prefix_.size());
    std::optional<Error> last;
    for (const NamedKey& key : keys_) {
      if (!rest.starts_with(key.name) || rest.size() <= key.name.size() || rest[key.name.size()] != ':') continue;
      std::string_view sealed = rest.substr(key.name.size() + 1);
      auto plain = authenticated_ ? net::open_gcm(key.secret, sealed, where) : net::open_cbc(key.secret, sealed);
      if (plain) return Sealed{std::move(*plain), id(key)};
      last = plain.error();
    }
    if (last) return std::unexpected(*last);
    return fail(Code::invalid, "no matching key was found for the provided AES transformer");
  }
  Result<std::string> writes_with() override { return id(keys_.front()); }

 private:
  std::string id(const NamedKey& key) const { return prefix_ + key.name; }
  const std::string prefix_;
  const bool authenticated_;
  const std::vector<NamedKey> keys_;
};

}  // namespace

std::unique_ptr<Provider> identity_provider() { return std::make_unique<Identity>(); }
std::unique_ptr<Provider> aes_gcm_provider(std::vector<NamedKey> keys) { return std::make_unique<Aes>("aesgcm", true, std::move(keys)); }
std::unique_ptr<Provider> aes_cbc_provider(std::vector<NamedKey> keys) { return std::make_unique<Aes>("aescbc", false, std::move(keys)); }

}  // namespace kybern::apiserver::encryption
