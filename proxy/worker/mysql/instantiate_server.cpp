// The templates of a server connection, made for MySQL.
#include "proxy/worker/mysql/protocol.hpp"
#include "proxy/worker/server_connection_impl.hpp"
#include "proxy/worker/server_connection_login_impl.hpp"
#include "proxy/worker/server_connection_tunnel_impl.hpp"

template class dbproxy::worker::ServerConnection<dbproxy::worker::mysql::Protocol>;
