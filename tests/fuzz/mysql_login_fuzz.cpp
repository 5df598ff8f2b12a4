// A log-in into a MySQL server that says anything: bounded, never beyond its bytes, and without TLS the password is
// never sent as it is. The first byte chooses options; the rest comes in pieces of a size that it chooses, too.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "proxy/backend/mysql_login.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace dbproxy::backend::mysql;
  if (size < 1) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  LoginOptions options;
  options.user = "alice";
  options.password = dbproxy::Secret("open sesame, please");
  options.tls = data[0] & 1 ? dbproxy::config::TlsMode::kRequire : dbproxy::config::TlsMode::kDisable;
  options.clear_password = data[0] & 2;
  if (data[0] & 4) options.schema = "shop";
  const std::size_t piece = 1 + (data[0] >> 3);
  Login login(options);
  std::string out, waiting;
  bool tls = false;
  Want want = login.start(out);
  for (std::size_t at = 0; at < bytes.size() && want == Want::kRead;) {
    const std::size_t more = std::min(piece, bytes.size() - at);
    // As a socket would have it: behind the greeting nothing more has been read yet.
    waiting += bytes.substr(at, more);
    at += more;
    std::size_t consumed = 0;
    want = login.feed(waiting, consumed, out);
    if (consumed > waiting.size()) std::abort();
    waiting.erase(0, consumed);
    if (want == Want::kStartTls) {
      tls = true;
      want = login.tls_established(out);
    }
  }
  if (!tls && out.find("open sesame") != std::string::npos) std::abort();
  if (want == Want::kFailed && login.failure().message.empty() && login.failure().kind != FailureKind::kServerError)
    std::abort();
  return 0;
}
