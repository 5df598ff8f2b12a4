// What a client sends first: StartupMessage, SSLRequest, GSSENCRequest or CancelRequest.
// (Protocol: "Start-up", "SSL Session Encryption", "Canceling Requests in Progress".)
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace dbproxy::wire::postgres {

inline constexpr std::uint32_t kSslRequestCode = 80877103;
inline constexpr std::uint32_t kGssEncRequestCode = 80877104;
inline constexpr std::uint32_t kCancelRequestCode = 80877102;

struct SslRequest {};
struct GssEncRequest {};
struct CancelRequest {
  std::uint32_t process_id = 0;
  std::string_view key;  // 4 bytes in protocol 3.0, up to 256 later
};
struct Startup {
  std::uint16_t major = 3;
  std::uint16_t minor = 0;
  std::vector<std::pair<std::string_view, std::string_view>> parameters;  // in the order sent
};
// Words for the client's ErrorResponse.
struct BadStartup {
  const char* why = "";
  const char* sqlstate = "08P01";
};

using StartupPacket = std::variant<BadStartup, SslRequest, GssEncRequest, CancelRequest, Startup>;

// `packet` is one whole packet, as scan_startup() measured it. Views point into it.
StartupPacket parse_startup(std::string_view packet);

// The words of the `options` parameter: separated by white space, a backslash keeps the next character.
std::vector<std::string> split_options(std::string_view options);

}  // namespace dbproxy::wire::postgres
