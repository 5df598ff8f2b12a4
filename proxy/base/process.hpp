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
// One heap for all threads, where one of them does nearly all of the work: each of the others would keep its own.
void save_memory();
// What starting up has used: freed memory, and code that may never run again. Takes milliseconds, in which nobody can
// allocate.
void give_back_memory();

}  // namespace dbproxy::process
