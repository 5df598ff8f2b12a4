#include "proxy/metrics/build_info.hpp"

namespace dbproxy::metrics {

std::string_view build_version() {
  return DBPROXY_VERSION;
}

std::string_view build_revision() {
  return DBPROXY_REVISION;
}

std::string_view build_compiler() {
#if defined(__clang__)
  return "clang++ " __clang_version__;
#else
  return "g++ " __VERSION__;
#endif
}

}  // namespace dbproxy::metrics
