// What a process that speaks gRPC sets for all of it.
#pragma once

namespace dbproxy::wire_control {

// gRPC's own log lines go through ours, as debug: what matters of them reaches us as a status too. And Abseil's locks,
// which gRPC is full of, do not look for deadlocks: Debian builds them so that they do, in a graph of all locks behind
// one spin lock, which costs more than the locks themselves once there are thousands of streams.
// Once per process is enough; calling it again does nothing.
void prepare_grpc();

}  // namespace dbproxy::wire_control
