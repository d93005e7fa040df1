// Opening the log's file: what must hold before a byte of it is read or written.
#pragma once

#include <string>

#include "base/result.h"
#include "store/sqlite/connection.h"

namespace kybern::store {

// The file exists then with its tables, is locked for this process, and is of this program and of a format it knows.
Result<Connection> open_log_file(const std::string& path);

// For a file made or renamed: its folder is on disk too.
Result<void> sync_folder_of(const std::string& path);

}  // namespace kybern::store
