// DBProxies as the API server has them now: what the webhook decides by, so that no cache can be behind.
#pragma once

#include "operator/kubernetes/client.hpp"
#include "operator/webhook/injection.hpp"

namespace dbproxy::webhook {

// From the objects of the API; fields that are not what the schema wants are taken as not written. Pure.
BoundProxy bound_proxy(const json::object& proxy, const json::array& endpoints);

// Two requests for each DBProxy that a pod names, within `timeout`. `client` must outlive it.
FindProxy live_proxies(kubernetes::Client& client, std::chrono::milliseconds timeout);

}  // namespace dbproxy::webhook
