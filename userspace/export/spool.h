// SPDX-License-Identifier: Apache-2.0
// Requests that could not be sent, on disk, oldest first: they outlive the endpoint's absence, and
// the process. SQLite in WAL mode: an entry is there as a whole or not at all, after kill -9 and
// after a loss of power. Used by one thread.
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

// Of items, as log records, but for `corrupt`, which cannot know.
struct SpoolCounts {
  uint64_t full = 0, old = 0;  // dropped: no room, kept too long
  uint64_t corrupt = 0;        // entries that could not be read
};

class Spool {
 public:
  struct Options {
    std::string path;                   // of the file; its folder is made
    uint64_t bytes_max = 256ull << 20;  // of requests; the file is a little larger
    std::chrono::milliseconds age_max{std::chrono::hours(24)};
  };
  struct Entry {
    int64_t id = 0;
    Request request;
  };

  // Touches nothing yet.
  explicit Spool(const Options& options) : options_(options) {}
  ~Spool();
  Spool(const Spool&) = delete;
  Spool& operator=(const Spool&) = delete;

  // What is no database, or a broken one, is put aside as PATH.broken and counted as one corrupt
  // entry. Another process that uses it: Unavailable. After an error Append tries again.
  absl::Status Open();

  // What it returned from survives a loss of power. Drops the oldest where there is no room. An
  // error, as of a disk that is full: it is not in there.
  absl::Status Append(const Request& request, uint64_t now_unix_ns);
  // The oldest one; those that are too old or broken are dropped first.
  std::optional<Entry> Front(uint64_t now_unix_ns);
  // That one, which was in front, and whatever was before it. A disk that cannot forget it now does
  // so later; a process that begins before that finds it again.
  void Remove(int64_t id);

  uint64_t bytes() const { return bytes_; }
  // When the oldest was written, Unix time in nanoseconds; 0 if there is none.
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
  // The oldest, without its bytes.
  struct Head {
    int64_t id = 0;
    uint64_t time_unix_ns = 0, items = 0, size = 0;
  };
  std::optional<Head> Oldest() const;
  std::optional<Entry> Read(const Head& head) const;
  void Drop(const Head& head);
  void MakeRoom(uint64_t size);
  // Begins anew; the file that is of no use any more stays beside it.
  absl::Status PutAside();
  void Close();

  Options options_;
  sqlite3* database_ = nullptr;
  Statement insert_, oldest_, read_, remove_;
  uint64_t bytes_ = 0;
  int64_t done_ = 0;  // up to here they are removed, whatever is still in the file
  SpoolCounts counts_;
};

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_SPOOL_H_
