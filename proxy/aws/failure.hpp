// Why something that needed AWS did not work, in words that name where it came from and what to do. No secrets.
#pragma once

#include <string>
#include <utility>

namespace dbproxy::aws {

struct Failure {
  enum class Kind {
    kNone,
    kNotConfigured,  // nothing says where credentials come from
    kUnreachable,    // nobody answered, or not in time, or not whom was asked
    kThrottled,      // asked too often
    kDenied,         // a permission or a trust is missing
    kNotFound,
    kMalformed,  // an answer, a file or a secret that does not hold what it should
    kRefused,    // everything else that was answered with an error
  };
  Kind kind = Kind::kNone;
  std::string what;
  std::string remedy;  // may be empty

  explicit operator bool() const { return kind != Kind::kNone; }
  bool operator==(const Failure&) const = default;
};

inline std::string to_text(const Failure& failure) {
  return failure.remedy.empty() ? failure.what : failure.what + "; " + failure.remedy;
}

template <class T>
struct Outcome {
  T value{};
  Failure failure;

  Outcome() = default;
  Outcome(T v) : value(std::move(v)) {}              // NOLINT(google-explicit-constructor): as return values read
  Outcome(Failure why) : failure(std::move(why)) {}  // NOLINT(google-explicit-constructor)
  bool ok() const { return failure.kind == Failure::Kind::kNone; }
};

}  // namespace dbproxy::aws
