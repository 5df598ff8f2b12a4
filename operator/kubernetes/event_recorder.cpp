#include "operator/kubernetes/event_recorder.hpp"

#include <algorithm>

#include "operator/kubernetes/objects.hpp"
#include "proxy/base/log.hpp"

namespace dbproxy::kubernetes {
namespace {

constexpr std::size_t kMostWaiting = 1000;
constexpr std::size_t kMostRecent = 50;
constexpr std::size_t kMaxNote = 1024;
constexpr std::size_t kMaxWord = 128;

const Resource kEvents{"events.k8s.io", "v1", "events"};

// Cut at a character's begin, so that it stays UTF-8.
std::string cut(const std::string& text, std::size_t most) {
  if (text.size() <= most) return text;
  std::size_t end = most;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end);
}

std::string hex(std::uint64_t number) {
  std::string out;
  for (int shift = 60; shift >= 0; shift -= 4) out += "0123456789abcdef"[number >> shift & 15];
  return out;
}

}  // namespace

EventRecorder::EventRecorder(Client& client, std::string controller, std::string instance, const Clock& clock)
    : client_(client), controller_(std::move(controller)), instance_(std::move(instance)), clock_(clock) {
  thread_ = std::thread([this] { run(); });
}

EventRecorder::~EventRecorder() {
  stop();
}

void EventRecorder::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  canceller_.cancel();
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void EventRecorder::post(EventNote note) {
  const std::lock_guard lock(mutex_);
  remember(note);
  if (stopping_ || queue_.size() >= kMostWaiting) {
    ++counts_.dropped;
    return;
  }
  queue_.push_back(std::move(note));
  wake_.notify_all();
}

void EventRecorder::remember(const EventNote& note) {
  const auto same = std::find_if(recent_.begin(), recent_.end(), [&](const Told& each) {
    return each.note.reason == note.reason && each.note.note == note.note &&
           each.note.regarding.kind == note.regarding.kind &&
           each.note.regarding.name_space == note.regarding.name_space &&
           each.note.regarding.name == note.regarding.name;
  });
  Told told{note, 1, clock_.now()};
  if (same != recent_.end()) {
    told.count = same->count + 1;
    recent_.erase(same);
  } else if (recent_.size() >= kMostRecent) {
    recent_.pop_back();
  }
  recent_.push_front(std::move(told));
}

std::vector<EventRecorder::Told> EventRecorder::recent() const {
  const std::lock_guard lock(mutex_);
  return {recent_.begin(), recent_.end()};
}

void EventRecorder::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    const EventNote note = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    write(note);
    lock.lock();
  }
}

json::object EventRecorder::body(const EventNote& note, const std::string& name) const {
  const Regarding& about = note.regarding;
  json::object regarding{{"apiVersion", about.api_version}, {"kind", about.kind}, {"name", about.name}};
  if (!about.name_space.empty()) regarding["namespace"] = about.name_space;
  if (!about.uid.empty()) regarding["uid"] = about.uid;
  return {{"apiVersion", "events.k8s.io/v1"},
          {"kind", "Event"},
          {"metadata",
           json::object{{"name", name}, {"namespace", about.name_space.empty() ? "default" : about.name_space}}},
          {"eventTime", micro_time(clock_.wall())},
          {"type", note.warning ? "Warning" : "Normal"},
          {"reason", cut(note.reason, kMaxWord)},
          {"action", cut(note.action, kMaxWord)},
          {"note", cut(note.note, kMaxNote)},
          {"regarding", std::move(regarding)},
          {"reportingController", controller_},
          {"reportingInstance", cut(instance_, kMaxWord)}};
}

void EventRecorder::write(const EventNote& note) {
  const Regarding& about = note.regarding;
  const std::string object = about.kind + "\n" + about.name_space + "\n" + about.name + "\n" + about.uid;
  const std::string what = object + "\n" + note.reason + "\n" + note.action + "\n" + note.note;
  const std::string name_space = about.name_space.empty() ? "default" : about.name_space;
  EventSeries::Verdict verdict = series_.seen(what, object, clock_.now());
  using Verdict = EventSeries::Verdict::Kind;
  if (verdict.kind == Verdict::kWithhold) {
    ++counts_.withheld;
    return;
  }
  if (verdict.kind == Verdict::kWait) return;
  if (verdict.kind == Verdict::kUpdate) {
    const json::object patch{{"series", json::object{{"count", std::max<std::uint32_t>(2, verdict.count)},
                                                     {"lastObservedTime", micro_time(clock_.wall())}}}};
    const auto patched = merge_patch(client_, {kEvents, name_space, verdict.name}, patch, &canceller_);
    if (patched.has_value()) {
      ++counts_.written;
      return;
    }
    if (!patched.error().not_found()) {
      ++counts_.dropped;
      return;
    }
    series_.forget(what);  // it has lived its hour
    verdict = series_.seen(what, object, clock_.now());
    if (verdict.kind != Verdict::kCreate) return;
  }
  const auto since = std::chrono::duration_cast<std::chrono::nanoseconds>(clock_.wall().time_since_epoch()).count();
  const std::string name = cut(about.name, 200) + "." + hex(static_cast<std::uint64_t>(since) + numbers_++);
  const auto made = create(client_, {kEvents, name_space, name}, body(note, name), &canceller_);
  if (made.has_value()) {
    ++counts_.written;
    series_.created(what, name);
    return;
  }
  ++counts_.dropped;
  series_.forget(what);
  if (!made.error().cancelled()) {
    log::debug("kubernetes", "an Event was not taken", {{"reason", note.reason}, {"error", made.error().text()}});
  }
}

}  // namespace dbproxy::kubernetes
