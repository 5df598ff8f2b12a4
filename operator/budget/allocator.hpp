// Allocator: how many connections each sidecar may have, out of what one DBProxy may have of one cluster.
//
// Invariant: for each member i, what is charged for READ_WRITE and for reading on i is together at most the limit of i;
// where that shrank below what is out, nothing is added until it fits. Charged is what a sidecar may hold at most, by
// all that was ever sent to it, until a report in its present session says less; what predecessors of a process may
// have left; and, for a sidecar that has not been heard of, its ceiling.
//
// Ceilings are kept outside (`save`, with compare and swap): each bounds what a sidecar is ever charged, and together
// they obey the invariant. So a new operator that has read them knows the worst, and one that lost its leadership
// cannot do harm: it raises no ceiling any more, and sidecars that know a higher epoch take nothing from it.
//
// Shares are max-min fair over demand. Slots move only where somebody waits: those above their share are asked to come
// down to it. Where sidecars outnumber slots, a slot goes to the longest waiting after a slice of time.
//
// Pure: no I/O, no clock of its own. One thread at a time. docs/decisions/0019-connection-budget.md
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "proxy/base/clock.hpp"
#include "proxy/budget/messages.hpp"

namespace dbproxy::operator_budget {

using budget::Lane;
using budget::Slots;
using Ceilings = std::map<std::string, budget::Holdings>;  // by pod

struct AllocatorOptions {
  Slots floor = 1;  // READ_WRITE slots of a sidecar that asks for nothing, where they suffice for all
  Slots chunk = 4;  // by which a ceiling is raised above what is needed, where there is room
  Duration slice = std::chrono::milliseconds(250);  // for which a slot is kept where there are too few
};

struct Actions {
  std::vector<std::pair<std::string, budget::Allowance>> allowances;  // for the sidecar of that name
  std::optional<Ceilings> save;  // in place of what is kept; to be answered by saved(). One at a time
};

// Of one lane. `limit`: what it could have if nobody else had anything.
struct Totals {
  Slots limit = 0, charged = 0, unknown = 0, wanted = 0;
};

class Allocator {
 public:
  // `epoch`: higher than any before. `saved`: the ceilings that are kept. Nothing is granted until the first step's
  // `save` is confirmed: from then on no earlier operator can change them.
  Allocator(AllocatorOptions options, std::uint64_t epoch, Ceilings saved);

  // Connections that this DBProxy may have to each member whose limit is known, and to one sidecar per lane at most.
  void set_limits(std::map<std::string, Slots> members, Slots per_pod);
  void set_floor(Slots floor) { options_.floor = floor; }
  // To be answered with what it returns; it is served as soon as it has reported.
  budget::Open hello(const budget::Hello& hello);
  // False: out of date, and nothing has changed.
  bool report(const budget::Report& report, TimePoint now);
  // Its stream is gone. What it was charged it is charged on.
  void silent(const std::string& pod);
  // It will not come back, and may have left connections: bury() counts for all of it. A later Hello takes it back.
  // Ignored while it can be spoken to.
  void lose(const std::string& pod);
  // Of all its processes but the present one no more than so many connections are left, to whatever member. Ignored
  // until that one has reported. Returns for how many it goes on to be charged.
  Slots bury(const std::string& pod, Slots left = 0);
  // Those with a process that has reported, and others before it of which connections may be left; and which it is.
  // Of those that are lost: 0.
  std::map<std::string, std::uint64_t> haunted() const;
  // It is gone for ever, and with it all its connections.
  void forget(const std::string& pod);
  // Whether the last `save` is in force. False: others have changed what is kept, and nothing is granted ever again.
  void saved(bool in_force);

  Actions step(TimePoint now);
  // A slice of time is running: step() has to be called again by then even if nothing happens.
  const std::optional<TimePoint>& next_step() const { return next_step_; }

  std::uint64_t epoch() const { return epoch_; }
  bool deposed() const { return deposed_; }
  // That are charged for anything and cannot be spoken to.
  std::vector<std::string> unheard() const;
  // What is charged, and what is kept, whichever is more: of this another one may begin.
  Ceilings known() const;
  Slots charged(const std::string& pod, const Lane& lane) const;
  Slots charged(const std::string& pod) const;  // at any one member at most
  std::map<Lane, Totals> totals() const;

 private:
  struct Entry {
    Slots remains = 0;         // of predecessors
    Slots held = 0;            // as reported, or as must be assumed
    Slots sent = 0;            // by an allowance that is not known to have been taken; 0: none
    Slots want = 0, goal = 0;  // goal: what it was told to come down to
    std::uint64_t number = 0;  // of the last allowance in this session
    Slots needed_ceiling = 0;
    TimePoint served{}, waiting{};  // since when
    bool waits = false;
    Slots own() const { return held > sent ? held : sent; }
    Slots charge() const { return remains + own(); }
  };
  struct Pod {
    std::uint64_t incarnation = 0, session = 0, reports = 0;
    bool usable = false;  // its stream is up and it has reported
    bool lost = false;    // it has no process any more
    // The save that has to be in force before this process gets anything: it knows of no higher epoch, so that an
    // operator which lost its leadership without noticing could do harm to it and only to it.
    std::uint64_t confirmed_by = 0;
    std::map<Lane, Entry> lanes;
  };
  struct Claim {
    const std::string* name;
    Pod* pod;
    Entry* entry;
    const Lane* lane;
    Slots want = 0, share = 0;
  };
  using Claims = std::map<Lane, std::vector<Claim>>;

  Claims claims();
  void share_out(Claims& claims, TimePoint now);
  void divide(std::vector<Claim>& claims, Slots slots, TimePoint now);
  bool raise(Claims& claims, TimePoint now, Actions& actions);
  void take_back(Claims& claims, bool pressed, Actions& actions);
  void allow(const Claim& claim, Slots slots, Slots goal, Actions& actions);
  Slots room(const Lane& lane, const std::map<Lane, Slots>& taken) const;
  Slots ceiling(const std::string& pod, const Lane& lane) const;
  std::map<Lane, Slots> charges() const;
  Ceilings compose() const;

  AllocatorOptions options_;
  const std::uint64_t epoch_;
  std::map<std::string, Slots> members_;
  Slots per_pod_ = 0;
  std::map<std::string, Pod> pods_;
  std::uint64_t sessions_ = 0;
  Ceilings kept_;                   // for certain, but for
  std::optional<Ceilings> saving_;  // the last of saves_, which may be what is kept, or not yet
  std::uint64_t saves_ = 0, saves_in_force_ = 0;
  bool deposed_ = false;
  bool needs_ceilings_ = false;
  std::optional<TimePoint> next_step_;
};

}  // namespace dbproxy::operator_budget
