// What the process was told from outside: variables and files. Tests bring their own.
#pragma once

#include <functional>
#include <string>

#include "proxy/aws/failure.hpp"

namespace dbproxy::aws {

// The value of a variable, "" where it is not set. Called from any thread.
using Environment = std::function<std::string(const std::string& name)>;

// That of the process, which nobody changes once it runs.
Environment system_environment();

// A small file, whole. The failure names it.
Outcome<std::string> read_file(const std::string& path, std::size_t most);

}  // namespace dbproxy::aws
