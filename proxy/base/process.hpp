// What every long-running program of this project does to its process before it makes a thread.
#pragma once

#include <csignal>

namespace dbproxy::process {

// No core dumps and no debugger: the memory holds secrets. (Sanitizer builds stay open to their own tools.)
void protect_memory();

// Blocks SIGTERM and SIGINT, for sigwait, and ignores SIGPIPE. Returns the blocked set.
sigset_t block_signals();

// As many file descriptors as the hard limit allows.
void raise_file_limit();

}  // namespace dbproxy::process
