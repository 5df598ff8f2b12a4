#include "operator/kubernetes_mode/rds_ca.hpp"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <vector>

#include "proxy/base/wall_time.hpp"
#include "proxy/pki/pki.hpp"

namespace dbproxy::kubernetes_mode {
namespace {

constexpr std::size_t kMaxBytes = 1024 * 1024;

struct FreeBio {
  void operator()(BIO* bio) const { BIO_free_all(bio); }
};
struct FreeCertificate {
  void operator()(X509* certificate) const { X509_free(certificate); }
};

// Of one without an end the last second that the clock has.
WallTime end_of(const X509* certificate) {
  std::tm time{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &time) != 1) return {};
  return wall_time(timegm(&time));
}

std::vector<std::string> files_of(const std::string& path, std::string& error) {
  std::error_code code;
  if (!std::filesystem::is_directory(path, code)) return {path};
  std::vector<std::string> out;
  for (std::filesystem::directory_iterator each(path, code), end; !code && each != end; each.increment(code)) {
    const std::filesystem::path& name = each->path();
    // A mounted ConfigMap has its files as links, and folders whose names begin with two dots.
    if (name.extension() == ".pem" && name.filename().string().front() != '.') out.push_back(name.string());
  }
  if (code) error = path + ": " + code.message();
  std::sort(out.begin(), out.end());
  return out;
}

// "" or what is wrong.
std::string check(const std::string& file, const std::string& pem, WallTime now, WallTime& expires) {
  const std::unique_ptr<BIO, FreeBio> bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  int count = 0;
  while (X509* read = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    const std::unique_ptr<X509, FreeCertificate> certificate(read);
    ++count;
    const WallTime end = end_of(read);
    if (end > now && (expires == WallTime{} || end < expires)) expires = end;
  }
  const unsigned long last = ERR_peek_last_error();
  ERR_clear_error();
  if (ERR_GET_REASON(last) != PEM_R_NO_START_LINE)
    return file + ": certificate " + std::to_string(count + 1) + " is not readable";
  return count == 0 ? file + ": there is no certificate in it" : std::string();
}

}  // namespace

RdsCa load_rds_ca(const std::string& path, WallTime now) {
  RdsCa out;
  const auto failed = [](std::string error) {
    RdsCa none;
    none.error = std::move(error);
    return none;
  };
  std::string error;
  const std::vector<std::string> files = files_of(path, error);
  if (!error.empty()) return failed(std::move(error));
  if (files.empty()) return failed(path + ": there is no *.pem file in it");
  for (const std::string& file : files) {
    const auto pem = pki::read_small_file(file, kMaxBytes);
    if (pem.has_error()) return failed(file + ": " + pem.error().message());
    if (error = check(file, pem.value(), now, out.expires); !error.empty()) return failed(std::move(error));
    out.pem += pem.value();
    if (out.pem.back() != '\n') out.pem += '\n';
    if (out.pem.size() > kMaxBytes) return failed(path + ": is larger than 1 MB; keep the roots of your regions");
  }
  return out;
}

}  // namespace dbproxy::kubernetes_mode
