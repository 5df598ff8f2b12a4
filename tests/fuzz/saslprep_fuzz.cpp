// SASLprep of any bytes: nothing becomes empty, and what is ASCII stays as it is.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "proxy/auth/saslprep.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 1024) return 0;
  const dbproxy::Secret password(std::string(reinterpret_cast<const char*>(data), size));
  const dbproxy::Secret prepared = dbproxy::auth::saslprep(password);
  if (!password.empty() && prepared.empty()) std::abort();
  bool ascii = true;
  for (std::size_t i = 0; i < size; ++i) ascii = ascii && data[i] < 0x80;
  if (ascii && !(prepared == password)) std::abort();
  return 0;
}
