// EventSeries: which Events are written, counted or withheld. Pure; times are passed in. Not thread-safe.
//
// The same thing about the same object within six minutes is one Event with a series whose count grows, written at the
// second time and then at most once a minute. One object may have 25 Events at once and one more every five minutes
// (client-go's spam filter). The memory is bounded: when it is full it starts over.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "proxy/base/clock.hpp"

namespace dbproxy::kubernetes {

class EventSeries {
 public:
  struct Verdict {
    enum class Kind { kCreate, kUpdate, kWait, kWithhold };
    Kind kind = Kind::kWithhold;
    std::string name;  // of the Event, where it has been created
    std::uint32_t count = 1;
  };

  // `what` identifies the thing and its object, `object` the object alone.
  Verdict seen(const std::string& what, const std::string& object, TimePoint now);
  // It was created under this name.
  void created(const std::string& what, const std::string& name);
  // It does not exist any more, or could not be written: the next one is new.
  void forget(const std::string& what);

 private:
  struct Entry {
    std::string name;
    std::uint32_t count = 1;
    TimePoint last_seen, last_written;
  };
  struct Bucket {
    double tokens;
    TimePoint last;
  };
  void bound(TimePoint now);

  std::map<std::string, Entry> entries_;
  std::map<std::string, Bucket> buckets_;
};

}  // namespace dbproxy::kubernetes
