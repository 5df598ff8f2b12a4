#include "proxy/source/versions.hpp"

#include <algorithm>
#include <sstream>

#include "proxy/base/log.hpp"
#include "proxy/pki/pki.hpp"
#include "proxy/wire/control/convert.hpp"

namespace dbproxy::source {
namespace {

constexpr std::size_t kMaxFile = 16 * 1024 * 1024;

std::string digest_of(const config::Snapshot& snapshot) {
  v1::Snapshot message = wire_control::to_proto(snapshot);
  std::string out;
  for (const char byte : wire_control::digest(message)) {
    out += "0123456789abcdef"[static_cast<unsigned char>(byte) >> 4];
    out += "0123456789abcdef"[byte & 15];
  }
  wire_control::wipe(message);
  return out;
}

}  // namespace

Versions::Versions(std::string path, std::uint64_t first) : path_(std::move(path)), first_(first) {
  if (path_.empty()) return;
  const Result<std::string> content = pki::read_small_file(path_, kMaxFile);
  if (content.has_error()) return;
  std::istringstream lines(content.value());
  std::string key;
  Entry entry;
  while (lines >> key >> entry.version >> entry.digest) entries_[key] = entry;
}

std::uint64_t Versions::assign(const config::Snapshot& snapshot) {
  Entry& entry = entries_[wire_control::proxy_name(snapshot)];
  std::string digest = digest_of(snapshot);
  if (entry.digest != digest) {
    entry = {std::max(entry.version, first_) + 1, std::move(digest)};
    changed_ = true;
  }
  return entry.version;
}

void Versions::gone(const std::string& proxy) {
  entries_[proxy].digest = "-";
  changed_ = true;
}

void Versions::save() {
  if (path_.empty() || !changed_) return;
  changed_ = false;
  std::string content;
  for (const auto& [key, entry] : entries_) {
    content += key + ' ' + std::to_string(entry.version) + ' ' + entry.digest + '\n';
  }
  const Result<void> written = pki::write_file_atomically(path_, content, 0600);
  if (written.has_error()) {
    log::error("source", "cannot keep versions", {{"file", path_}, {"error", written.error().message()}});
  }
}

}  // namespace dbproxy::source
