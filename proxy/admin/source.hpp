// Source: where the pages take their data from. In the sidecar it is worker::Service; in tests it is anything.
//
// Every function is called on the HTTP thread and should answer within milliseconds.
#pragma once

#include <chrono>
#include <functional>
#include <vector>

#include "proxy/http/maintenance_routes.hpp"
#include "proxy/worker/service.hpp"

namespace dbproxy::admin {

struct Source {
  std::function<std::vector<worker::ProxyRow>()> proxies;
  std::function<std::vector<worker::TargetRow>()> targets;
  std::function<std::vector<worker::PoolRow>()> pools;
  std::function<std::vector<worker::PinRow>()> pins;
  std::function<bool()> configured;  // a snapshot is in force and its listeners are up
  std::function<bool()> listening;   // listeners are up, configured or not
  std::function<bool()> draining;
  std::function<bool()> drained;
  std::function<void(std::chrono::milliseconds timeout)> drain;
  std::function<bool()> connected;       // to the operator; may be empty: there is none
  http::MaintenanceActions maintenance;  // may be empty: there are no such routes
};

// `service` must outlive what is made of it. Inline, so that tests of the pages need no data plane.
inline Source source_of(worker::Service& service) {
  Source source;
  source.proxies = [&service] { return service.proxies(); };
  source.targets = [&service] { return service.targets(); };
  source.pools = [&service] { return service.pools(); };
  source.pins = [&service] { return service.pins(); };
  source.configured = [&service] { return service.configured(); };
  source.listening = [&service] { return service.listening(); };
  source.draining = [&service] { return service.draining(); };
  source.drained = [&service] { return service.drained(); };
  source.drain = [&service](std::chrono::milliseconds timeout) { service.drain(timeout); };
  return source;
}

}  // namespace dbproxy::admin
