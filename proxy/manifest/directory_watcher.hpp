// DirectoryWatcher: calls back with freshly loaded manifests whenever what a directory holds has changed.
//
// inotify says when to look (created, written, moved, deleted, and the `..data` symbolic link that kubelet swaps);
// a digest taken every two seconds finds what inotify cannot see: a link's far end, a directory that was deleted and
// made again, a file system without events. Changes that come within 100 ms of each other are loaded as one.
//
// The callback runs on the watcher's own thread, one call at a time, and only when the content differs from what was
// reported last. It may take as long as it likes, and must not destroy the watcher. The destructor waits for it.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>

#include "proxy/manifest/loader.hpp"

namespace dbproxy::manifest {

class DirectoryWatcher {
 public:
  struct Timing {
    std::chrono::milliseconds quiet{100};    // without an event before it loads
    std::chrono::milliseconds longest{500};  // that a stream of events can put loading off
    std::chrono::milliseconds rescan{2000};
  };
  using Callback = std::function<void(Manifests)>;

  // `known_digest`: of what the caller has loaded already; "" makes the first content a change.
  DirectoryWatcher(std::filesystem::path directory, std::string known_digest, Callback callback)
      : DirectoryWatcher(std::move(directory), std::move(known_digest), std::move(callback), Timing()) {}
  DirectoryWatcher(std::filesystem::path directory, std::string known_digest, Callback callback, Timing timing);
  ~DirectoryWatcher();
  DirectoryWatcher(const DirectoryWatcher&) = delete;
  DirectoryWatcher& operator=(const DirectoryWatcher&) = delete;

 private:
  void run(const std::stop_token& stop);
  bool wait(int timeout_ms);  // true if there were events; reads them
  void watch();               // (again): the directory may have been replaced
  void check();

  const std::filesystem::path directory_;
  const Callback callback_;
  const Timing timing_;
  std::string digest_;
  int inotify_ = -1;
  int watch_ = -1;
  int wake_ = -1;
  std::jthread thread_;  // last: it uses all of the above
};

}  // namespace dbproxy::manifest
