// SPDX-License-Identifier: Apache-2.0
// sandpiper's own configuration file, YAML.
#ifndef SANDPIPER_USERSPACE_CONFIG_CONFIG_FILE_H_
#define SANDPIPER_USERSPACE_CONFIG_CONFIG_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "userspace/config/config.h"

namespace sandpiper {

// Sets what the file says, and leaves the rest. An error names file, line and key: NotFound where
// it cannot be read, InvalidArgument for what is not YAML, a key that does not exist, or a value
// that the key cannot have.
absl::Status ReadConfigFile(const std::string& path, Config* config);

// The same for what a file would hold; `origin` stands for it in errors.
absl::Status ReadConfigText(const std::string& origin, const std::string& yaml, Config* config);

// The same for one key, with YAML for its value, as SANDPIPER_SANDBOXES has it.
absl::Status ReadConfigValue(const std::string& origin, const std::string& key,
                             const std::string& yaml, Config* config);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CONFIG_CONFIG_FILE_H_
