#include "proxy/worker/budget_side.hpp"

#include <algorithm>
#include <cstdio>
#include <fcntl.h>
#include <fstream>
#include <sstream>
#include <sys/stat.h>
#include <unistd.h>

#include "proxy/base/log.hpp"
#include "proxy/worker/connection_record.hpp"

namespace dbproxy::worker {
namespace {

constexpr std::string_view kHeading = "dbproxy-slots 2";
constexpr std::string_view kBefore = "dbproxy-slots 1";  // without a list of connections
constexpr std::string_view kReadWriteName = "-";
constexpr std::string_view kLeased = "leased", kAlone = "alone";  // states
constexpr std::string_view kEndedBefore = "ended";                // likewise, of before: all of it was closed
constexpr std::string_view kWhole = "whole", kPart = "part";      // whether that is all that processes may hold
constexpr budget::Slots kKept = 1;                                // for a successor, where it finds the file

}  // namespace

std::string slots_file(const BudgetOptions& options, const std::string& proxy) {
  if (options.state_dir.empty() || options.incarnation == 0) return {};
  const std::string directory = options.state_dir + "/slots";
  ::mkdir(directory.c_str(), 0700);
  std::string name = proxy;
  std::replace(name.begin(), name.end(), '/', '.');  // a namespace has no dot
  return directory + "/" + name;
}

BudgetSide::BudgetSide(const BudgetOptions& options, std::string path, bool again)
    : BudgetSide(options, path, find(path, again)) {}

BudgetSide::BudgetSide(const BudgetOptions& options, std::string path, const Found& found)
    : path_(std::move(path)),
      complete_(found.complete),
      ledger_({.pod = {},
               .incarnation = options.incarnation,
               .own = found.own,
               .complete = found.complete,
               .save = [this](const budget::Holdings& holdings) { return write(holdings, kLeased); }}),
      leased_(options.incarnation != 0 && !found.alone) {}

BudgetSide::Found BudgetSide::find(const std::string& path, bool again) {
  Found found;
  if (path.empty() || again) return found;
  std::ifstream file(path);
  std::string heading, word, id, state, extent;
  if (!std::getline(file, heading) || (heading != kHeading && heading != kBefore)) return found;
  if (!(file >> word >> id >> state)) return found;
  const bool before = heading == kBefore;
  if (!before && !(file >> extent)) return found;
  found.alone = state == kAlone;
  // One of before that was killed has left nobody knows which connections.
  if (id != boot_id() || found.alone || (before && state != kEndedBefore)) return found;
  budget::Slots slots = 0;
  while (file >> word && word != "end" && file >> slots) found.own[word == kReadWriteName ? "" : word] = slots;
  if (word != "end") found.own.clear();
  found.complete = word == "end" && extent != kPart;
  return found;
}

// Not synced: it is for a process that dies, not for a machine.
bool BudgetSide::write(const budget::Holdings& holdings, std::string_view state) const {
  if (path_.empty()) return true;
  std::ostringstream out;
  out << kHeading << "\nboot " << boot_id() << ' ' << state << ' ' << (complete_ ? kWhole : kPart) << '\n';
  for (const auto& [lane, slots] : holdings) {
    out << (lane.empty() ? kReadWriteName : std::string_view(lane)) << ' ' << slots << '\n';
  }
  out << "end\n";
  const std::string text = out.str();
  const std::string temporary = path_ + ".new";
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  bool good = fd >= 0 && ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  if (fd >= 0) good = ::close(fd) == 0 && good;
  good = good && std::rename(temporary.c_str(), path_.c_str()) == 0;
  if (!good) log::error("budget", "cannot keep what is held: nothing more is taken", {{"file", path_}});
  return good;
}

void BudgetSide::count_alone() {
  leased_ = false;
  write({}, kAlone);
}

bool BudgetSide::take(const budget::Open& open, const Uses& uses, TimePoint now) {
  if (!ledger_.take(open)) return false;
  if (!leased_) {  // until now nobody was there to ask
    leased_ = true;
    budget::Slots writing = 0;
    for (const auto& [target, use] : uses) {
      if (use.writer) {
        writing = std::max(writing, use.open);
      } else {
        ledger_.assume(target, use.open);
      }
    }
    ledger_.assume(budget::kReadWrite, writing);
    write(ledger_.holdings(), kLeased);  // a successor is not to count by itself any more
  }
  set_uses(uses, now);
  return true;
}

bool BudgetSide::take(const budget::Allowance& allowance, const Uses& uses, TimePoint now) {
  if (!leased_) return false;
  set_uses(uses, now);
  return ledger_.take(allowance, now);
}

void BudgetSide::set_uses(const Uses& uses, TimePoint now) {
  for (const auto& [target, use] : uses) {
    const auto known = uses_.find(target);
    if (known == uses_.end() || !(known->second == use)) ledger_.set_use(target, use, now);
  }
  for (const auto& [target, use] : uses_) {
    if (!uses.contains(target)) ledger_.set_use(target, {}, now);
  }
  uses_ = uses;
}

void BudgetSide::tick(TimePoint now) {
  if (leased_) ledger_.tick(now);
}

void BudgetSide::leave() {
  if (!leased_) return;
  ledger_.leave(path_.empty() ? 0 : kKept);
}

}  // namespace dbproxy::worker
