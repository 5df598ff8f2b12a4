// What the operator's pages show, made of what its parts know. Pure.
#pragma once

#include <vector>

#include "operator/admin/view.hpp"
#include "operator/control/rows.hpp"
#include "proxy/base/clock.hpp"
#include "proxy/manifest/diagnostic.hpp"
#include "proxy/source/manifest_source.hpp"

namespace dbproxy::manifest_mode {

operator_admin::OperatorView make_view(const source::Snapshots& snapshots,
                                       const std::vector<operator_control::SidecarRow>& sidecars,
                                       const std::vector<manifest::Diagnostic>& diagnostics, WallTime now);

}  // namespace dbproxy::manifest_mode
