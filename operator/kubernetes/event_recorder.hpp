// EventRecorder: Events of events.k8s.io/v1 about objects, written in the background.
//
// `post` never blocks: what the API server does not take in time is dropped and counted, since Events are for people
// and nothing may depend on them. What repeats becomes a series, and spam is withheld (event_series.hpp). Texts must
// hold no secret. Owns one thread. All methods are thread-safe.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "operator/kubernetes/client.hpp"
#include "operator/kubernetes/event_series.hpp"

namespace dbproxy::kubernetes {

struct Regarding {
  std::string api_version, kind, name_space, name, uid;
};

struct EventNote {
  Regarding regarding;
  bool warning = false;
  std::string reason;  // CamelCase, at most 128 bytes
  std::string action;  // what was done about it, likewise
  std::string note;    // a sentence; cut at 1024 bytes
};

class EventRecorder {
 public:
  // `client` and `clock` outlive it. `instance`: this process, as a pod's name.
  EventRecorder(Client& client, std::string controller, std::string instance, const Clock& clock);
  ~EventRecorder();  // what still waits is dropped

  void post(EventNote note);

  struct Told {
    EventNote note;
    std::uint32_t count = 1;
    TimePoint at{};  // of the last time
  };
  // The last ones that were posted, newest first; what repeats, once.
  std::vector<Told> recent() const;
  void stop();

  struct Counts {
    std::atomic<std::uint64_t> written{0}, withheld{0}, dropped{0};
  };
  const Counts& counts() const { return counts_; }

 private:
  void run();
  void remember(const EventNote& note);  // with the lock
  void write(const EventNote& note);
  json::object body(const EventNote& note, const std::string& name) const;

  Client& client_;
  const std::string controller_, instance_;
  const Clock& clock_;
  EventSeries series_;  // of the thread
  std::uint64_t numbers_ = 0;
  Counts counts_;
  Canceller canceller_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::deque<EventNote> queue_;
  std::deque<Told> recent_;
  std::thread thread_;
};

}  // namespace dbproxy::kubernetes
