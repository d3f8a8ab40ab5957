// SPDX-License-Identifier: Apache-2.0
// The built-in patterns of secrets.
#ifndef SANDPIPER_USERSPACE_EXPORT_SECRET_PATTERNS_H_
#define SANDPIPER_USERSPACE_EXPORT_SECRET_PATTERNS_H_

#include <string>
#include <vector>

namespace sandpiper {

// Regular expressions (RE2) for passwords and tokens in process arguments: in options, assignments,
// headers and URLs, and the tokens of well-known services, which have a shape of their own. They
// match the arguments after Escape(), joined by blanks. See Redaction for groups named "value".
std::vector<std::string> DefaultArgumentPatterns();

// For messages about values that a user wrote: masks what the patterns above match, and also the
// user of a URL, which may be a token.
std::string WithoutSecrets(std::string text);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_SECRET_PATTERNS_H_
