#include "proxy/apply/nft.h"

#include <nftables/libnftables.h>

namespace kybern::proxy {
namespace {

constexpr std::size_t max_error_bytes = 500;

std::string first_lines(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  std::string out(text.substr(0, max_error_bytes));
  for (char& c : out) {
    if (c == '\n') c = ' ';
  }
  return out;
}

}  // namespace

void Nft::Close::operator()(nft_ctx* context) const { ::nft_ctx_free(context); }

Result<Nft> Nft::open() {
  nft_ctx* context = ::nft_ctx_new(NFT_CTX_DEFAULT);
  if (context == nullptr) return fail(Code::unavailable, "nftables cannot be opened: no netlink socket");
  Nft out(context);
  if (::nft_ctx_buffer_output(context) != 0 || ::nft_ctx_buffer_error(context) != 0) {
    return fail(Code::unavailable, "nftables cannot be opened: out of memory");
  }
  return out;
}

Result<std::string> Nft::execute(const std::string& script) {
  const int failed = ::nft_run_cmd_from_buffer(context_.get(), script.c_str());
  const char* output = ::nft_ctx_get_output_buffer(context_.get());
  std::string text = output == nullptr ? "" : output;
  const char* errors = ::nft_ctx_get_error_buffer(context_.get());
  if (failed == 0) return text;
  std::string message = first_lines(errors == nullptr ? "" : errors);
  const bool missing = message.find("No such file or directory") != message.npos;
  const bool refused = message.find("Operation not permitted") != message.npos;
  return fail(missing ? Code::not_found : refused ? Code::forbidden : Code::internal, "nftables: " + message);
}

Result<void> Nft::run(const std::string& script) {
  Result<std::string> done = execute(script);
  if (!done) return std::unexpected(done.error());
  return {};
}

Result<std::string> Nft::list(const std::string& command) { return execute(command); }

}  // namespace kybern::proxy
