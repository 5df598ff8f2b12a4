#include "proxy/auth/random.hpp"

#include <cstdlib>
#include <openssl/rand.h>

namespace dbproxy::auth {

RandomBytes system_random() {
  return [](std::span<std::uint8_t> out) {
    if (RAND_bytes(out.data(), static_cast<int>(out.size())) != 1) std::abort();
  };
}

}  // namespace dbproxy::auth
