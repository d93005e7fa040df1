// metadata.resourceVersion of a value that is stored: kept blank in its bytes, stamped with the revision in memory.
#pragma once

#include <charconv>

#include "document/document.h"
#include "store/store.h"

namespace kybern::store {

// Absent when the value has no blank.
inline Value stamp_slot(const Document& value) {
  Value slot = value["metadata"]["resourceVersion"];
  return slot.as_string() == Document::stamp_blank() ? slot : Value();
}

// `value` has a single owner. Does nothing when it has no blank.
inline void stamp_revision(Document& value, Revision revision) {
  Value slot = stamp_slot(value);
  if (!slot) return;
  char text[Document::stamp_width];
  auto end = std::to_chars(text, text + sizeof text, revision).ptr;
  value.stamp(slot, std::string_view(text, static_cast<std::size_t>(end - text)));
}

}  // namespace kybern::store
