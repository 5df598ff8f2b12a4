// Secret: a string that cannot be printed, formatted, logged or compared by accident.
//
// It has no conversion to a string, a stream or a log field, so that code which would print it does not compile.
// The bytes are wiped when the object dies. `reveal()` is the one way out: its uses are what a review looks at.
// Thread-safe as far as std::string is: concurrent const access only.
#pragma once

#include <iosfwd>
#include <string>
#include <string_view>

namespace dbproxy {

class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string value) : value_(std::move(value)) {}
  Secret(const Secret&) = default;
  Secret(Secret&& other) noexcept;
  Secret& operator=(const Secret& other);
  Secret& operator=(Secret&& other) noexcept;
  ~Secret() { wipe(); }

  std::string_view reveal() const { return value_; }
  bool empty() const { return value_.empty(); }

  // Time depends on the lengths only, never on where the two differ.
  bool operator==(const Secret& other) const;

 private:
  void wipe();
  std::string value_;
};

std::ostream& operator<<(std::ostream&, const Secret&) = delete;

}  // namespace dbproxy
