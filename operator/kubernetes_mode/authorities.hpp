// Authorities: the operator's CA over time, as its Secret holds it. Pure.
//
// One signs. Before it ends, or when somebody asks, another is made, which everybody is told to trust at once and which
// signs only after an overlap; the one that signed before stays trusted for another overlap. So nobody ever meets a
// certificate whose CA has not reached him yet.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "operator/kubernetes/json.hpp"
#include "proxy/base/clock.hpp"
#include "proxy/pki/pki.hpp"

namespace dbproxy::kubernetes_mode {

// An annotation of the Secret, of any value: another CA is wanted. It is taken away when that has begun.
inline constexpr const char* kRotateAnnotation = "dbproxy.io/rotate";

struct Authorities {
  pki::Authority active;
  pki::Authority next;                  // without a certificate: there is none
  std::optional<WallTime> next_since;   // it has been in the Secret; none: it was put there by someone else
  std::string previous_pem;             // "": there is none
  std::optional<WallTime> promoted_at;  // when the active one began to sign, while there is a previous one
};

struct AuthorityPolicy {
  std::chrono::seconds life = std::chrono::hours(24 * 365 * 10);  // of those that are made
  std::chrono::seconds overlap = std::chrono::hours(24);
};

// From a Secret, and its `data`. Without an active certificate and key where it has none.
Authorities authorities_of(const kubernetes::json::object& secret);
kubernetes::json::object to_data(const Authorities& authorities);

// What should be there from now on; none: what is. `asked`: somebody wants another one.
Result<std::optional<Authorities>> advance(const Authorities& from, bool asked, const AuthorityPolicy& policy,
                                           const Clock& clock);

// Whether the second is the first, or what advance made of it, be it in several steps.
bool follows(const Authorities& before, const Authorities& after);

}  // namespace dbproxy::kubernetes_mode
