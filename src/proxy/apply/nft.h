// The kernel's nftables, through libnftables: one transaction for one script.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"

struct nft_ctx;

namespace kybern::proxy {

// Not thread-safe. Acts on the network namespace of the thread that opened it.
class Nft {
 public:
  static Result<Nft> open();
  // All commands of the script take effect at once, or none. The error is nft's text, shortened.
  Result<void> run(const std::string& script);
  // The output of a list command, numbers as numbers. Code not_found when the table or set does not exist.
  Result<std::string> list(const std::string& command);

 private:
  struct Close {
    void operator()(nft_ctx* context) const;
  };
  explicit Nft(nft_ctx* context) : context_(context) {}
  Result<std::string> execute(const std::string& script);
  std::unique_ptr<nft_ctx, Close> context_;
};

}  // namespace kybern::proxy
