// SPDX-License-Identifier: Apache-2.0
// The table of docs/metrics.md.
#ifndef SANDPIPER_USERSPACE_EXPORT_CATALOG_MARKDOWN_H_
#define SANDPIPER_USERSPACE_EXPORT_CATALOG_MARKDOWN_H_

#include <string>

namespace sandpiper {

// `document` with the table between its two marks replaced: one row a metric of the catalog, with
// the name that it has in Prometheus. Empty if it lacks the marks.
std::string WithCatalog(const std::string& document);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_CATALOG_MARKDOWN_H_
