#include "apiserver/http/gzip.h"

#include <gtest/gtest.h>
#include <zlib.h>

namespace kybern::apiserver {
namespace {

std::string gunzip(const std::string& bytes) {
  z_stream z{};
  EXPECT_EQ(inflateInit2(&z, 15 + 16), Z_OK);
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  z.avail_in = static_cast<uInt>(bytes.size());
  std::string out;
  int result = Z_OK;
  while (result == Z_OK) {
    char piece[4096];
    z.next_out = reinterpret_cast<Bytef*>(piece);
    z.avail_out = sizeof piece;
    result = inflate(&z, Z_NO_FLUSH);
    out.append(piece, sizeof piece - z.avail_out);
  }
  EXPECT_EQ(result, Z_STREAM_END);
  EXPECT_EQ(z.avail_in, 0u);
  inflateEnd(&z);
  return out;
}

TEST(Gzip, WhoAcceptsIt) {
  struct Row {
    const char* header;
    bool accepts;
  };
  for (Row row : {Row{"", false},
                  {"gzip", true},
                  {"deflate, gzip", true},
                  {"br;q=1, gzip;q=0.5", true},
                  {"gzip;q=0", false},
                  {"identity", false},
                  {"GZIP", true}})
    EXPECT_EQ(accepts_gzip(row.header), row.accepts) << row.header;
}

TEST(Gzip, ComesBackWholeAndInPieces) {
  std::string text;
  for (int i = 0; i < 50000; ++i) text += "{\"name\":\"pod-" + std::to_string(i * 7919 % 50000) + "\"},";
  EXPECT_EQ(gunzip(gzip(text)), text);
  EXPECT_EQ(gunzip(gzip("")), "");
  EXPECT_LT(gzip(text).size(), text.size() / 4);
  Gzip stream;
  std::string out;
  for (std::size_t at = 0; at < text.size(); at += 70000)
    stream.add(std::string_view(text).substr(at, 70000), at + 70000 >= text.size(), out);
  EXPECT_EQ(gunzip(out), text);
}

}  // namespace
}  // namespace kybern::apiserver
