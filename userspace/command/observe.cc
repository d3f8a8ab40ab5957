// SPDX-License-Identifier: Apache-2.0
// sandpiper observe: shows records of the running collector.
#include <cstdio>
#include <string>

#include "userspace/api/api_client.h"
#include "userspace/command/commands.h"
#include "userspace/command/errors.h"
#include "userspace/command/record_text.h"

namespace sandpiper {

int RunObserve(const Config& config, const ObserveOptions& options) {
  const bool color = WantsColor(options.color);
  if (options.format == RecordFormat::kTable)
    printf("%s\n", TableTitles().c_str());
  bool written = true;
  const absl::Status status =
      ApiClient(config.api_socket)
          .Observe(options.request, [&](const v1::ObserveResponse& response) {
            if (response.missed() > 0)
              fprintf(stderr,
                      "sandpiper: %llu records were skipped: they arrived faster than they were "
                      "shown\n",
                      static_cast<unsigned long long>(response.missed()));
            else
              printf("%s\n", RecordLine(response.record().json(), options.format, color).c_str());
            written = fflush(stdout) == 0;
            return written;
          });
  if (!status.ok())
    return Fail(status, kExitFailure);
  return written ? 0 : kExitFailure;
}

}  // namespace sandpiper
