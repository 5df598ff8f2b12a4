// The Engine for engineFamily MYSQL.
#pragma once

#include <memory>

#include "proxy/worker/engine.hpp"

namespace dbproxy::worker::mysql {

std::unique_ptr<Engine> make_engine();

}  // namespace dbproxy::worker::mysql
