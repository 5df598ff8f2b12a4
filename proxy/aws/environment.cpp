#include "proxy/aws/environment.hpp"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>

namespace dbproxy::aws {

Environment system_environment() {
  return [](const std::string& name) {
    const char* value = std::getenv(name.c_str());
    return std::string(value == nullptr ? "" : value);
  };
}

Outcome<std::string> read_file(const std::string& path, std::size_t most) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return Failure{Failure::Kind::kMalformed, "cannot read " + path + ": " + std::strerror(errno),
                   "check its path and mode"};
  }
  std::string out(most + 1, '\0');
  file.read(out.data(), static_cast<std::streamsize>(out.size()));
  if (file.bad()) return Failure{Failure::Kind::kMalformed, "cannot read " + path, "check that it is a file"};
  out.resize(static_cast<std::size_t>(file.gcount()));
  if (out.size() > most) {
    return Failure{Failure::Kind::kMalformed, path + " is larger than " + std::to_string(most) + " bytes", ""};
  }
  return out;
}

}  // namespace dbproxy::aws
