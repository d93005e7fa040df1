// Encryption of stored values by a file of apiserver.config.k8s.io/v1 EncryptionConfiguration: for each resource the first
// provider writes, all of them read.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "apiserver/encryption/provider.h"
#include "apiserver/outside/config_follower.h"
#include "base/world.h"
#include "store/sealer.h"

namespace kybern::apiserver::encryption {

// The providers of some resources.
struct Group {
  std::vector<std::string> resources;  // "secrets", "deployments.apps", "*.apps", "*.", "*.*"
  std::vector<std::shared_ptr<Provider>> providers;
};
using Configuration = std::vector<Group>;
// Code::invalid with what is wrong.
Result<Configuration> read_configuration(std::string_view yaml, World world);

class Encryption final : public store::Sealer {
 public:
  static Result<std::unique_ptr<Encryption>> open(std::string file, World world);
  // Reads the file again when it has changed. A bad one changes nothing.
  void follow(Duration interval);

  // How the key services fare, in the order of the file. May wait for them.
  std::vector<Result<void>> services() const;

  bool concerns(std::string_view key) const override;
  Result<Sealed> seal(std::string_view key, std::string_view json) override;
  Result<Sealed> open(std::string_view key, std::string_view bytes) override;
  void note(std::string_view key, std::uint32_t mark) override;
  void forget(std::string_view key) override;
  bool stale(std::string_view key) const override;

 private:
  Encryption(std::string file, std::string text, World world) : file_(std::move(file)), text_(std::move(text)), world_(world) {}
  Result<void> take(const std::string& text);
  std::shared_ptr<const Configuration> current() const;
  static const Group* group_of(const Configuration& configuration, std::string_view key);
  std::uint32_t mark_of(const std::string& key_id) const;  // with the lock held

  const std::string file_, text_;  // as it was at the start
  World world_;
  mutable std::mutex mutex_;
  std::shared_ptr<const Configuration> configuration_;
  mutable std::unordered_map<std::string, std::uint32_t> marks_;  // of key ids
  std::unordered_map<std::string, std::uint32_t> values_;         // by which key each concerned value lies on disk
  std::unique_ptr<ConfigFollower> follower_;                      // the last, as it takes texts for this
};

}  // namespace kybern::apiserver::encryption
