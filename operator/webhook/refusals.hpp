// Why a pod gets no sidecar and is not made at all. Pure.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "operator/webhook/injection.hpp"
#include "operator/webhook/pod.hpp"

namespace dbproxy::webhook {

// The names of the DBProxies that label and annotation ask for; `error` says what is wrong with them.
std::vector<std::string> wanted_proxies(const json::object& pod, std::string& error);

// The sidecar that the pod has already, however it came there; none: nullptr.
const json::object* present_sidecar(const json::object& pod);

// What is wrong with the pod by itself, "" where nothing is.
std::string refuse_pod(const json::object& pod, const Settings& settings);

// What is wrong with these DBProxies in this pod, "" where nothing is.
std::string refuse_proxies(const json::object& pod, const std::vector<BoundProxy>& proxies);

}  // namespace dbproxy::webhook
