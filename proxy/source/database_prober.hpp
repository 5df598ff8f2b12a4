// The monitor's questions, asked of a real database.
#pragma once

#include "proxy/topology/observation.hpp"

namespace dbproxy::source {

// Blocks as topology::Prober says; safe from any thread.
topology::ProbeResult probe_database(const topology::ProbeRequest& request);

}  // namespace dbproxy::source
