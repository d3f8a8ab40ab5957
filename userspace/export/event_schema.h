// SPDX-License-Identifier: Apache-2.0
// docs/events.schema.json, made of the catalogue of events.
#ifndef SANDPIPER_USERSPACE_EXPORT_EVENT_SCHEMA_H_
#define SANDPIPER_USERSPACE_EXPORT_EVENT_SCHEMA_H_

#include <string>

namespace sandpiper {

// A JSON Schema (draft 2020-12) of one line on stdout, see ndjson.h. It rejects unknown events,
// attributes that the event does not have, wrong types, and levels that the event never has. Text
// under other keys is allowed: users may add attributes.
std::string EventSchema();

}  // namespace sandpiper

#endif  // SANDPIPER_USERSPACE_EXPORT_EVENT_SCHEMA_H_
