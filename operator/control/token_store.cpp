#include "operator/control/token_store.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <optional>
#include <sstream>
#include <sys/stat.h>

#include "proxy/pki/pki.hpp"

namespace dbproxy::operator_control {
namespace {

constexpr std::size_t kMaxFile = 64 * 1024;

struct Entry {
  Secret token;
  std::vector<std::string> proxies;
};

std::optional<Entry> read_entry(const std::string& path) {
  Result<std::string> content = pki::read_small_file(path, kMaxFile);
  if (content.has_error()) return std::nullopt;
  std::istringstream lines(content.value());
  OPENSSL_cleanse(content.value().data(), content.value().size());
  std::string line;
  if (!std::getline(lines, line) || line.size() < 32) return std::nullopt;  // an empty file is not a token
  Entry entry{Secret(std::move(line)), {}};
  while (std::getline(lines, line)) {
    if (!line.empty()) entry.proxies.push_back(line);
  }
  return entry;
}

}  // namespace

bool valid_identity(const std::string& identity) {
  if (identity.empty() || identity.size() > 253) return false;
  std::size_t parts = 0;
  for (std::string_view rest = identity;;) {
    const std::size_t slash = rest.find('/');
    const std::string_view part = rest.substr(0, slash);
    if (++parts > 2 || part.empty() || part.front() == '.') return false;
    if (part.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != part.npos) {
      return false;
    }
    if (slash == rest.npos) return true;
    rest.remove_prefix(slash + 1);
  }
}

Verdict FileTokenStore::verify(const Secret& token, const std::string& identity) const {
  if (token.empty()) return {};
  if (valid_identity(identity)) {
    const std::optional<Entry> own = read_entry(directory_ + "/" + identity);
    if (own && own->token == token) return {Verdict::Kind::kGood, own->proxies};
  }
  // Someone else's token is told apart from a wrong one, so that a swapped file is found quickly.
  std::error_code error;
  for (const auto& file : std::filesystem::recursive_directory_iterator(directory_, error)) {
    if (!file.is_regular_file(error)) continue;
    const std::optional<Entry> other = read_entry(file.path().string());
    if (other && other->token == token) return {Verdict::Kind::kOtherIdentity, {}};
  }
  return {};
}

bool FileTokenStore::still_good(const Secret& token, const std::string& identity) const {
  struct ::stat file {};
  const bool there = valid_identity(identity) && ::stat((directory_ + "/" + identity).c_str(), &file) == 0;
  const Stamp stamp{file.st_ino, file.st_size, file.st_ctim.tv_sec,
                    file.st_ctim.tv_nsec};  // no write leaves it as it is
  const std::lock_guard lock(mutex_);
  const auto known = good_.find(identity);
  if (there && known != good_.end() && known->second == std::pair(stamp, token)) return true;
  const bool good = verify(token, identity).kind == Verdict::Kind::kGood;
  const std::chrono::system_clock::time_point written{std::chrono::seconds(file.st_ctim.tv_sec)};
  if (good && std::chrono::system_clock::now() - written >= settles_) {
    good_.insert_or_assign(identity, std::pair(stamp, token));
  } else {
    good_.erase(identity);
  }
  return good;
}

bool FileTokenStore::exists(const std::string& identity) const {
  std::error_code error;
  if (!valid_identity(identity) || !std::filesystem::is_directory(directory_, error) || error) return true;
  const bool there = std::filesystem::exists(directory_ + "/" + identity, error);
  return there || error;
}

Result<std::string> FileTokenStore::ensure(const std::string& identity, const std::vector<std::string>& proxies) const {
  if (!valid_identity(identity)) return ErrorCode(EINVAL, boost::system::system_category());
  const std::string path = directory_ + "/" + identity;
  for (const std::string& directory : {directory_, path.substr(0, path.rfind('/'))}) {
    if (::mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
      return ErrorCode(errno, boost::system::system_category());
    }
  }
  if (std::filesystem::exists(path)) return path;
  std::array<unsigned char, 32> random{};
  if (RAND_bytes(random.data(), random.size()) != 1) return pki::Error::kCrypto;
  std::string content;
  for (const unsigned char byte : random) {
    content += "0123456789abcdef"[byte >> 4];
    content += "0123456789abcdef"[byte & 15];
  }
  content += '\n';
  for (const std::string& proxy : proxies) content += proxy + '\n';
  const Result<void> written = pki::write_file_atomically(path, content, 0600);
  OPENSSL_cleanse(content.data(), content.size());
  if (written.has_error()) return written.error();
  return path;
}

}  // namespace dbproxy::operator_control
