// The monitor's questions, asked of a real database.
#pragma once

#include <memory>

#include "proxy/aws/accounts.hpp"
#include "proxy/base/clock.hpp"
#include "proxy/topology/observation.hpp"

namespace dbproxy::source {

// Blocks as topology::Prober says; safe from any thread. Keeps a connection to each member that it
// was asked about in the last 5 s, a new one every 10 s, and the SCRAM keys that it derived for as long as it lives.
topology::Prober database_prober(const Clock& clock, std::shared_ptr<aws::ServiceAccounts> accounts = nullptr);

}  // namespace dbproxy::source
