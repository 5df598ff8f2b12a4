// The status of a DBProxy and the Events that its changes make. Pure functions.
//
// Conditions are those of docs/reference.md. Messages are our own words and what the object itself says; of a database
// only fixed reasons are shown, of a sidecar what it said when it refused.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "operator/kubernetes/json.hpp"
#include "proxy/base/clock.hpp"
#include "proxy/config/snapshot.hpp"
#include "proxy/manifest/diagnostic.hpp"

namespace dbproxy::operator_status {

// Degraded, and an Event: users with iamAuth: REQUIRED whose tokens nobody can verify.
inline constexpr const char* kIamAuthImpossible = "IamAuthImpossible";

// Likewise: clients wait, and others have connections that maxConnectionsPercent would leave to sidecars.
inline constexpr const char* kConnectionsTaken = "ConnectionsTaken";
inline constexpr const char* kConnectionsTakenText =
    "clients wait, and others have so many of the database's connections that sidecars get fewer than "
    "maxConnectionsPercent says: pg_stat_activity, or MySQL's process list, shows whose they are; end them, lower "
    "maxConnectionsPercent, or raise the database's max_connections";

struct Condition {
  std::string type, status, reason, message;  // status: True, False, Unknown
  bool operator==(const Condition&) const = default;
};

struct Sidecars {
  std::uint32_t connected = 0, updated = 0, rejected = 0;
  std::uint32_t outdated = 0;      // of another version than the operator's
  std::uint32_t connections = 0;   // open server connections, of all of them
  std::string rejected_by, error;  // one that refused, and why
  std::string trouble;             // of one that lets no client in, and why
  bool operator==(const Sidecars&) const = default;
};

struct Facts {
  std::int64_t generation = 0;
  std::vector<manifest::Diagnostic> diagnostics;  // of the object and of what it refers to
  config::SnapshotPtr snapshot;                   // in force; none: nothing good was seen yet
  Sidecars sidecars;
  Condition degraded = {};                        // without a reason: it is not; see across.hpp
  std::string debug_until = {};                   // when debugLogging turns itself off, as text; "": it is not set
  bool debug_ended = false;                       // that time is over
  bool exhausted = false;                         // clients wait, and every connection is in use
  bool crowded = false;                           // likewise, since others have theirs
  std::optional<std::uint32_t> granted = {};      // that sidecars may have, where connections are leased
  std::optional<std::uint32_t> foreign = {};      // sessions of its users that are no sidecar's, where that is known
  bool operator==(const Facts&) const = default;  // the same snapshot, not one of the same content
};

// Accepted, ResolvedRefs, Programmed, TargetsAvailable, Ready; Degraded only when it is true.
std::vector<Condition> conditions(const Facts& facts);

// Of one generation, as the API has them. A condition whose status is that of `before` (the status as it stands; may
// be none) keeps its lastTransitionTime.
kubernetes::json::array to_json(const std::vector<Condition>& conditions, std::int64_t generation,
                                const kubernetes::json::object* before, WallTime now);

// The whole status; `before` and `now` as there.
kubernetes::json::object make_status(const Facts& facts, const kubernetes::json::object* before, WallTime now);

struct Note {
  bool warning = false;
  std::string reason, action, text;
};
// What is worth telling people of the step from one to the other.
std::vector<Note> notes(const Facts& before, const Facts& after);

}  // namespace dbproxy::operator_status
