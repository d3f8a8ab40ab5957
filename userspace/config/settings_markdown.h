// SPDX-License-Identifier: Apache-2.0
// The tables of docs/configuration.md.
#ifndef SANDPIPER_USERSPACE_CONFIG_SETTINGS_MARKDOWN_H_
#define SANDPIPER_USERSPACE_CONFIG_SETTINGS_MARKDOWN_H_

#include <string>

namespace sandpiper {

// Returns `document` with the text between its marks replaced by tables of all settings. Empty if
// the document has no marks.
std::string WithSettings(const std::string& document);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CONFIG_SETTINGS_MARKDOWN_H_
