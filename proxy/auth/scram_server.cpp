#include <algorithm>
#include <openssl/crypto.h>

#include "proxy/auth/base64.hpp"
#include "proxy/auth/scram.hpp"
#include "proxy/auth/scram_internal.hpp"

namespace dbproxy::auth {

ScramServer::ScramServer(const ScramKeys* keys, std::string server_nonce, Mode mode, std::string end_point)
    : keys_(keys), nonce_(std::move(server_nonce)), mode_(mode), end_point_(std::move(end_point)) {}

// "n,," (the client cannot bind), "y,," (it can, and thinks that we cannot), "p=type,," (it binds).
Result<std::size_t> ScramServer::check_header(std::string_view message, bool plus) const {
  if (message.size() < 3) return Error::kMalformed;
  std::size_t flag = 1;
  if (message[0] == 'p') {
    if (!plus) return Error::kChannelBinding;
    const std::size_t comma = message.find(',');
    if (comma == std::string_view::npos || message.size() < comma + 2) return Error::kMalformed;
    if (message.substr(0, comma + 1) != detail::kBoundHeader.substr(0, detail::kBoundHeader.size() - 1))
      return Error::kChannelBinding;
    flag = comma;
  } else if (message[0] != 'n' && message[0] != 'y') {
    return Error::kMalformed;
  } else if (plus) {
    return Error::kChannelBinding;
  } else if (message[0] == 'y' && !end_point_.empty()) {
    return Error::kBindingDowngrade;  // somebody removed PLUS from our list
  }
  if (message[flag] != ',') return Error::kMalformed;
  if (message[flag + 1] == 'a') return Error::kExtension;
  if (message[flag + 1] != ',') return Error::kMalformed;
  return flag + 2;
}

Result<std::string> ScramServer::on_client_first(std::string_view message, bool plus) {
  if (state_ != State::kExpectFirst) return Error::kOutOfOrder;
  state_ = State::kFailed;  // until everything below has been checked
  if (message.size() > kMaxScramMessage) return Error::kTooLong;

  if (plus && end_point_.empty()) return Error::kChannelBinding;  // not offered
  const auto header = check_header(message, plus);
  if (!header) return header.error();

  const std::string_view bare = message.substr(*header);
  std::string_view rest = bare;
  if (!rest.empty() && rest[0] == 'm') return Error::kExtension;
  if (!detail::take_attribute(rest, 'n')) return Error::kMalformed;
  const auto client_nonce = detail::take_attribute(rest, 'r');
  if (!client_nonce || !detail::is_nonce(*client_nonce)) return Error::kMalformed;
  if (client_nonce->size() > kMaxScramNonce) return Error::kTooLong;
  if (!detail::skip_extensions(rest, '\0') || !rest.empty()) return Error::kMalformed;

  binding_ = message.substr(0, *header);
  if (plus) binding_ += end_point_;
  nonce_.insert(0, *client_nonce);
  std::string reply = "r=" + nonce_ + ",s=" + base64_encode(keys_->salt) + ",i=" + std::to_string(keys_->iterations);
  auth_message_.append(bare).append(",").append(reply).append(",");
  state_ = State::kExpectFinal;
  return reply;
}

void ScramServer::also_take(const ScramKeys& keys) {
  if (keys.salt == keys_->salt && keys.iterations == keys_->iterations) other_ = &keys;
}

// As long as a key; for auth_message_ as it is now.
bool ScramServer::proves(const ScramKeys& keys, std::string_view proof) const {
  detail::Key client_key;
  std::copy(proof.begin(), proof.end(), client_key.begin());
  detail::xor_into(client_key, detail::hmac_sha256(detail::bytes_of(keys.stored_key), auth_message_));
  const detail::Key stored = detail::sha256(detail::bytes_of(client_key));
  return CRYPTO_memcmp(stored.data(), keys.stored_key.data(), stored.size()) == 0;
}

Result<std::string> ScramServer::on_client_final(std::string_view message) {
  if (state_ != State::kExpectFinal) return Error::kOutOfOrder;
  state_ = State::kFailed;
  if (message.size() > kMaxScramMessage) return Error::kTooLong;

  std::string_view rest = message;
  const auto binding = detail::take_attribute(rest, 'c');
  if (!binding) return Error::kMalformed;
  const auto nonce = detail::take_attribute(rest, 'r');
  if (!nonce) return Error::kMalformed;
  if (!detail::skip_extensions(rest, 'p')) return Error::kMalformed;
  const std::size_t without_proof = message.size() - rest.size();
  const auto proof_text = detail::take_attribute(rest, 'p');
  if (!proof_text || !rest.empty()) return Error::kMalformed;
  const auto proof_bytes = base64_decode(*proof_text);
  if (!proof_bytes || proof_bytes->size() != keys_->stored_key.size()) return Error::kMalformed;

  if (*binding != base64_encode(binding_)) return Error::kBindingMismatch;
  if (nonce->size() != nonce_.size() || CRYPTO_memcmp(nonce->data(), nonce_.data(), nonce_.size()) != 0)
    return Error::kNonceMismatch;

  auth_message_.append(message.substr(0, without_proof - 1));  // without the comma before p=
  bool right = proves(*keys_, *proof_bytes);
  took_other_ = other_ != nullptr && proves(*other_, *proof_bytes) && !right;
  right = right || took_other_;
  const ScramKeys& keys = took_other_ ? *other_ : *keys_;
  const detail::Key signature = detail::hmac_sha256(detail::bytes_of(keys.server_key), auth_message_);
  if (!right || mode_ == Mode::kMock) return Error::kWrongProof;
  state_ = State::kDone;
  return "v=" + base64_encode(detail::bytes_of(signature));
}

}  // namespace dbproxy::auth
