// SPDX-License-Identifier: Apache-2.0
// Reads sandpiper's configuration file, which is YAML.
#ifndef SANDPIPER_USERSPACE_CONFIG_CONFIG_FILE_H_
#define SANDPIPER_USERSPACE_CONFIG_CONFIG_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "userspace/config/config.h"

namespace sandpiper {

// Stores the settings of the file in `config`, and leaves all others. Errors: NotFound if the file
// cannot be read, InvalidArgument if it is not valid YAML or has an unknown key or a bad value. The
// message names the file, the line and the key.
absl::Status ReadConfigFile(const std::string& path, Config* config);

// Does the same for the text of a file. Errors name it as `origin`.
absl::Status ReadConfigText(const std::string& origin, const std::string& yaml, Config* config);

// Does the same for one key. `yaml` is its value: the text of SANDPIPER_SANDBOXES, for example, is
// the value of the key sandboxes.
absl::Status ReadConfigValue(const std::string& origin, const std::string& key,
                             const std::string& yaml, Config* config);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_CONFIG_CONFIG_FILE_H_
