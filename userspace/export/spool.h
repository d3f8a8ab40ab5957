// SPDX-License-Identifier: Apache-2.0
// Stores requests that could not be sent on disk, so that they survive an outage of the endpoint
// and the end of the process. The first request in is the first out. It is an SQLite database in
// WAL mode: after kill -9 or a loss of power an entry is there completely or not at all. Used by
// one thread at a time.
#ifndef SANDPIPER_USERSPACE_EXPORT_SPOOL_H_
#define SANDPIPER_USERSPACE_EXPORT_SPOOL_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "userspace/export/request.h"

struct sqlite3;
struct sqlite3_stmt;

namespace sandpiper {

// Lost items (log records), except `corrupt`: the items of an unreadable entry are not known.
struct SpoolCounts {
  uint64_t full = 0, old = 0;  // dropped: over bytes_max, over age_max
  uint64_t corrupt = 0;        // entries that could not be read
};

class Spool {
 public:
  struct Options {
    std::string path;                   // the file; its folder is created
    uint64_t bytes_max = 256ull << 20;  // sum of the requests; the file is a little larger
    std::chrono::milliseconds age_max{std::chrono::hours(24)};
  };
  struct Entry {
    int64_t id = 0;
    Request request;
  };

  // Does not touch the disk yet.
  explicit Spool(const Options& options) : options_(options) {}
  ~Spool();
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;

  // Opens or creates the file. A file that is not a valid database is renamed to PATH.broken and
  // counted as one corrupt entry. Unavailable: another process uses the file. After an error,
  // Append tries to open it again.
  absl::Status Open();

  // Drops the oldest entries if there is no room. Once it returns OK, the request survives a loss
  // of power. After an error, such as a full disk, the request is not stored.
  absl::Status Append(const Request& request, uint64_t now_unix_ns);
  // The oldest entry. Drops entries that are too old or broken before it.
  std::optional<Entry> Front(uint64_t now_unix_ns);
  // Removes the entry that Front() returned, and all older ones. If the disk fails, the next
  // removal deletes it from the file. A process that starts before that finds it again.
  void Remove(int64_t id);

  uint64_t bytes() const { return bytes_; }
  // The time when the oldest entry was written, Unix time in nanoseconds; 0 if there is none.
  uint64_t oldest_unix_ns() const;
  const SpoolCounts& counts() const { return counts_; }

 private:
  struct Statement {
    sqlite3_stmt* statement = nullptr;
  };
  absl::Status Load();
  absl::Status Insert(const Request& request, uint64_t now_unix_ns);
  absl::Status Run(const char* sql);
  absl::Status Prepare(const char* sql, Statement* out);
  absl::Status Error(const char* what) const;
  // An entry without its bytes.
  struct Head {
    int64_t id = 0;
    uint64_t time_unix_ns = 0, items = 0, size = 0;
  };
  std::optional<Head> Oldest() const;
  std::optional<Entry> Read(const Head& head) const;
  void Drop(const Head& head);
  void MakeRoom(uint64_t size);
  // Renames the unusable file and begins with a new one.
  absl::Status PutAside();
  void Close();

  Options options_;
  sqlite3* database_ = nullptr;
  Statement insert_, oldest_, read_, remove_;
  uint64_t bytes_ = 0;
  int64_t done_ = 0;  // entries up to this id are removed, even if the file still has them
  SpoolCounts counts_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_SPOOL_H_
