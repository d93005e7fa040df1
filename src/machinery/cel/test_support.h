// What the tests of expressions share. Not part of the library.
#pragma once

#include <gtest/gtest.h>

#include <string_view>

#include "document/document.h"
#include "document/json.h"

namespace kybern::cel::test {

inline Document json(std::string_view text) {
  auto out = parse_json(text);
  EXPECT_TRUE(out) << text;
  return out ? *out : Document();
}

}  // namespace kybern::cel::test
