// Versions: numbers that only grow, one row of them per DBProxy; kept in a file, they survive a restart.
//
// The same content after a restart gets the same number again, so that what sidecars hold and what is newest can be
// compared. The file holds a digest of each content, which covers passwords: its mode is 0600. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "proxy/config/snapshot.hpp"

namespace dbproxy::source {

class Versions {
 public:
  // Reads the file; one that is missing or damaged means that numbers start at 1. Empty path: nothing is kept.
  // Numbers are larger than `first`.
  explicit Versions(std::string path, std::uint64_t first = 0);

  // The number of this content, which is the one before where nothing changed.
  std::uint64_t assign(const config::Snapshot& snapshot);
  // The DBProxy is gone: should it come back, it gets a new number whatever it holds.
  void gone(const std::string& proxy);
  // Writes what has changed since.
  void save();

 private:
  struct Entry {
    std::uint64_t version = 0;
    std::string digest;  // hexadecimal; "-": gone
  };

  std::string path_;
  std::uint64_t first_;
  std::map<std::string, Entry> entries_;  // by namespace/name; of DBProxies that are gone too
  bool changed_ = false;
};

}  // namespace dbproxy::source
