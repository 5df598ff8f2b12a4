// The manifest files of a directory, read whole, and their digest. Internal to proxy/manifest.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "proxy/manifest/loader.hpp"

namespace dbproxy::manifest {

struct FileSet {
  std::vector<Source> sources;   // by name; the name is the path below the directory
  std::vector<Source> problems;  // what could not be read, and why in words
};

FileSet read_files(const std::filesystem::path& directory);

// SHA-256 in hex over names and contents.
std::string digest(const std::vector<Source>& sources);
std::string digest(const FileSet& files);

}  // namespace dbproxy::manifest
