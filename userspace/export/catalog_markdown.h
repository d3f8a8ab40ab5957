// SPDX-License-Identifier: Apache-2.0
// The tables of docs/metrics.md and docs/events.md, made of the catalogues.
#ifndef SANDPIPER_USERSPACE_EXPORT_CATALOG_MARKDOWN_H_
#define SANDPIPER_USERSPACE_EXPORT_CATALOG_MARKDOWN_H_

#include <string>

namespace sandpiper {

// `document` with a new table of all metrics between its marks "<!-- catalog: begin -->" and
// "<!-- catalog: end -->". Empty if it lacks the marks.
std::string WithMetricTable(const std::string& document);

// The same for docs/events.md: a table of all events between the marks "events", and one of all
// attributes between the marks "attributes".
std::string WithEventTables(const std::string& document);

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_CATALOG_MARKDOWN_H_
