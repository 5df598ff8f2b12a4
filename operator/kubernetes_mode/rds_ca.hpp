// The CAs by which this installation knows databases: of a PEM file, or of the *.pem files of a directory, as a mounted
// ConfigMap is. Blocking; any thread.
#pragma once

#include <string>

#include "proxy/base/clock.hpp"

namespace dbproxy::kubernetes_mode {

struct RdsCa {
  std::string pem;     // all of it, file by file
  WallTime expires{};  // when the first of them ends that has not ended by `now`
  std::string error;   // else "": why it cannot be used; the rest is empty then
};

// Every certificate is parsed. More than 1 MB is refused: each sidecar is sent a copy.
RdsCa load_rds_ca(const std::string& path, WallTime now);

}  // namespace dbproxy::kubernetes_mode
