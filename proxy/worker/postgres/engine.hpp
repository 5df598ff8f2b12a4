// The Engine for engineFamily POSTGRESQL.
#pragma once

#include <memory>

#include "proxy/worker/engine.hpp"

namespace dbproxy::worker::postgres {

std::unique_ptr<Engine> make_engine();

}  // namespace dbproxy::worker::postgres
