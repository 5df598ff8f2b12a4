#include "proxy/worker/budget_side.hpp"

#include <algorithm>
#include <cstdio>
#include <fcntl.h>
#include <fstream>
#include <sstream>
#include <sys/stat.h>
#include <unistd.h>

#include "proxy/base/log.hpp"

namespace dbproxy::worker {
namespace {

constexpr std::string_view kHeading = "dbproxy-slots 1";
constexpr std::string_view kReadWriteName = "-";
constexpr std::string_view kRunning = "running", kEnded = "ended", kAlone = "alone";  // states
constexpr budget::Slots kKept = 1;  // for a successor, where it finds the file

std::string file_of(const BudgetOptions& options, const std::string& proxy) {
  if (options.state_dir.empty() || options.incarnation == 0) return {};
  const std::string directory = options.state_dir + "/slots";
  ::mkdir(directory.c_str(), 0700);
  std::string name = proxy;
  std::replace(name.begin(), name.end(), '/', '.');  // a namespace has no dot
  return directory + "/" + name;
}

// The machine's connections ended with its last boot, or nobody knows.
std::string boot() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  file >> id;
  return id;
}

}  // namespace

BudgetSide::BudgetSide(const BudgetOptions& options, const std::string& proxy, bool again)
    : BudgetSide(options, file_of(options, proxy), find(file_of(options, proxy), again)) {}

BudgetSide::BudgetSide(const BudgetOptions& options, std::string path, Found found)
    : path_(std::move(path)),
      ledger_(
          {.pod = {},
           .incarnation = options.incarnation,
           .own = found.own,
           .complete = found.complete,
           .save = [this](const budget::Holdings& holdings) { return write(holdings, ending_ ? kEnded : kRunning); }}),
      leased_(options.incarnation != 0 && !found.alone) {}

BudgetSide::Found BudgetSide::find(const std::string& path, bool again) {
  Found found;
  if (path.empty() || again) return found;
  std::ifstream file(path);
  std::string heading, word, id, state;
  if (!std::getline(file, heading) || heading != kHeading) return found;
  if (!(file >> word >> id >> state)) return found;
  found.alone = state == kAlone;
  if (id != boot() || state != kEnded) return found;
  budget::Slots slots = 0;
  while (file >> word && word != "end" && file >> slots) found.own[word == kReadWriteName ? "" : word] = slots;
  found.complete = word == "end";
  // From here on it does not say so any more: connections are opened that a successor would not know of.
  if (found.complete && ::unlink(path.c_str()) != 0) found.complete = false;
  if (!found.complete) found.own.clear();
  return found;
}

// Not synced: it is for a process that dies, not for a machine.
bool BudgetSide::write(const budget::Holdings& holdings, std::string_view state) const {
  if (path_.empty()) return true;
  std::ostringstream out;
  out << kHeading << "\nboot " << boot() << ' ' << state << '\n';
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
    write(ledger_.holdings(), kRunning);  // a successor is not to count by itself any more
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
  ending_ = true;
  if (!leased_) return;
  ledger_.leave(path_.empty() ? 0 : kKept);
}

}  // namespace dbproxy::worker
