// Failure: why the API server did not do what it was asked. Plain data.
//
// What the server itself says comes as a Status object (apimachinery meta/v1); the rest is what happened to the
// connection. Texts may quote the server and are bounded; they hold no credential.
#pragma once

#include <boost/system/result.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace dbproxy::kubernetes {

struct Failure {
  enum class Kind {
    kNone,       // there is none: a watch that ended in its own time
    kTransport,  // no connection, or it broke
    kTimeout,    // no answer in time
    kCancelled,  // by whoever waits
    kStatus,     // the server said no: `code`, `reason`, `message`
    kMalformed,  // what came is not HTTP or not what the API sends
    kTooLarge,   // more than this client takes
    kConfig,     // credentials or certificates cannot be read
  };
  Kind kind = Kind::kNone;
  int code = 0;         // HTTP status, or the code of a Status inside of a stream
  std::string reason;   // of the Status: NotFound, Expired, Conflict, …
  std::string message;  // a sentence for people
  std::optional<std::chrono::milliseconds> retry_after;

  bool ok() const { return kind == Kind::kNone; }
  bool cancelled() const { return kind == Kind::kCancelled; }
  bool status(int which) const { return kind == Kind::kStatus && code == which; }
  bool not_found() const { return status(404); }
  bool conflict() const { return status(409); }
  // The resourceVersion or the continue token is too old to go on from: list again.
  bool expired() const { return status(410); }
  std::string text() const;
};

// The Failure that a response of this status and body means; the body need not be a Status.
Failure failure_of(int code, std::string_view body);

template <class T>
using Outcome = boost::system::result<T, Failure>;

// What boost::system::result calls for value() without a value: a broken invariant.
[[noreturn]] void throw_exception_from_error(const Failure& failure, const boost::source_location& where);

}  // namespace dbproxy::kubernetes
