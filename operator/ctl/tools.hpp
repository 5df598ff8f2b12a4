// Commands that ask no operator and no sidecar, as the command line gives them: reckoning, printing manifests and
// policies, looking at an installation.
#pragma once

#include <string>

#include "operator/ctl/commands.hpp"
#include "operator/ctl/flags.hpp"

namespace dbproxy::ctl {

// Prints a sentence about wrong usage; kUsage.
int usage(const std::string& sentence);

// Carries out `flags.tool`, which is one of the names that main.cpp declares; prints to standard output and error.
int run_tool(Flags& flags, const Transport& transport);

}  // namespace dbproxy::ctl
