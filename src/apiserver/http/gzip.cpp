#include "apiserver/http/gzip.h"

#include <zlib.h>

#include <array>

#include "base/check.h"
#include "base/strings.h"

namespace kybern::apiserver {
namespace {
constexpr int level = 1;                   // upstream's: most of the gain for the least work
constexpr int window_bits_gzip = 15 + 16;  // zlib.h: 16 asks for the gzip format
constexpr int window_bits_raw = -15;       // and a negative number for no frame
constexpr std::size_t step_bytes = 32 << 10;

int window_bits(Packing packing) { return packing == Packing::gzip ? window_bits_gzip : window_bits_raw; }
}  // namespace

bool accepts_gzip(std::string_view accept_encoding) {
  for (std::string_view one : split(accept_encoding, ',')) {
    std::string_view name = trim(one.substr(0, one.find(';')));
    if (!equals_ignore_case(name, "gzip")) continue;
    std::size_t quality = one.find("q=0");
    return quality == std::string_view::npos || one.substr(quality).find_first_of("123456789") != std::string_view::npos;
  }
  return false;
}

struct Gzip::State {
  z_stream z{};
};

Gzip::Gzip(Packing packing) : state_(std::make_unique<State>()) {
  KYBERN_CHECK(deflateInit2(&state_->z, level, Z_DEFLATED, window_bits(packing), 8, Z_DEFAULT_STRATEGY) == Z_OK,
               "zlib has memory for a stream");
}
Gzip::~Gzip() { deflateEnd(&state_->z); }

void Gzip::add(std::string_view text, bool last, std::string& out) {
  z_stream& z = state_->z;
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  z.avail_in = static_cast<uInt>(text.size());
  while (true) {
    std::size_t at = out.size();
    out.resize(at + step_bytes);
    z.next_out = reinterpret_cast<Bytef*>(out.data() + at);
    z.avail_out = static_cast<uInt>(step_bytes);
    int result = deflate(&z, last ? Z_FINISH : Z_NO_FLUSH);
    KYBERN_CHECK(result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR, "deflate does not fail on valid streams");
    out.resize(at + step_bytes - z.avail_out);
    if (last ? result == Z_STREAM_END : z.avail_out > 0) return;
  }
}

struct Gunzip::State {
  z_stream z{};
  bool ended = false;
};

Gunzip::Gunzip(Packing packing) : state_(std::make_unique<State>()) {
  KYBERN_CHECK(inflateInit2(&state_->z, window_bits(packing)) == Z_OK, "zlib has memory for a stream");
}
Gunzip::~Gunzip() { inflateEnd(&state_->z); }

bool Gunzip::add(std::string_view packed, const std::function<bool(std::string_view)>& plain) {
  z_stream& z = state_->z;
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  z.avail_in = static_cast<uInt>(packed.size());
  std::array<char, step_bytes> piece;
  while (!state_->ended) {
    z.next_out = reinterpret_cast<Bytef*>(piece.data());
    z.avail_out = static_cast<uInt>(piece.size());
    int result = inflate(&z, Z_NO_FLUSH);
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) return false;
    std::size_t bytes = piece.size() - z.avail_out;
    if (bytes > 0 && !plain({piece.data(), bytes})) return false;
    state_->ended = result == Z_STREAM_END;
    if (z.avail_out > 0) break;  // more is needed
  }
  return true;
}

std::string gzip(std::string_view text) {
  Gzip stream;
  std::string out;
  stream.add(text, true, out);
  return out;
}

}  // namespace kybern::apiserver
