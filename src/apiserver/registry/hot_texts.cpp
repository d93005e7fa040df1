#include "apiserver/registry/hot_texts.h"

#include <functional>

#include "document/json.h"

namespace kybern::apiserver {

void HotTexts::forget(Place& place) {
  bytes_ -= place.text.size();
  std::string().swap(place.text);
  place.entry.reset();
}

std::string HotTexts::of(const store::EntryPtr& entry) {
  std::uint64_t hash = std::hash<std::string_view>()(entry->key);
  std::uint64_t asked = hash ^ static_cast<std::uint64_t>(entry->revision) * 0x9e3779b97f4a7c15u;
  bool again = false;
  std::string text;
  {
    std::lock_guard lock(mutex_);
    if (places_.empty()) places_.resize(places);
    Place& place = places_[hash % places];
    if (place.entry == entry) {
      text.reserve(place.text.size() + 1);  // a line's end may follow
      text = place.text;
      return text;
    }
    again = place.asked == asked;
    place.asked = asked;
  }
  write_json(entry->value.root(), text);
  if (!again || text.size() > max_text_bytes) return text;
  std::lock_guard lock(mutex_);
  Place& place = places_[hash % places];
  forget(place);
  for (std::size_t i = 0; bytes_ + text.size() > max_bytes && i < places; ++i) forget(places_[next_++ % places]);
  place.entry = entry;
  place.text = text;
  bytes_ += text.size();
  return text;
}

}  // namespace kybern::apiserver
