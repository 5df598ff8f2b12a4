#include <charconv>
#include <openssl/crypto.h>

#include "proxy/auth/base64.hpp"
#include "proxy/auth/scram.hpp"
#include "proxy/auth/scram_internal.hpp"

namespace dbproxy::auth {

ScramClient::ScramClient(std::string client_nonce, std::string_view user) : nonce_(std::move(client_nonce)) {
  first_bare_ = "n=";
  for (const char c : user) {
    if (c == '=')
      first_bare_ += "=3D";
    else if (c == ',')
      first_bare_ += "=2C";
    else
      first_bare_ += c;
  }
  first_bare_.append(",r=").append(nonce_);
}

std::string_view ScramClient::bind(std::string_view end_point, bool plus_offered) {
  if (end_point.empty()) return kScramMechanism;
  if (!plus_offered) {
    gs2_header_ = "y,,";
    return kScramMechanism;
  }
  gs2_header_ = detail::kBoundHeader;
  end_point_ = end_point;
  return kScramPlusMechanism;
}

std::string ScramClient::client_first() const {
  return gs2_header_ + first_bare_;
}

Result<ScramClient::Challenge> ScramClient::on_server_first(std::string_view message) {
  if (state_ != State::kExpectFirst) return Error::kOutOfOrder;
  state_ = State::kFailed;
  if (message.size() > kMaxScramMessage) return Error::kTooLong;

  std::string_view rest = message;
  if (!rest.empty() && rest[0] == 'm') return Error::kExtension;
  const auto nonce = detail::take_attribute(rest, 'r');
  if (!nonce || !detail::is_nonce(*nonce)) return Error::kMalformed;
  if (nonce->size() > kMaxScramNonce) return Error::kTooLong;
  // Longer than ours: a server that adds nothing could be replaying.
  if (nonce->size() <= nonce_.size() || nonce->substr(0, nonce_.size()) != nonce_) return Error::kNonceMismatch;
  const auto salt_text = detail::take_attribute(rest, 's');
  if (!salt_text) return Error::kMalformed;
  auto salt = base64_decode(*salt_text);
  if (!salt || salt->empty()) return Error::kMalformed;
  if (salt->size() > kMaxScramSalt) return Error::kTooLong;
  const auto count_text = detail::take_attribute(rest, 'i');
  if (!count_text) return Error::kMalformed;
  int count = 0;
  const char* end = count_text->data() + count_text->size();
  const auto parsed = std::from_chars(count_text->data(), end, count);
  if (parsed.ec != std::errc{} || parsed.ptr != end || count < 1 || count > kMaxScramIterations)
    return Error::kBadIteration;
  if (!detail::skip_extensions(rest, '\0') || !rest.empty()) return Error::kMalformed;

  nonce_ = *nonce;
  server_first_ = message;
  challenge_ = Challenge{std::move(*salt), count};
  state_ = State::kDerive;
  return challenge_;
}

std::string ScramClient::client_final(const ScramKeys& keys) {
  if (state_ != State::kDerive || keys.salt != challenge_.salt || keys.iterations != challenge_.iterations) return {};
  std::string message = "c=" + base64_encode(gs2_header_ + end_point_) + ",r=" + nonce_;
  const std::string auth_message = first_bare_ + "," + server_first_ + "," + message;
  detail::Key proof = keys.client_key;
  detail::xor_into(proof, detail::hmac_sha256(detail::bytes_of(keys.stored_key), auth_message));
  server_signature_ = detail::hmac_sha256(detail::bytes_of(keys.server_key), auth_message);
  message.append(",p=").append(base64_encode(detail::bytes_of(proof)));
  state_ = State::kExpectFinal;
  return message;
}

Result<void> ScramClient::on_server_final(std::string_view message) {
  if (state_ != State::kExpectFinal) return Error::kOutOfOrder;
  state_ = State::kFailed;
  if (message.size() > kMaxScramMessage) return Error::kTooLong;
  std::string_view rest = message;
  if (detail::take_attribute(rest, 'e')) return Error::kServerRefused;
  const auto text = detail::take_attribute(rest, 'v');
  if (!text) return Error::kMalformed;
  const auto signature = base64_decode(*text);
  if (!signature || !detail::skip_extensions(rest, '\0') || !rest.empty()) return Error::kMalformed;
  if (signature->size() != server_signature_.size() ||
      CRYPTO_memcmp(signature->data(), server_signature_.data(), signature->size()) != 0)
    return Error::kServerSignature;
  state_ = State::kDone;
  return {};
}

}  // namespace dbproxy::auth
