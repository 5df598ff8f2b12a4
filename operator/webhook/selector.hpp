// Label selectors, as Kubernetes means them. Pure.
#pragma once

#include <boost/json.hpp>

#include "proxy/manifest/resources.hpp"

namespace dbproxy::webhook {

// Whether these labels (an object of strings; null: none) are selected. An empty selector selects everything.
bool selects(const manifest::PodSelector& selector, const boost::json::object* labels);

}  // namespace dbproxy::webhook
