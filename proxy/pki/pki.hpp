// Certificates that the programs make for themselves: a private authority and the leaves that it signs.
//
// Everything is ECDSA on P-256. Certificates and keys go in and out as PEM; keys are Secrets and reach a disk only
// through `load_or_create`, in files of mode 0600 that appear by rename. Pure functions: safe from any thread.
// Profiles follow RFC 5280; names are in the subject alternative name only (RFC 6125).
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "proxy/base/clock.hpp"
#include "proxy/base/result.hpp"
#include "proxy/base/secret.hpp"

namespace dbproxy::pki {

enum class Error {
  kCrypto = 1,      // OpenSSL refused an operation that cannot fail with sound input
  kBadCertificate,  // not a PEM certificate
  kBadKey,          // not a PEM private key
  kMismatch,        // the key does not belong to the certificate, or the leaf not to the authority
  kBadName,         // a name or address that no certificate can carry
  kBadFile,         // a file of the state directory is not what this module wrote
};
const boost::system::error_category& pki_category();
ErrorCode make_error_code(Error);

// A certificate authority: its self-signed certificate and key.
struct Authority {
  std::string certificate_pem;
  Secret key_pem;
};

// What a server shows: the leaf followed by its authority, and the leaf's key.
struct Identity {
  std::string certificate_pem;
  Secret key_pem;
};

struct LeafRequest {
  std::string common_name;
  std::vector<std::string> dns_names = {};
  std::vector<std::string> addresses = {};  // IPv4 or IPv6, as text
  int days = 90;
  std::chrono::seconds life{0};  // zero: that many days
};

Result<Authority> make_authority(const std::string& common_name, int years, const Clock& clock);
Result<Authority> make_authority(const std::string& common_name, std::chrono::seconds life, const Clock& clock);
Result<Identity> issue(const Authority& authority, const LeafRequest& request, const Clock& clock);

// The end of the first certificate's life, from when on less than a third of that life is left, and whether it is.
Result<WallTime> expires_at(const std::string& certificate_pem);
Result<WallTime> renewal_due(const std::string& certificate_pem);
Result<bool> needs_renewal(const std::string& certificate_pem, const Clock& clock);

// Whether the first certificate is signed by the authority.
bool is_signed_by(const std::string& certificate_pem, const Authority& authority);
// Whether it is, belongs to the key and carries all the request's names.
bool is_issued_by(const Identity& identity, const Authority& authority, const LeafRequest& request);

// An authority and a server leaf in `directory` (which must exist): ca.pem, ca.key, server.pem, server.key.
// What is missing is made; a leaf that is due, damaged or lacks a requested name is issued again; a damaged authority
// is an error, because replacing it would cut off everyone who trusts it.
struct ServerFiles {
  Authority authority;
  Identity server;
};
Result<ServerFiles> load_or_create(const std::string& directory, const LeafRequest& request, const Clock& clock);

// An authority that nobody keeps and its leaf for localhost, 127.0.0.1 and ::1: for a sidecar's own listeners.
Result<Identity> self_signed_listener_identity(const Clock& clock);

// Writes the whole file or nothing: a temporary file of that mode beside it, synced, then renamed over it.
Result<void> write_file_atomically(const std::string& path, std::string_view content, unsigned mode);
// The whole file; an error when it is larger than `limit` bytes.
Result<std::string> read_small_file(const std::string& path, std::size_t limit);

}  // namespace dbproxy::pki

template <>
struct boost::system::is_error_code_enum<dbproxy::pki::Error> : std::true_type {};
