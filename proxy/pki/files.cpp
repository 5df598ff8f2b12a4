// The state directory: certificates and keys that survive a restart.
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proxy/pki/openssl.hpp"
#include "proxy/pki/pki.hpp"

namespace dbproxy::pki {
namespace {

constexpr std::size_t kMaxPem = 64 * 1024;
constexpr int kAuthorityYears = 10;

ErrorCode last_error() {
  return {errno, boost::system::system_category()};
}
bool is_missing(const ErrorCode& error) {
  return error == boost::system::errc::no_such_file_or_directory;
}

class Descriptor {
 public:
  explicit Descriptor(int descriptor) : descriptor_(descriptor) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

bool write_all(int descriptor, std::string_view content) {
  while (!content.empty()) {
    const ssize_t n = ::write(descriptor, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    content.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

Result<Authority> load_or_create_authority(const std::string& directory, const Clock& clock) {
  const std::string certificate_path = directory + "/ca.pem";
  const std::string key_path = directory + "/ca.key";
  const Result<std::string> certificate = read_small_file(certificate_path, kMaxPem);
  const Result<std::string> key = read_small_file(key_path, kMaxPem);
  if (certificate.has_value() && key.has_value()) {
    Authority authority{certificate.value(), Secret(key.value())};
    const CertificatePtr parsed = parse_certificate(authority.certificate_pem);
    const KeyPtr parsed_key = parse_key(authority.key_pem.reveal());
    if (!parsed || !parsed_key) return Error::kBadFile;
    if (X509_check_private_key(parsed.get(), parsed_key.get()) != 1) return Error::kMismatch;
    return authority;
  }
  // The key is written first, so a crash between the two leaves a key alone, which is safe to replace. A certificate
  // alone is one that others trust already.
  if (certificate.has_value()) return key.error();
  if (!is_missing(certificate.error())) return certificate.error();
  if (key.has_error() && !is_missing(key.error())) return key.error();
  Result<Authority> made = make_authority("dbproxy operator", kAuthorityYears, clock);
  if (made.has_error()) return made;
  if (const auto written = write_file_atomically(key_path, made.value().key_pem.reveal(), 0600); written.has_error()) {
    return written.error();
  }
  if (const auto written = write_file_atomically(certificate_path, made.value().certificate_pem, 0644);
      written.has_error()) {
    return written.error();
  }
  return made;
}

}  // namespace

Result<std::string> read_small_file(const std::string& path, std::size_t limit) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return last_error();
  std::string content(limit + 1, '\0');
  std::size_t size = 0;
  while (size < content.size()) {
    const ssize_t n = ::read(file.get(), content.data() + size, content.size() - size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return last_error();
    if (n == 0) break;
    size += static_cast<std::size_t>(n);
  }
  if (size > limit) return ErrorCode(EFBIG, boost::system::system_category());
  content.resize(size);
  return content;
}

Result<void> write_file_atomically(const std::string& path, std::string_view content, unsigned mode) {
  const std::string temporary = path + ".new." + std::to_string(::getpid());
  ::unlink(temporary.c_str());
  ErrorCode error;
  {
    const Descriptor file(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode));
    if (file.get() < 0) return last_error();
    // fchmod, because the umask may have taken bits away that a reader needs.
    if (::fchmod(file.get(), mode) != 0 || !write_all(file.get(), content) || ::fsync(file.get()) != 0) {
      error = last_error();
    }
  }
  if (!error && std::rename(temporary.c_str(), path.c_str()) != 0) error = last_error();
  if (error) {
    ::unlink(temporary.c_str());
    return error;
  }
  return {};
}

Result<ServerFiles> load_or_create(const std::string& directory, const LeafRequest& request, const Clock& clock) {
  Result<Authority> authority = load_or_create_authority(directory, clock);
  if (authority.has_error()) return authority.error();
  const std::string certificate_path = directory + "/server.pem";
  const std::string key_path = directory + "/server.key";
  const Result<std::string> certificate = read_small_file(certificate_path, kMaxPem);
  const Result<std::string> key = read_small_file(key_path, kMaxPem);
  if (certificate.has_value() && key.has_value()) {
    Identity identity{certificate.value(), Secret(key.value())};
    const Result<bool> due = needs_renewal(identity.certificate_pem, clock);
    if (due.has_value() && !due.value() && is_issued_by(identity, authority.value(), request)) {
      return ServerFiles{std::move(authority.value()), std::move(identity)};
    }
  }
  Result<Identity> made = issue(authority.value(), request, clock);
  if (made.has_error()) return made.error();
  // A crash between the two leaves a pair that does not match, which the check above finds and replaces.
  if (const auto written = write_file_atomically(key_path, made.value().key_pem.reveal(), 0600); written.has_error()) {
    return written.error();
  }
  if (const auto written = write_file_atomically(certificate_path, made.value().certificate_pem, 0644);
      written.has_error()) {
    return written.error();
  }
  return ServerFiles{std::move(authority.value()), std::move(made.value())};
}

}  // namespace dbproxy::pki
