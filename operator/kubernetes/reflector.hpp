// Reflector: one resource of the API server mirrored into a Store, for as long as it lives.
//
// The semantics are those of client-go's reflector. It begins with a streaming list (a watch with sendInitialEvents)
// and falls back to LIST in pages where the server does not do that, then watches from the resourceVersion that it has;
// bookmarks move that on. A watch is asked to end after 5 to 10 minutes, at random. 410, as a status or as an event,
// means: list again. Failures are followed by a wait of 0.8 s to 30 s; a Retry-After is honoured. A page that is too
// large is asked for again with half as many objects. A watch that was silent for longer than bookmarks are apart, or
// beyond its own end, counts as broken. After any fault the store comes to equal what the server has.
//
// Owns one thread, on which `on_change` is called: one change at a time, in the order in which they were seen. What was
// changed back while the watch was away may not be seen at all.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "operator/kubernetes/client.hpp"
#include "operator/kubernetes/resource.hpp"
#include "operator/kubernetes/store.hpp"

namespace dbproxy::kubernetes {

struct ReflectorOptions {
  Resource resource;
  std::string name_space;      // "": all
  std::string label_selector;  // as the API takes it
  std::string field_selector;
  bool metadata_only = false;  // PartialObjectMetadata: no spec, no data
  // Keeps of an object what is needed; metadata's name, namespace, uid and resourceVersion have to stay.
  std::function<json::object(json::object)> trim;

  bool streaming = true;
  std::size_t page_size = 500;
  std::size_t max_page_bytes = std::size_t{32} << 20;
  std::chrono::milliseconds watch_least{300'000}, watch_most{600'000};
  // Bookmarks come once a minute; counted only once one has been seen.
  std::chrono::milliseconds quiet_limit{150'000};
  std::chrono::milliseconds overdue{30'000};  // that a watch may live beyond the end that it was asked to have
  std::chrono::milliseconds request_timeout{30'000};
  std::chrono::milliseconds backoff_base{800}, backoff_cap{30'000};
};

// Only grow. Read from any thread.
struct ReflectorCounts {
  std::atomic<std::uint64_t> lists{0};    // completed, streaming or in pages
  std::atomic<std::uint64_t> watches{0};  // that the server answered with 200
  std::atomic<std::uint64_t> events{0};   // besides bookmarks
  std::atomic<std::uint64_t> bookmarks{0};
  std::atomic<std::uint64_t> expired{0};   // 410
  std::atomic<std::uint64_t> failures{0};  // that were followed by a wait
};

class Reflector {
 public:
  using OnChange = std::function<void(const Change&)>;

  // `client` outlives it.
  Reflector(Client& client, ReflectorOptions options, OnChange on_change);
  ~Reflector();  // stops
  Reflector(const Reflector&) = delete;
  Reflector& operator=(const Reflector&) = delete;

  void start();
  // Returns when the thread has ended: at once, but for a callback that is under way. Idempotent.
  void stop();

  const Store& store() const { return store_; }
  // The store was complete once. It stays true while the server is away.
  bool synced() const { return synced_; }
  const ReflectorCounts& counts() const { return counts_; }
  // Of the last attempt; "" while all is well.
  std::string last_error() const;

 private:
  void run();
  Failure list();
  Failure list_pages(std::size_t page_size);
  Failure watch(bool initial);
  Failure take(std::string_view line, bool& initial, std::map<std::string, ObjectPtr>& first);
  ObjectPtr trimmed(json::object object) const;
  void report(const std::vector<Change>& changes);
  void listed(std::map<std::string, ObjectPtr> all, std::string version);

  Client& client_;
  const ReflectorOptions options_;
  const OnChange on_change_;
  Store store_;
  ReflectorCounts counts_;
  std::atomic<bool> synced_{false};
  Canceller canceller_;
  mutable std::mutex error_mutex_;
  std::string last_error_;
  std::thread thread_;

  // Of the thread only.
  std::string version_;  // to watch from; "": list first
  bool streaming_;       // worth a try
  std::size_t page_size_;
  int refused_watches_ = 0;  // one after the other
  bool bookmarks_come_ = false;
};

}  // namespace dbproxy::kubernetes
