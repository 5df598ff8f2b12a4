#include "proxy/session/postgres/cancel_key.hpp"

#include <openssl/crypto.h>

namespace dbproxy::session::postgres {
namespace {

constexpr int kRandomBits = 23;  // of the process id; below the worker's eight, below the sign

}  // namespace

CancelKey make_cancel_key(std::uint32_t worker, bool long_key, const auth::RandomBytes& random) {
  CancelKey key;
  std::array<std::uint8_t, 4> bytes{};
  std::uint32_t low = 0;
  while (low == 0) {
    random(bytes);
    low = (std::uint32_t{bytes[0]} << 16 | std::uint32_t{bytes[1]} << 8 | bytes[2]) & ((1u << kRandomBits) - 1);
  }
  key.process_id_ = worker << kRandomBits | low;
  key.size_ = long_key ? 32 : 4;
  random(std::span(key.secret_).first(key.size_));
  return key;
}

std::uint32_t worker_of(std::uint32_t process_id) {
  return process_id >> kRandomBits;
}

bool CancelKey::matches(std::string_view secret) const {
  return size_ != 0 && secret.size() == size_ && CRYPTO_memcmp(secret.data(), secret_.data(), size_) == 0;
}

}  // namespace dbproxy::session::postgres
