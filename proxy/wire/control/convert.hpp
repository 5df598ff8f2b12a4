// proto/dbproxy/v1 ↔ config::Snapshot, at both ends of the control stream.
//
// What comes in is judged as any peer's bytes are: every count, length, port and enumeration is checked, and the first
// defect is returned as a sentence that names the field; it becomes the text of the NACK, so it holds no secret.
// Passwords are plain strings inside a message: `wipe` it as soon as it is sent or converted. Pure, no state.
#pragma once

#include <string>
#include <string_view>

#include "dbproxy/v1/control.pb.h"

#include "proxy/config/snapshot.hpp"

namespace dbproxy::wire_control {

// Everything but the listener's certificate and key.
v1::Snapshot to_proto(const config::Snapshot& snapshot);

// "" and a filled snapshot, or what is wrong with the message; then `out` is in no particular state.
std::string from_proto(const v1::Snapshot& message, config::Snapshot& out);

v1::TargetRole to_proto(config::TargetRole);
v1::TargetHealth to_proto(config::TargetHealth);
v1::HealthReason to_proto(config::HealthReason);
bool from_proto(v1::TargetHealth in, config::TargetHealth& out);
bool from_proto(v1::HealthReason in, config::HealthReason& out);

// SHA-256 over the deterministic serialisation without version and listener certificate: equal digests mean that
// there is nothing to send, also after a restart of either side.
std::string digest(const v1::Snapshot& message);

// "namespace/name": how a DBProxy is called on the stream.
std::string proxy_name(const config::Snapshot& snapshot);

// Overwrites the passwords and the listener key inside the message.
void wipe(v1::Snapshot& message);

}  // namespace dbproxy::wire_control
