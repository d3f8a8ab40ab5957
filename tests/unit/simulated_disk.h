// SPDX-License-Identifier: Apache-2.0
// A disk that fails, or that loses unsynced data when its power fails. The definitions below
// replace those of the C library, so that they also get the calls of the shared library of SQLite.
#ifndef SANDPIPER_TESTS_UNIT_SIMULATED_DISK_H_
#define SANDPIPER_TESTS_UNIT_SIMULATED_DISK_H_

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace sandpiper {

class SimulatedDisk {
 public:
  // Whether the next call is an I/O error.
  bool fails = false;
  // The number of writes and syncs until the power fails; negative: never.
  int power = -1;
  // The folder for the files as the disk has them at a power failure. The process ends then.
  std::string afterwards;
  uint32_t seed = 0;

  static SimulatedDisk& Get() {
    static SimulatedDisk disk;
    return disk;
  }

  bool Fails() const {
    if (fails)
      errno = EIO;
    return fails;
  }
  void Write(int fd, const void* data, size_t size, off_t offset) {
    Tick();
    if (power >= 0)
      files_[NameOf(fd)].waiting.push_back(
          {.offset = static_cast<size_t>(offset),
           .bytes = std::string(static_cast<const char*>(data), size)});
  }
  void Truncate(int fd, off_t size) {
    Tick();
    if (power >= 0)
      files_[NameOf(fd)].waiting.push_back({.offset = static_cast<size_t>(size), .truncate = true});
  }
  void Sync(int fd) {
    Tick();
    if (power < 0)
      return;
    File& file = files_[NameOf(fd)];
    for (const Change& change : file.waiting)
      Apply(change, &file.durable);
    file.waiting.clear();
  }

 private:
  static constexpr size_t kSector = 512;  // the unit that a disk writes completely or not at all
  struct Change {
    size_t offset = 0;
    std::string bytes;
    bool truncate = false;
  };
  struct File {
    std::string durable;
    std::vector<Change> waiting;
  };

  static std::string NameOf(int fd) {
    return std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd)).filename();
  }
  static void Apply(const Change& change, std::string* file) {
    if (change.truncate) {
      file->resize(change.offset);
      return;
    }
    file->resize(std::max(file->size(), change.offset + change.bytes.size()));
    file->replace(change.offset, change.bytes.size(), change.bytes);
  }

  void Tick() {
    if (power < 0 || --power > 0)
      return;
    // Each unsynced sector may or may not have reached the disk.
    std::mt19937 random(seed);
    for (auto& [name, file] : files_) {
      for (const Change& change : file.waiting) {
        for (size_t at = 0; !change.truncate && at < change.bytes.size();) {
          const size_t size =
              std::min(kSector - (change.offset + at) % kSector, change.bytes.size() - at);
          if (random() % 2)
            Apply({.offset = change.offset + at, .bytes = change.bytes.substr(at, size)},
                  &file.durable);
          at += size;
        }
        if (change.truncate && random() % 2)
          Apply(change, &file.durable);
      }
      std::ofstream(afterwards + "/" + name, std::ios::binary) << file.durable;
    }
    _exit(0);
  }

  std::map<std::string, File> files_;
};

}  // namespace sandpiper

// Functions with other names for the compiler, because it has declarations of the real ones.
// Include this file in one source only.
ssize_t SimulatedWrite(int fd, const void* data, size_t size, off_t offset) __asm__("pwrite64");
ssize_t SimulatedRead(int fd, void* data, size_t size, off_t offset) __asm__("pread64");
int SimulatedTruncate(int fd, off_t size) __asm__("ftruncate64");
int SimulatedSync(int fd) __asm__("fdatasync");

ssize_t SimulatedWrite(int fd, const void* data, size_t size, off_t offset) {
  sandpiper::SimulatedDisk& disk = sandpiper::SimulatedDisk::Get();
  if (disk.Fails())
    return -1;
  disk.Write(fd, data, size, offset);
  return syscall(SYS_pwrite64, fd, data, size, offset);
}

ssize_t SimulatedRead(int fd, void* data, size_t size, off_t offset) {
  return sandpiper::SimulatedDisk::Get().Fails() ? -1
                                                 : syscall(SYS_pread64, fd, data, size, offset);
}

int SimulatedTruncate(int fd, off_t size) {
  sandpiper::SimulatedDisk& disk = sandpiper::SimulatedDisk::Get();
  if (disk.Fails())
    return -1;
  disk.Truncate(fd, size);
  return static_cast<int>(syscall(SYS_ftruncate, fd, size));
}

int SimulatedSync(int fd) {
  sandpiper::SimulatedDisk& disk = sandpiper::SimulatedDisk::Get();
  if (disk.Fails())
    return -1;
  disk.Sync(fd);
  return static_cast<int>(syscall(SYS_fdatasync, fd));
}

#endif  // SANDPIPER_TESTS_UNIT_SIMULATED_DISK_H_
