// gRPC's own log lines go through ours, as debug: what matters of them reaches us as a status too.
#pragma once

namespace dbproxy::wire_control {

// Once per process is enough; calling it again does nothing.
void route_grpc_log();

}  // namespace dbproxy::wire_control
