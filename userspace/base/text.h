// Text that a sandbox chose (arguments, paths, names) on its way into records: always valid UTF-8, one line, and reversible.
#ifndef SANDPIPER_USERSPACE_BASE_TEXT_H_
#define SANDPIPER_USERSPACE_BASE_TEXT_H_

#include <string>
#include <string_view>

namespace sandpiper {

// Bytes that are no valid UTF-8 (RFC 3629), control characters (C0, DEL, C1), line and paragraph separators become \xHH, byte by byte,
// and a backslash becomes \\ so that the original can be told from an escape. Printable text without backslashes is unchanged.
std::string Escape(std::string_view raw);

// ASCII that Escape leaves as it is: most of what there is.
bool IsPlain(std::string_view raw);

// The inverse of Escape for anything that Escape returned.
std::string Unescape(std::string_view escaped);

// Length of the valid UTF-8 sequence at the start of `text`, 0 if there is none.
size_t Utf8SequenceLength(std::string_view text);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_BASE_TEXT_H_
