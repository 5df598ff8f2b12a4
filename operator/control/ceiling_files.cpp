#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <sstream>

#include "operator/control/ceiling_store.hpp"
#include "proxy/base/log.hpp"
#include "proxy/pki/pki.hpp"

namespace dbproxy::operator_control {
namespace {

constexpr std::size_t kMaxFile = 16 * 1024 * 1024;
constexpr std::string_view kHeading = "dbproxy-ceilings 1";
constexpr std::string_view kReadWriteName = "-";  // no target is called so

Result<CeilingStore::Kept> malformed() {
  return boost::system::errc::make_error_code(boost::system::errc::bad_message);
}

}  // namespace

std::string write_ceilings(std::uint64_t epoch, const operator_budget::Ceilings& ceilings) {
  std::string out(kHeading);
  out += "\nepoch " + std::to_string(epoch) + '\n';
  for (const auto& [pod, lanes] : ceilings) {
    for (const auto& [lane, slots] : lanes) {
      if (slots == 0) continue;
      out += pod + ' ' + (lane.empty() ? std::string(kReadWriteName) : lane) + ' ' + std::to_string(slots) + '\n';
    }
  }
  out += "end\n";  // or a part of it could pass for the whole
  return out;
}

Result<CeilingStore::Kept> read_ceilings(const std::string& text) {
  std::istringstream lines(text);
  std::string heading, word;
  CeilingStore::Kept kept;
  if (!std::getline(lines, heading) || heading != kHeading) return malformed();
  if (!(lines >> word >> kept.epoch) || word != "epoch") return malformed();
  while (lines >> word && word != "end") {
    std::string lane;
    operator_budget::Slots slots = 0;
    if (!(lines >> lane >> slots)) return malformed();
    kept.ceilings[word][lane == kReadWriteName ? "" : lane] = slots;
  }
  if (word != "end") return malformed();
  return kept;
}

CeilingFiles::CeilingFiles(std::string state_dir, const Clock& clock)
    : directory_(std::move(state_dir) + "/ceilings"), clock_(clock) {}

// A namespace has no dot, so no two DBProxies share a file; neither has a slash in it.
std::string CeilingFiles::path(const std::string& proxy) const {
  std::string name = proxy;
  std::replace(name.begin(), name.end(), '/', '.');
  return directory_ + "/" + name;
}

Result<CeilingStore::Kept> CeilingFiles::load(const std::string& proxy) {
  std::error_code error;
  std::filesystem::create_directories(directory_, error);
  std::filesystem::permissions(directory_, std::filesystem::perms::owner_all, error);
  Kept kept;
  std::string& known = known_[proxy];
  known.clear();
  if (std::filesystem::exists(path(proxy), error) || error) {
    const Result<std::string> content = pki::read_small_file(path(proxy), kMaxFile);
    if (content.has_error()) return content.error();
    const Result<Kept> read = read_ceilings(content.value());
    if (read.has_error()) return read.error();
    kept = read.value();
    known = content.value();
  }
  // Also when the state directory was lost, and sidecars have seen higher ones than it ever knew.
  const auto time = std::chrono::duration_cast<std::chrono::milliseconds>(clock_.wall().time_since_epoch()).count();
  kept.epoch = std::max(kept.epoch + 1, static_cast<std::uint64_t>(std::max<std::int64_t>(time, 1)));
  return kept;
}

// Two operators on one state directory are a mistake that the port they share prevents on one machine; this is for a
// directory on a network.
CeilingStore::Saved CeilingFiles::save(const std::string& proxy, std::uint64_t epoch,
                                       const operator_budget::Ceilings& ceilings) {
  std::string& known = known_[proxy];
  std::error_code error;
  std::string found;
  if (std::filesystem::exists(path(proxy), error)) {
    const Result<std::string> content = pki::read_small_file(path(proxy), kMaxFile);
    if (content.has_error()) return Saved::kLater;
    found = content.value();
  } else if (error) {
    return Saved::kLater;
  }
  std::string wanted = write_ceilings(epoch, ceilings);
  if (found != known && found != wanted) return Saved::kSuperseded;
  const Result<void> written = pki::write_file_atomically(path(proxy), wanted, 0600);
  if (written.has_error()) {
    log::error("budget", "cannot keep ceilings: nothing more is granted until it can",
               {{"file", path(proxy)}, {"error", written.error().message()}});
    return Saved::kLater;
  }
  known = std::move(wanted);
  return Saved::kInForce;
}

}  // namespace dbproxy::operator_control
