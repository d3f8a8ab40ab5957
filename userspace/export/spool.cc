// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/spool.h"

#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "userspace/base/private_file.h"
#include "userspace/base/status.h"

namespace sandpiper {
namespace {

constexpr char kSchema[] =
    "CREATE TABLE IF NOT EXISTS requests(id INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT "
    "NULL, items INTEGER NOT NULL, "
    "size INTEGER NOT NULL, crc INTEGER NOT NULL, bytes BLOB NOT NULL)";

int64_t Checksum(const std::string& bytes) {
  return static_cast<int64_t>(
      crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size())));
}

// Runs a prepared statement once. The destructor resets it for the next use.
class Execution {
 public:
  explicit Execution(sqlite3_stmt* statement) : statement_(statement) {}
  ~Execution() {
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
  }
  Execution& Bind(int64_t value) {
    sqlite3_bind_int64(statement_, ++bound_, value);
    return *this;
  }
  Execution& Bind(const std::string& bytes) {
    sqlite3_bind_blob64(statement_, ++bound_, bytes.data(), bytes.size(), SQLITE_STATIC);
    return *this;
  }
  int Step() { return sqlite3_step(statement_); }
  int64_t Integer(int column) const { return sqlite3_column_int64(statement_, column); }
  std::string Blob(int column) const {
    const auto* data = static_cast<const char*>(sqlite3_column_blob(statement_, column));
    return data ? std::string(data, static_cast<size_t>(sqlite3_column_bytes(statement_, column)))
                : std::string();
  }

 private:
  sqlite3_stmt* statement_;
  int bound_ = 0;
};

}  // namespace

absl::Status Spool::Error(const char* what) const {
  const int code = database_ ? sqlite3_errcode(database_) & 0xff : SQLITE_NOMEM;
  const std::string message = absl::StrCat("the spool ", options_.path, ": ", what, ": ",
                                           database_ ? sqlite3_errmsg(database_) : "out of memory");
  switch (code) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR:  // our statements are valid: the file has another format or other tables
      return absl::DataLossError(message);
    case SQLITE_READONLY:
      // If the file is writable, its format needs a newer SQLite.
      return sqlite3_extended_errcode(database_) == SQLITE_READONLY &&
                     access(options_.path.c_str(), W_OK) == 0
                 ? absl::DataLossError(message)
                 : absl::InternalError(message);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::UnavailableError(absl::StrCat(message, ": another sandpiper uses it"));
    case SQLITE_FULL:
      return absl::ResourceExhaustedError(message);
    default:
      return absl::InternalError(message);
  }
}

absl::Status Spool::Run(const char* sql) {
  return sqlite3_exec(database_, sql, nullptr, nullptr, nullptr) == SQLITE_OK ? absl::OkStatus()
                                                                              : Error(sql);
}

absl::Status Spool::Prepare(const char* sql, Statement* out) {
  return sqlite3_prepare_v2(database_, sql, -1, &out->statement, nullptr) == SQLITE_OK
             ? absl::OkStatus()
             : Error(sql);
}

