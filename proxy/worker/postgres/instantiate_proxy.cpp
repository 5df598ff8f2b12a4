// The templates of a DBProxy and its targets, made for PostgreSQL.
#include "proxy/worker/left_behind_impl.hpp"
#include "proxy/worker/postgres/protocol.hpp"
#include "proxy/worker/proxy_runtime_apply_impl.hpp"
#include "proxy/worker/proxy_runtime_budget_impl.hpp"
#include "proxy/worker/proxy_runtime_choice_impl.hpp"
#include "proxy/worker/proxy_runtime_impl.hpp"
#include "proxy/worker/proxy_runtime_rows_impl.hpp"
#include "proxy/worker/target_doubt_impl.hpp"
#include "proxy/worker/target_impl.hpp"
#include "proxy/worker/target_limits_impl.hpp"

template class dbproxy::worker::Target<dbproxy::worker::postgres::Protocol>;
template class dbproxy::worker::ProxyRuntime<dbproxy::worker::postgres::Protocol>;
