// How label, annotate and taint read their words: KEY=VALUE sets, KEY- takes away. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "document/document.h"

namespace kybern::cli {

struct MapEdit {
  std::map<std::string, std::string> set;
  std::vector<std::string> removed;
};
// Splits `TYPE NAME... KEY=VALUE... KEY-...`: the words before the first edit stay in `words`.
Result<MapEdit> take_edits(std::vector<std::string>& words, std::string_view what);

struct TaintEdit {
  struct Taint {
    std::string key, value, effect;
  };
  std::vector<Taint> set, removed;  // a removed one may have no effect: all of the key
};
Result<TaintEdit> take_taints(std::vector<std::string>& words);
// The new list; Code::already_exists when one is there with another value and `overwrite` is false.
Result<Draft> edited_taints(Value current, const TaintEdit& edit, bool overwrite, std::string_view node);

}  // namespace kybern::cli
