#include "proxy/aws/sigv4.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <ctime>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

namespace dbproxy::aws {
namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

// Without blanks at both ends, and with one instead of many.
std::string trimmed(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool blank = c == ' ' || c == '\t' || c == '\n' || c == '\r';
    if (!blank) {
      out += c;
    } else if (!out.empty() && out.back() != ' ') {
      out += ' ';
    }
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

std::string hmac(std::string_view key, std::string_view text) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> out{};
  unsigned size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), reinterpret_cast<const unsigned char*>(text.data()),
       text.size(), out.data(), &size);
  return {reinterpret_cast<const char*>(out.data()), out.size()};
}

std::string encode_path(std::string_view path) {
  std::string out;
  for (std::size_t start = 0; start <= path.size();) {
    const std::size_t slash = std::min(path.find('/', start), path.size());
    out += percent_encode(path.substr(start, slash - start));
    if (slash < path.size()) out += '/';
    start = slash + 1;
  }
  return out.empty() ? "/" : out;
}

std::string canonical_query(const Pairs& query) {
  Pairs encoded;
  encoded.reserve(query.size());
  for (const auto& [name, value] : query) encoded.emplace_back(percent_encode(name), percent_encode(value));
  std::sort(encoded.begin(), encoded.end());
  std::string out;
  for (const auto& [name, value] : encoded) out += (out.empty() ? "" : "&") + name + "=" + value;
  return out;
}

// The headers' lines and their names.
std::pair<std::string, std::string> canonical_headers(const Pairs& headers) {
  Pairs sorted;
  for (const auto& [name, value] : headers) {
    const std::string key = lower(name);
    const auto same = std::find_if(sorted.begin(), sorted.end(), [&](const auto& each) { return each.first == key; });
    if (same == sorted.end()) {
      sorted.emplace_back(key, trimmed(value));
    } else {
      same->second += "," + trimmed(value);
    }
  }
  std::sort(sorted.begin(), sorted.end());
  std::pair<std::string, std::string> out;
  for (const auto& [name, value] : sorted) {
    out.first += name + ":" + value + "\n";
    out.second += (out.second.empty() ? "" : ";") + name;
  }
  return out;
}

struct Signing {
  const Scope& scope;
  std::string date;  // 20150830T123600Z

  std::string scope_text() const {
    return date.substr(0, 8) + "/" + scope.region + "/" + scope.service + "/aws4_request";
  }

  std::string signature(const SignableRequest& request, const Pairs& query, const std::string& headers,
                        const std::string& names, const Credentials& credentials) const {
    const std::string canonical = request.method + "\n" + encode_path(request.path) + "\n" + canonical_query(query) +
                                  "\n" + headers + "\n" + names + "\n" + sha256_hex(request.body);
    const std::string to_sign =
        std::string(kAlgorithm) + "\n" + date + "\n" + scope_text() + "\n" + sha256_hex(canonical);
    std::string key = "AWS4" + std::string(credentials.secret_access_key.reveal());
    for (const std::string& part : {date.substr(0, 8), scope.region, scope.service, std::string("aws4_request")}) {
      std::string next = hmac(key, part);
      OPENSSL_cleanse(key.data(), key.size());
      key = std::move(next);
    }
    std::string out = hex(hmac(key, to_sign));
    OPENSSL_cleanse(key.data(), key.size());
    return out;
  }
};

}  // namespace

std::string percent_encode(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
                       byte == '-' || byte == '.' || byte == '_' || byte == '~';
    if (plain) {
      out += c;
    } else {
      out += '%';
      out += kDigits[byte >> 4];
      out += kDigits[byte & 15];
    }
  }
  return out;
}

std::string amz_date(WallTime time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  std::array<char, 32> text{};
  const std::size_t size = std::strftime(text.data(), text.size(), "%Y%m%dT%H%M%SZ", &parts);
  return {text.data(), size};
}

std::string hex(std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    out += kDigits[static_cast<unsigned char>(c) >> 4];
    out += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

std::string sha256_hex(std::string_view text) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> out{};
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), out.data());
  return hex({reinterpret_cast<const char*>(out.data()), out.size()});
}

Pairs sign_headers(const SignableRequest& request, const Scope& scope, const Credentials& credentials, WallTime now) {
  const Signing signing{scope, amz_date(now)};
  Pairs out{{"X-Amz-Date", signing.date}};
  if (!credentials.session_token.empty()) out.emplace_back("X-Amz-Security-Token", credentials.session_token.reveal());
  Pairs all = request.headers;
  all.insert(all.end(), out.begin(), out.end());
  const auto [headers, names] = canonical_headers(all);
  const std::string signature = signing.signature(request, request.query, headers, names, credentials);
  out.emplace_back("Authorization", std::string(kAlgorithm) + " Credential=" + credentials.access_key_id + "/" +
                                        signing.scope_text() + ", SignedHeaders=" + names + ", Signature=" + signature);
  return out;
}

std::string sign_query(const SignableRequest& request, const Scope& scope, const Credentials& credentials, WallTime now,
                       unsigned expires_seconds) {
  const Signing signing{scope, amz_date(now)};
  const auto [headers, names] = canonical_headers(request.headers);
  Pairs query = request.query;
  query.emplace_back("X-Amz-Algorithm", kAlgorithm);
  query.emplace_back("X-Amz-Credential", credentials.access_key_id + "/" + signing.scope_text());
  query.emplace_back("X-Amz-Date", signing.date);
  query.emplace_back("X-Amz-Expires", std::to_string(expires_seconds));
  query.emplace_back("X-Amz-SignedHeaders", names);
  if (!credentials.session_token.empty())
    query.emplace_back("X-Amz-Security-Token", credentials.session_token.reveal());
  std::string out;
  for (const auto& [name, value] : query) out += percent_encode(name) + "=" + percent_encode(value) + "&";
  return out + "X-Amz-Signature=" + signing.signature(request, query, headers, names, credentials);
}

}  // namespace dbproxy::aws
