#include "store/sqlite/connection.h"

#include <sqlite3.h>

#include <utility>

namespace kybern::store {

Error sqlite_error(const std::string& path, int code, std::string_view detail) {
  auto text = [&](const char* what, const char* help) { return path + what + " (" + std::string(detail) + ")" + help; };
  switch (code & 0xff) {
    case SQLITE_FULL: return {Code::unavailable, text(": the disk is full", ": nothing was written; free some space")};
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return {Code::unavailable, text(" is in use by another process", ": only one server may have the file open; stop the other one")};
    case SQLITE_READONLY:
    case SQLITE_PERM:
      return {Code::unavailable, text(" is read-only", ": the server needs to write the file and its folder; nothing was written")};
    case SQLITE_CANTOPEN:
    case SQLITE_AUTH:
      return {Code::unavailable, text(" cannot be opened", ": check that its folder exists and that the server may write there")};
    case SQLITE_CORRUPT:
      return {Code::internal,
              text(" is damaged", ": nothing was overwritten; restore a backup, or move the file away to begin with an empty cluster")};
    case SQLITE_NOTADB:
      return {Code::internal, text(" is not a database, or its beginning is damaged",
                                   ": nothing was overwritten; restore a backup, or move the file away to begin with an empty cluster")};
    case SQLITE_IOERR: return {Code::unavailable, text(": the disk failed", ": nothing was written; check the disk")};
    default: return {Code::unavailable, text(": the database failed", "")};
  }
}

Statement::Statement(Statement&& other) noexcept : statement_(std::exchange(other.statement_, nullptr)) {}
Statement& Statement::operator=(Statement&& other) noexcept {
  std::swap(statement_, other.statement_);
  return *this;
}
Statement::~Statement() { sqlite3_finalize(statement_); }

Statement& Statement::bind(int index, std::int64_t value) {
  sqlite3_bind_int64(statement_, index, value);
  return *this;
}
Statement& Statement::bind_text(int index, std::string_view text) {
  sqlite3_bind_text64(statement_, index, text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8);
  return *this;
}
Statement& Statement::bind_blob(int index, std::string_view bytes) {
  // A null pointer would bind NULL.
  sqlite3_bind_blob64(statement_, index, bytes.data() ? bytes.data() : "", bytes.size(), SQLITE_STATIC);
  return *this;
}
Statement& Statement::bind_null(int index) {
  sqlite3_bind_null(statement_, index);
  return *this;
}

int Statement::step() { return sqlite3_step(statement_); }
void Statement::reset() { sqlite3_reset(statement_); }
int Statement::run() {
  int code;
  while ((code = sqlite3_step(statement_)) == SQLITE_ROW) {}
  int reset = sqlite3_reset(statement_);
  return code == SQLITE_DONE ? reset : code;
}

std::int64_t Statement::integer(int column) { return sqlite3_column_int64(statement_, column); }
std::string_view Statement::bytes(int column) {
  const void* data = sqlite3_column_blob(statement_, column);
  auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_, column));
  return data ? std::string_view(static_cast<const char*>(data), size) : std::string_view();
}
bool Statement::is_null(int column) { return sqlite3_column_type(statement_, column) == SQLITE_NULL; }

Result<Connection> Connection::open(const std::string& path, bool create) {
  sqlite3* db = nullptr;
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | (create ? SQLITE_OPEN_CREATE : 0);
  int code = sqlite3_open_v2(path.c_str(), &db, flags, nullptr);
  if (code != SQLITE_OK) {
    Error error = sqlite_error(path, code, db ? sqlite3_errmsg(db) : sqlite3_errstr(code));
    sqlite3_close(db);
    return std::unexpected(std::move(error));
  }
  return Connection(db, path);
}

Result<Connection> Connection::open_unchanging(const std::string& path) {
  std::string uri = "file:";
  for (char c : path) {
    if (c == '%' || c == '?' || c == '#') {
      constexpr char digits[] = "0123456789abcdef";
      uri += {'%', digits[static_cast<unsigned char>(c) >> 4], digits[static_cast<unsigned char>(c) & 15]};
    } else {
      uri += c;
    }
  }
  uri += "?immutable=1";
  sqlite3* db = nullptr;
  int code =
      sqlite3_open_v2(uri.c_str(), &db, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  if (code != SQLITE_OK) {
    Error error = sqlite_error(path, code, db ? sqlite3_errmsg(db) : sqlite3_errstr(code));
    sqlite3_close(db);
    return std::unexpected(std::move(error));
  }
  return Connection(db, path);
}

Connection::Connection(Connection&& other) noexcept : db_(std::exchange(other.db_, nullptr)), path_(std::move(other.path_)) {}
Connection::~Connection() { sqlite3_close_v2(db_); }

Error Connection::error(int code) const {
  // The message of the connection tells more, when it is about this code.
  bool same = sqlite3_extended_errcode(db_) == code;
  return sqlite_error(path_, code, same ? sqlite3_errmsg(db_) : sqlite3_errstr(code));
}

int Connection::run(const char* sql) { return sqlite3_exec(db_, sql, nullptr, nullptr, nullptr); }

Result<void> Connection::execute(const char* sql) {
  if (int code = run(sql); code != SQLITE_OK) return std::unexpected(error(code));
  return {};
}

Result<Statement> Connection::prepare(const char* sql) {
  sqlite3_stmt* statement = nullptr;
  int code = sqlite3_prepare_v3(db_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
  if (code != SQLITE_OK) return std::unexpected(error(code));
  return Statement(statement);
}

Result<std::int64_t> Connection::number(const char* sql) {
  Result<Statement> statement = prepare(sql);
  if (!statement) return std::unexpected(statement.error());
  int code = statement->step();
  if (code == SQLITE_ROW) return statement->integer(0);
  return code == SQLITE_DONE ? Result<std::int64_t>(0) : std::unexpected(error(code));
}

}  // namespace kybern::store
