// The log's rows to objects: one thread reads, several parse. In a world that is given (StoreOptions) there is one.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "store/sqlite/connection.h"
#include "store/sqlite/retention.h"
#include "store/store.h"

namespace kybern::store {

struct Loaded {
  std::vector<EntryPtr> entries;   // the newest of each key, by key
  std::vector<ChangePtr> changes;  // those behind `compacted`, by revision
  Revision revision = 0;           // the newest that was ever given
  Revision compacted = 0;
  std::size_t live_bytes = 0;  // of the entries, keys and documents included
};

// Also tells `retention` which rows are superseded. Code::internal names a row that is damaged.
// What is sealed is opened by `sealer`, which may be null. A live value that it cannot open: Code::invalid with its words; of
// superseded ones the changes up to their end are left out, as if they were compacted. `alone`: no other thread helps.
Result<Loaded> load_log(Connection& connection, Revision compacted, Retention& retention, Sealer* sealer, bool alone);

// A value as it is in memory: parsed, its blank stamped with the revision.
Result<Document> value_from_json(std::string_view json, Revision revision);

}  // namespace kybern::store
