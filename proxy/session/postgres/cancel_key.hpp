// CancelKey: what a client is told so that it can cancel, and what a CancelRequest has to repeat.
//
// The process id carries the worker that the client belongs to, so that a request which arrives at another one finds
// its way. All other bits are random: 55 of them for protocol 3.0, whose key has 4 bytes, and 279 for 3.2. The process
// id is positive, since libpq and drivers show it as an int. Plain value; make_cancel_key is pure.
// (Protocol: "Canceling Requests in Progress", BackendKeyData.)
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "proxy/auth/random.hpp"

namespace dbproxy::session::postgres {

inline constexpr std::uint32_t kMaxWorkers = 256;

class CancelKey {
 public:
  CancelKey() = default;

  std::uint32_t process_id() const { return process_id_; }
  std::string_view secret() const { return {reinterpret_cast<const char*>(secret_.data()), size_}; }
  // The time it takes tells nothing of how much of the key is right.
  bool matches(std::string_view secret) const;

 private:
  friend CancelKey make_cancel_key(std::uint32_t worker, bool long_key, const auth::RandomBytes& random);
  std::uint32_t process_id_ = 0;
  std::uint8_t size_ = 0;
  std::array<std::uint8_t, 32> secret_{};
};

// worker < kMaxWorkers. `long_key`: the client speaks protocol 3.2. The caller sees to it that the process id is taken
// by nobody else.
CancelKey make_cancel_key(std::uint32_t worker, bool long_key, const auth::RandomBytes& random);
std::uint32_t worker_of(std::uint32_t process_id);

}  // namespace dbproxy::session::postgres
