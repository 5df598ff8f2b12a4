// A manifest file of any bytes: resources, or diagnostics that can be shown; never an exception, never a crash.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "proxy/manifest/loader.hpp"

using namespace dbproxy;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const manifest::Manifests manifests =
      manifest::load_sources({{"fuzz.yaml", std::string(reinterpret_cast<const char*>(data), size)}});
  for (const auto& diagnostic : manifests.diagnostics) {
    if (manifest::to_text(diagnostic).empty()) std::abort();
  }
  if (manifests.digest.empty()) std::abort();
  return 0;
}
