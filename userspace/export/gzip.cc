// SPDX-License-Identifier: Apache-2.0
#include "userspace/export/gzip.h"

#include <zlib.h>

#include <algorithm>

namespace sandpiper {
namespace {

// windowBits of zlib: 15 is the largest window, and 16 more selects gzip's header.
constexpr int kGzipWindow = 15 + 16;
constexpr size_t kPiece = 64 << 10;

Bytef* Bytes(const std::string& text) {
  return reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
}

}  // namespace

std::string Gzip(const std::string& in) {
  z_stream stream = {};
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzipWindow, 8,
                   Z_DEFAULT_STRATEGY) != Z_OK)
    return "";
  std::string out(deflateBound(&stream, in.size()), '\0');
  stream.next_in = Bytes(in);
  stream.avail_in = static_cast<uInt>(in.size());
  stream.next_out = Bytes(out);
  stream.avail_out = static_cast<uInt>(out.size());
  const bool done = deflate(&stream, Z_FINISH) == Z_STREAM_END;
  out.resize(done ? stream.total_out : 0);
  deflateEnd(&stream);
  return out;
}

bool IsGzip(const std::string& in) { return in.starts_with("\x1f\x8b"); }

std::optional<std::string> Gunzip(const std::string& in, size_t max) {
  z_stream stream = {};
  if (inflateInit2(&stream, kGzipWindow) != Z_OK)
    return std::nullopt;
  stream.next_in = Bytes(in);
  stream.avail_in = static_cast<uInt>(in.size());
  std::string out;
  int status = Z_OK;
  while (status == Z_OK && out.size() <= max) {
    const size_t before = out.size(), room = std::min(kPiece, max + 1 - before);
    out.resize(before + room);
    stream.next_out = Bytes(out) + before;
    stream.avail_out = static_cast<uInt>(room);
    status = inflate(&stream, Z_NO_FLUSH);
    out.resize(before + room - stream.avail_out);
  }
  inflateEnd(&stream);
  return status == Z_STREAM_END && out.size() <= max ? std::optional(std::move(out)) : std::nullopt;
}

}  // namespace sandpiper
