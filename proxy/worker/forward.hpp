// Names of the worker's templates, for the headers that each protocol shares among them.
#pragma once

namespace dbproxy::worker {

template <class P>
class ClientConnection;
template <class P>
class ServerConnection;
template <class P>
class ProxyRuntime;
template <class P>
class Target;

}  // namespace dbproxy::worker
