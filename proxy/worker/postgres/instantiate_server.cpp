// The templates of a server connection, made for PostgreSQL.
#include "proxy/worker/postgres/protocol.hpp"
#include "proxy/worker/server_connection_impl.hpp"
#include "proxy/worker/server_connection_login_impl.hpp"
#include "proxy/worker/server_connection_tunnel_impl.hpp"

template class dbproxy::worker::ServerConnection<dbproxy::worker::postgres::Protocol>;
