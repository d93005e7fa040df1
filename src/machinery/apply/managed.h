// metadata.managedFields in memory: who owns which fields of an object.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "machinery/apply/field_set.h"

namespace kybern::apply {

inline constexpr std::size_t update_managers_max = 10;  // more are merged, the oldest first, into one entry
inline constexpr std::string_view ancient_changes = "ancient-changes";

// One entry. Its fields are decoded when somebody asks; until then they are those of the document that it was read from.
struct Manager {
  std::string name;
  bool applies = false;  // operation Apply; otherwise Update
  std::string api_version;
  std::string subresource;
  std::string time;  // RFC 3339; empty: none
  Value stored;      // FieldsV1, while `decoded` is empty
  std::optional<FieldSet> decoded;

  // An applier is known by its name, whatever version it uses.
  bool is(const Manager& other) const {
    return name == other.name && applies == other.applies && subresource == other.subresource &&
           (applies || api_version == other.api_version);
  }
  std::string printed() const;  // "kubectl" using apps/v1, as conflicts name it
};

class Managed {
 public:
  explicit Managed(FieldTexts& texts) : texts_(texts) {}

  // Of metadata.managedFields. `trusted`: written by this server. Code::invalid as upstream would not decode it.
  Result<void> read(Value entries, bool trusted);
  // What it says when the client asked to forget it: [] or [{}].
  static bool is_reset(Value entries);

  std::vector<Manager> entries;
  FieldTexts& texts() { return texts_; }
  Manager* find(const Manager& id);
  FieldSet& fields(Manager& entry);  // decoded now
  void drop_empty();                 // of the decoded ones
  void cap();                        // at most update_managers_max updates
  // The array, in upstream's order; an empty document when there are no entries.
  Document document() const;

 private:
  FieldTexts& texts_;
};

// Are two lists of entries equal but for their times?
bool same_but_times(Value a, Value b);

}  // namespace kybern::apply