absl::Status Spool::Load() {
  // Records are private. Closed again before SQLite opens it, because a close would end its locks.
  ASSIGN_OR_RETURN(UniqueFd file, OpenPrivateFile(options_.path, "the spool"));
  file.reset();
  const mode_t before = umask(0077);  // for the files beside it
  const int opened = sqlite3_open_v2(options_.path.c_str(), &database_,
                                     SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
  umask(before);
  if (opened != SQLITE_OK)
    return Error("cannot open");
  RETURN_IF_ERROR(Run("PRAGMA locking_mode=EXCLUSIVE"));
  RETURN_IF_ERROR(Run("PRAGMA auto_vacuum=FULL"));
  RETURN_IF_ERROR(Run("PRAGMA journal_mode=WAL"));
  RETURN_IF_ERROR(Run("PRAGMA synchronous=FULL"));
  RETURN_IF_ERROR(Run(kSchema));
  RETURN_IF_ERROR(Prepare(
      "INSERT INTO requests(time, items, size, crc, bytes) VALUES(?, ?, ?, ?, ?)", &insert_));
  RETURN_IF_ERROR(Prepare(
      "SELECT id, time, items, size FROM requests WHERE id > ? ORDER BY id LIMIT 1", &oldest_));
  RETURN_IF_ERROR(Prepare("SELECT crc, bytes FROM requests WHERE id = ?", &read_));
  RETURN_IF_ERROR(Prepare("DELETE FROM requests WHERE id <= ?", &remove_));
  Statement sums;
  RETURN_IF_ERROR(Prepare("SELECT COALESCE(SUM(size), 0) FROM requests", &sums));
  const bool read = sqlite3_step(sums.statement) == SQLITE_ROW;
  bytes_ = read ? static_cast<uint64_t>(sqlite3_column_int64(sums.statement, 0)) : 0;
  done_ = 0;
  sqlite3_finalize(sums.statement);
  return read ? absl::OkStatus() : Error("cannot read");
}

absl::Status Spool::PutAside() {
  Close();
  std::error_code error;
  for (const char* ending : {"", "-wal", "-shm"})
    std::filesystem::rename(options_.path + ending, options_.path + ".broken" + ending, error);
  ++counts_.corrupt;
  return Load();
}

absl::Status Spool::Open() {
  std::error_code error;
  std::filesystem::create_directories(std::filesystem::path(options_.path).parent_path(), error);
  absl::Status status = Load();
  if (absl::IsDataLoss(status))
    status = PutAside();
  if (!status.ok())
    Close();
  return status;
}

void Spool::Close() {
  for (Statement* statement : {&insert_, &oldest_, &read_, &remove_}) {
    sqlite3_finalize(statement->statement);
    statement->statement = nullptr;
  }
  sqlite3_close(database_);
  database_ = nullptr;
  bytes_ = 0;
}

Spool::~Spool() { Close(); }

std::optional<Spool::Head> Spool::Oldest() const {
  if (!database_)
    return std::nullopt;
  Execution select(oldest_.statement);
  if (select.Bind(done_).Step() != SQLITE_ROW)
    return std::nullopt;
  return Head{.id = select.Integer(0),
              .time_unix_ns = static_cast<uint64_t>(select.Integer(1)),
              .items = static_cast<uint64_t>(select.Integer(2)),
              .size = static_cast<uint64_t>(select.Integer(3))};
}

uint64_t Spool::oldest_unix_ns() const {
  const auto head = Oldest();
  return head ? head->time_unix_ns : 0;
}

void Spool::Drop(const Head& head) {
  bytes_ -= std::min(bytes_, head.size);
  done_ = head.id;
  Execution(remove_.statement).Bind(done_).Step();
}

void Spool::Remove(int64_t id) {
  for (auto head = Oldest(); head && head->id <= id; head = Oldest())
    Drop(*head);
}

void Spool::MakeRoom(uint64_t size) {
  while (bytes_ + size > options_.bytes_max) {
    const auto head = Oldest();
    if (!head)
      return;
    counts_.full += head->items;
    Drop(*head);
  }
}

absl::Status Spool::Insert(const Request& request, uint64_t now_unix_ns) {
  Execution insert(insert_.statement);
  insert.Bind(static_cast<int64_t>(now_unix_ns))
      .Bind(static_cast<int64_t>(request.items))
      .Bind(static_cast<int64_t>(request.bytes.size()));
  if (insert.Bind(Checksum(request.bytes)).Bind(request.bytes).Step() != SQLITE_DONE)
    return Error("cannot write");
  bytes_ += request.bytes.size();
  return absl::OkStatus();
}

absl::Status Spool::Append(const Request& request, uint64_t now_unix_ns) {
  if (!database_)
    RETURN_IF_ERROR(Open());
  if (request.bytes.size() > options_.bytes_max) {
    counts_.full += request.items;
    return absl::OkStatus();
  }
  MakeRoom(request.bytes.size());
  absl::Status status = Insert(request, now_unix_ns);
  if (absl::IsDataLoss(status)) {
    RETURN_IF_ERROR(PutAside());
    status = Insert(request, now_unix_ns);
  }
  return status;
}

std::optional<Spool::Entry> Spool::Read(const Head& head) const {
  Execution read(read_.statement);
  if (read.Bind(head.id).Step() != SQLITE_ROW)
    return std::nullopt;
  Entry entry = {.id = head.id, .request = {.bytes = read.Blob(1), .items = head.items}};
  return read.Integer(0) == Checksum(entry.request.bytes) ? std::optional(std::move(entry))
                                                          : std::nullopt;
}

std::optional<Spool::Entry> Spool::Front(uint64_t now_unix_ns) {
  const auto age_max = static_cast<uint64_t>(std::chrono::nanoseconds(options_.age_max).count());
  while (bytes_ > 0) {
    const auto head = Oldest();
    if (!head) {
      // bytes_ says that there are more entries, so the file cannot be read any more.
      [[maybe_unused]] const absl::Status status = PutAside();
      return std::nullopt;
    }
    const bool old = now_unix_ns > head->time_unix_ns + age_max;
    if (auto entry = old ? std::nullopt : Read(*head))
      return entry;
    (old ? counts_.old : counts_.corrupt) += old ? head->items : 1;
    Drop(*head);
  }
  return std::nullopt;
}

}  // namespace sandpiper
