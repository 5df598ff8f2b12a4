// The templates of a client connection, made for MySQL.
#include "proxy/worker/client_connection_impl.hpp"
#include "proxy/worker/client_connection_limits_impl.hpp"
#include "proxy/worker/client_connection_login_impl.hpp"
#include "proxy/worker/client_connection_queries_impl.hpp"
#include "proxy/worker/client_connection_tunnel_impl.hpp"
#include "proxy/worker/mysql/protocol.hpp"

template class dbproxy::worker::ClientConnection<dbproxy::worker::mysql::Protocol>;
