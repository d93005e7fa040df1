// A connection to one SQLite file and its prepared statements; SQLite's errors as ours.
//
// Not for several threads at once.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

struct sqlite3;
struct sqlite3_stmt;

namespace kybern::store {

// In sentences a person can act on. Code::internal: the file is damaged; anything else is Code::unavailable.
Error sqlite_error(const std::string& path, int extended_code, std::string_view detail);

class Statement {
 public:
  Statement() = default;
  explicit Statement(sqlite3_stmt* statement) : statement_(statement) {}
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&& other) noexcept;
  ~Statement();

  // Texts and blobs are not copied: they stay valid until run() or reset().
  Statement& bind(int index, std::int64_t value);
  Statement& bind_text(int index, std::string_view text);
  Statement& bind_blob(int index, std::string_view bytes);
  Statement& bind_null(int index);
  int run();   // to the end, then reset; an SQLite code, SQLITE_OK for success
  int step();  // SQLITE_ROW, SQLITE_DONE or an error
  void reset();

  std::int64_t integer(int column);
  std::string_view bytes(int column);  // valid until the next step()
  bool is_null(int column);

 private:
  sqlite3_stmt* statement_ = nullptr;
};

class Connection {
 public:
  static Result<Connection> open(const std::string& path, bool create);
  // To read a file that nobody changes meanwhile and that no write-ahead log belongs to: beside a connection that holds its lock.
  static Result<Connection> open_unchanging(const std::string& path);
  Connection(Connection&& other) noexcept;
  Connection& operator=(Connection&&) = delete;
  ~Connection();

  sqlite3* handle() const { return db_; }
  const std::string& path() const { return path_; }
  Error error(int code) const;  // what the last call that failed with `code` means
  int run(const char* sql);     // an SQLite code
  Result<void> execute(const char* sql);
  Result<std::int64_t> number(const char* sql);  // first column of the first row
  Result<Statement> prepare(const char* sql);

 private:
  Connection(sqlite3* db, std::string path) : db_(db), path_(std::move(path)) {}
  sqlite3* db_;
  std::string path_;
};

}  // namespace kybern::store
