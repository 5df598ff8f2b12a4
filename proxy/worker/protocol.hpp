// What the worker's templates share with the engine that they are made for.
//
// ClientConnection, ServerConnection, Target and ProxyRuntime are templates over a Protocol: a struct of types and
// static functions, one for each engine, in a directory of its own (worker/postgres/protocol.hpp shows all that one has
// to have). The templates move bytes, keep time and limits, and ask the pool; the Protocol's sessions say what the
// bytes mean, and its "sides" hold what only this engine has: a side is a member of its connection, its functions get
// the connection, and nothing is virtual on the path of a query. Plain types; any thread.
#pragma once

#include <functional>
#include <string>

namespace dbproxy::worker {

// Why the proxy itself ends or refuses something. Each Protocol has the code that drivers of its engine know for it.
enum class Trouble {
  kLoginTimeout,
  kIdleClient,
  kGoingAway,  // shutting down, too old, no longer configured: to be tried again elsewhere or later
  kServerLost,
  kCancelled,
  kTransactionTimeout,
  kIdleInTransaction,
  kNoTarget,         // the endpoint's role has no instance
  kPoolFull,         // waited in vain, all connections are in use
  kUnreachable,      // waited in vain, the database is not there
  kUserRemoved,      // while a server connection was opened for it
  kNotServed,        // what the protocol has and this proxy does not
  kInitQuery,        // failed on the database
  kEndpointRefused,  // it points where no database of this DBProxy may be
  kNoCredentials,    // there is nothing to log in to the database with
};

// What distinguishes pools on one target: who logs in where, with what only a start can set. An engine's own key adds
// to it.
struct PoolKey {
  std::string text;  // unique spelling of all below, and of what an engine adds
  std::string user, database;
  bool replication = false;  // its connections are used once, by one client from end to end
};

// One step that a server connection makes for itself, before its pool has it or before the next client gets it.
enum class Step {
  kDone,    // nothing is left to do
  kSent,    // something was added to the output: again when it is answered
  kWait,    // nothing to send, but not done: it goes on by itself
  kFailed,  // the connection has been failed or lost already
};

// Of an attempt to cancel what a server runs. kUnknown: it was sent, and the server has not shown that it has dealt
// with it. It may still do so at any time, so that the connection must not be given to anybody else.
enum class CancelOutcome { kOver, kUnknown };
using CancelDone = std::function<void(CancelOutcome)>;

}  // namespace dbproxy::worker
