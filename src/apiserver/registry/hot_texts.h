// The JSON of objects that are read again and again: leases, nodes, config maps that somebody polls.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "store/store.h"

namespace kybern::apiserver {

class HotTexts {
 public:
  static constexpr std::size_t max_bytes = 4 << 20;  // of all texts
  static constexpr std::size_t max_text_bytes = 32 << 10;
  static constexpr std::size_t places = 4096;  // an object has one, by its key

  // What write_json() makes of an entry's value. From the second time in a row that its place is asked for this very
  // revision the text is kept, until another object or revision is asked for there, or room is needed.
  std::string of(const store::EntryPtr& entry);

 private:
  struct Place {
    std::uint64_t asked = 0;  // for what, last: key and revision in one number
    store::EntryPtr entry;    // of `text`
    std::string text;
  };
  void forget(Place& place);

  std::mutex mutex_;
  std::vector<Place> places_;  // made when first used
  std::size_t bytes_ = 0, next_ = 0;
};

}  // namespace kybern::apiserver
