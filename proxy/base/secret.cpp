#include "proxy/base/secret.hpp"

#include <openssl/crypto.h>

namespace dbproxy {

// Copied, then wiped: a short string that was moved from would keep its bytes.
Secret::Secret(Secret&& other) noexcept {
  value_ = other.value_;
  other.wipe();
}

Secret& Secret::operator=(const Secret& other) {
  if (this != &other) {
    wipe();
    value_ = other.value_;
  }
  return *this;
}

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this != &other) {
    wipe();
    value_ = other.value_;
    other.wipe();
  }
  return *this;
}

bool Secret::operator==(const Secret& other) const {
  return value_.size() == other.value_.size() && CRYPTO_memcmp(value_.data(), other.value_.data(), value_.size()) == 0;
}

void Secret::wipe() {
  if (!value_.empty()) OPENSSL_cleanse(value_.data(), value_.size());
  value_.clear();
}

}  // namespace dbproxy
