#include "operator/kubernetes/reflector.hpp"

#include <random>

#include "operator/kubernetes/backoff.hpp"
#include "operator/kubernetes/watch_event.hpp"
#include "proxy/base/log.hpp"

namespace dbproxy::kubernetes {
namespace {

using Kind = Failure::Kind;
using SteadyClock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::size_t kMaxWholeList = std::size_t{512} << 20;
constexpr int kRestarts = 3;          // of a list in pages whose continue token expired
constexpr int kRefusedWatches = 3;    // then what is known is not trusted any more
constexpr milliseconds kShort{1000};  // a watch that ends sooner, without an event, is a fault

std::mt19937_64& generator() {
  thread_local std::mt19937_64 engine{std::random_device{}()};
  return engine;
}

double random_fraction() {
  return std::uniform_real_distribution<double>(0, 1)(generator());
}

}  // namespace

Reflector::Reflector(Client& client, ReflectorOptions options, OnChange on_change)
    : client_(client),
      options_(std::move(options)),
      on_change_(std::move(on_change)),
      streaming_(options_.streaming),
      page_size_(options_.page_size) {}

Reflector::~Reflector() {
  stop();
}

void Reflector::start() {
  thread_ = std::thread([this] { run(); });
}

void Reflector::stop() {
  canceller_.cancel();
  if (thread_.joinable()) thread_.join();
}

std::string Reflector::last_error() const {
  const std::lock_guard lock(error_mutex_);
  return last_error_;
}

void Reflector::run() {
  Backoff backoff(options_.backoff_base, options_.backoff_cap);
  while (!canceller_.cancelled()) {
    const bool initial = version_.empty();
    const bool streaming = initial && streaming_;
    const std::uint64_t events = counts_.events;
    const std::uint64_t lists = counts_.lists;
    const auto began = SteadyClock::now();
    const Failure failure = initial && !streaming ? list() : watch(streaming);
    if (failure.cancelled() || canceller_.cancelled()) return;
    const bool progress = counts_.lists != lists;
    if (progress && initial) refused_watches_ = 0;
    if (streaming && !progress) {
      // The server does not know streaming lists, or its storage cannot do them: from now on, or for this once.
      const bool temporary = failure.kind != Kind::kStatus || failure.status(429) || failure.status(401) ||
                             failure.status(403) || failure.status(503);
      if (!temporary) {
        streaming_ = false;
        log::debug("kubernetes", "no streaming list, falling back",
                   {{"resource", options_.resource.name()}, {"error", failure.text()}});
        continue;
      }
    }
    if (failure.ok()) {
      const bool fine = progress || counts_.events != events || SteadyClock::now() - began >= kShort;
      {
        const std::lock_guard lock(error_mutex_);
        last_error_.clear();
      }
      if (fine) continue;
    } else if (failure.expired()) {
      ++counts_.expired;
      version_.clear();
      log::info("kubernetes", "what was known is too old, listing again", {{"resource", options_.resource.name()}});
      if (progress || SteadyClock::now() - began >= kShort) continue;  // once is normal; again at once is not
    } else if (!initial && (failure.kind == Kind::kStatus || failure.kind == Kind::kMalformed)) {
      // A server whose storage was replaced knows nothing of our resourceVersion, and need not say 410.
      if (++refused_watches_ >= kRefusedWatches) version_.clear();
    }
    ++counts_.failures;
    {
      const std::lock_guard lock(error_mutex_);
      last_error_ = failure.text();
    }
    milliseconds wait = backoff.next(SteadyClock::now(), random_fraction());
    if (failure.retry_after) wait = std::max(wait, *failure.retry_after);
    log::warn("kubernetes", "trying again",
              {{"resource", options_.resource.name()},
               {"namespace", options_.name_space},
               {"error", failure.ok() ? "the watch ended at once" : failure.text()},
               {"in_ms", wait.count()}});
    if (canceller_.sleep(wait)) return;
  }
}

ObjectPtr Reflector::trimmed(json::object object) const {
  if (json::value* metadata = object.if_contains("metadata"); metadata != nullptr && metadata->is_object()) {
    metadata->get_object().erase("managedFields");
  }
  return std::make_shared<const json::object>(options_.trim ? options_.trim(std::move(object)) : std::move(object));
}

void Reflector::report(const std::vector<Change>& changes) {
  if (!on_change_) return;
  for (const Change& change : changes) on_change_(change);
}

void Reflector::listed(std::map<std::string, ObjectPtr> all, std::string version) {
  const std::vector<Change> changes = store_.replace(std::move(all));
  version_ = std::move(version);
  ++counts_.lists;
  report(changes);
  synced_ = true;  // after the callbacks, so that who waits for it has heard of everything
}

Failure Reflector::list() {
  for (int i = 0; i < kRestarts; ++i) {
    Failure failure = list_pages(page_size_);
    if (!failure.expired()) return failure;
    ++counts_.expired;  // it took longer than the server keeps history
  }
  return list_pages(0);
}

// `page_size` 0: all at once.
Failure Reflector::list_pages(std::size_t page_size) {
  std::map<std::string, ObjectPtr> all;
  std::string version;
  std::string next;
  do {
    Request request;
    request.target = path_of(options_.resource, options_.name_space) +
                     query_text({{"labelSelector", options_.label_selector},
                                 {"fieldSelector", options_.field_selector},
                                 {"limit", page_size == 0 ? "" : std::to_string(page_size)},
                                 {"continue", next}});
    if (options_.metadata_only) request.accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    request.timeout = options_.request_timeout;
    request.max_body = page_size == 0 ? kMaxWholeList : options_.max_page_bytes;
    Outcome<json::object> page = client_.send_json(request, &canceller_);
    if (page.has_error()) {
      if (page.error().kind == Kind::kTooLarge && page_size > 1) {
        page_size = page_size_ = page_size / 2;
        continue;
      }
      return page.error();
    }
    version = resource_version_of(*page);
    next = text_at(*page, {"metadata", "continue"});
    json::value* items = page->if_contains("items");
    if (version.empty() || items == nullptr || !(items->is_array() || items->is_null())) {
      return {Kind::kMalformed, 0, "", "list: what came is not a list", std::nullopt};
    }
    if (items->is_null()) continue;
    for (json::value& item : items->get_array()) {
      if (!item.is_object() || text_at(item.get_object(), {"metadata", "name"}).empty()) {
        return {Kind::kMalformed, 0, "", "list: an item is not an object with a name", std::nullopt};
      }
      ObjectPtr object = trimmed(std::move(item.get_object()));
      all[key_of(*object)] = object;
    }
  } while (!next.empty());
  listed(std::move(all), std::move(version));
  return {};
}

Failure Reflector::watch(bool initial) {
  const auto spread = static_cast<double>((options_.watch_most - options_.watch_least).count());
  const milliseconds lasts = options_.watch_least + milliseconds(static_cast<std::int64_t>(spread * random_fraction()));
  Request request;
  request.target = path_of(options_.resource, options_.name_space) +
                   query_text({{"watch", "true"},
                               {"allowWatchBookmarks", "true"},
                               {"labelSelector", options_.label_selector},
                               {"fieldSelector", options_.field_selector},
                               {"sendInitialEvents", initial ? "true" : ""},
                               {"resourceVersionMatch", initial ? "NotOlderThan" : ""},
                               {"resourceVersion", initial ? "" : version_},
                               {"timeoutSeconds", std::to_string(std::max<std::int64_t>(1, lasts.count() / 1000))}});
  if (options_.metadata_only) request.accept = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
  request.timeout = options_.request_timeout;
  Outcome<LineStream> stream = client_.open(request, &canceller_);
  if (stream.has_error()) return stream.error();
  ++counts_.watches;
  const auto overdue = SteadyClock::now() + lasts + options_.overdue;
  std::map<std::string, ObjectPtr> first;
  for (;;) {
    auto deadline = overdue;
    if (initial) deadline = std::min(deadline, SteadyClock::now() + options_.request_timeout);
    if (bookmarks_come_) deadline = std::min(deadline, SteadyClock::now() + options_.quiet_limit);
    Outcome<std::optional<std::string_view>> line = stream->next(deadline);
    if (line.has_error()) {
      Failure failure = line.error();
      // Silence may be all that there is to say; asking again costs little. The end of a connection that carried a
      // watch is how servers and load balancers end one too.
      if (failure.kind == Kind::kTimeout && !initial) return {};
      return failure;
    }
    if (!*line) {
      if (!initial) return {};
      return {Kind::kTransport, 0, "", "watch: it ended before the list was complete", std::nullopt};
    }
    if (Failure failure = take(**line, initial, first); !failure.ok()) return failure;
  }
}

Failure Reflector::take(std::string_view line, bool& initial, std::map<std::string, ObjectPtr>& first) {
  Outcome<WatchEvent> event = decode_watch_event(line);
  if (event.has_error()) return event.error();
  const std::string version(resource_version_of(event->object));
  refused_watches_ = 0;
  if (event->type == WatchEvent::Type::kBookmark) {
    ++counts_.bookmarks;
    if (!event->initial_end) {
      bookmarks_come_ = true;
      if (!initial) version_ = version;
    } else if (initial) {
      initial = false;
      listed(std::move(first), version);
      first.clear();
    }
    return {};
  }
  ++counts_.events;
  const std::string key = key_of(event->object);
  const bool gone = event->type == WatchEvent::Type::kDeleted;
  if (initial) {
    if (gone) {
      first.erase(key);
    } else {
      first[key] = trimmed(std::move(event->object));
    }
    return {};
  }
  // First what it means, then how far we are: a callback that does not come back must not skip the event.
  report(gone ? store_.remove(key) : store_.put(trimmed(std::move(event->object))));
  version_ = version;
  return {};
}

}  // namespace dbproxy::kubernetes
