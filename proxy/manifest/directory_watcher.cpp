#include "proxy/manifest/directory_watcher.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "proxy/base/log.hpp"

namespace dbproxy::manifest {
namespace {

constexpr std::uint32_t kEvents = IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE |
                                  IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

}  // namespace

DirectoryWatcher::DirectoryWatcher(std::filesystem::path directory, std::string known_digest, Callback callback,
                                   Timing timing)
    : directory_(std::move(directory)),
      callback_(std::move(callback)),
      timing_(timing),
      digest_(std::move(known_digest)),
      inotify_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)),
      wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  if (inotify_ < 0) {  // fs.inotify.max_user_instances: the rescan alone will have to do
    log::warn("manifest", "inotify is not available, changes are found by rescan", {{"error", std::strerror(errno)}});
  }
  watch();
  thread_ = std::jthread([this](const std::stop_token& stop) { run(stop); });
}

DirectoryWatcher::~DirectoryWatcher() {
  thread_.request_stop();
  std::uint64_t one = 1;
  [[maybe_unused]] auto written = write(wake_, &one, sizeof(one));
  thread_.join();
  if (inotify_ >= 0) close(inotify_);
  if (wake_ >= 0) close(wake_);
}

void DirectoryWatcher::watch() {
  if (inotify_ < 0) return;
  watch_ = inotify_add_watch(inotify_, directory_.c_str(), kEvents);
}

bool DirectoryWatcher::wait(int timeout_ms) {
  pollfd fds[2] = {{wake_, POLLIN, 0}, {inotify_, POLLIN, 0}};  // poll ignores a negative descriptor
  if (poll(fds, 2, timeout_ms) <= 0 || (fds[1].revents & POLLIN) == 0) return false;
  alignas(inotify_event) char buffer[8192];
  // What happened to which file does not matter: the digest decides.
  while (read(inotify_, buffer, sizeof(buffer)) > 0) {
  }
  return true;
}

void DirectoryWatcher::run(const std::stop_token& stop) {
  using Clock = std::chrono::steady_clock;
  auto rescan_at = Clock::now();  // at once: something may have changed since the caller loaded
  while (!stop.stop_requested()) {
    auto left = std::chrono::duration_cast<std::chrono::milliseconds>(rescan_at - Clock::now());
    bool events = wait(static_cast<int>(std::max<std::int64_t>(left.count() + 1, 0)));
    if (stop.stop_requested()) return;
    if (!events && Clock::now() < rescan_at) continue;
    // A rescan may come upon a file that is just being written, empty for a moment: that settles first, too.
    if (!events) events = digest_directory(directory_) != digest_;
    auto give_up_waiting = Clock::now() + timing_.longest;
    while (events && !stop.stop_requested() && Clock::now() < give_up_waiting) {
      events = wait(static_cast<int>(timing_.quiet.count()));
    }
    if (stop.stop_requested()) return;
    watch();  // adding a watch that exists changes nothing
    check();
    rescan_at = Clock::now() + timing_.rescan;
  }
}

void DirectoryWatcher::check() {
  if (digest_directory(directory_) == digest_) return;
  Manifests loaded = load_directory(directory_);
  if (loaded.digest == digest_) return;  // it changed back in between
  digest_ = loaded.digest;
  callback_(std::move(loaded));
}

}  // namespace dbproxy::manifest
