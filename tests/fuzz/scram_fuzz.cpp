// Both sides of SCRAM against bytes of a peer: messages separated by NUL, the first byte says which side is played.
// Nobody is let in: the keys belong to a password that no input can know.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/auth/scram.hpp"
#include "proxy/base/secret.hpp"

using namespace dbproxy;
using namespace dbproxy::auth;

namespace {

const ScramKeys& keys() {
  static const ScramKeys derived = derive_scram_keys(Secret("no input knows this"), "salt of sixteen.", 1);
  return derived;
}

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find('\0');
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos || parts.size() == 8) return parts;
    text.remove_prefix(end + 1);
  }
}

void play_server(const std::vector<std::string_view>& messages, bool mock, bool plus_offered, bool plus) {
  ScramServer server(&keys(), "servernonce", mock ? ScramServer::Mode::kMock : ScramServer::Mode::kVerify,
                     plus_offered ? "hash of a certificate" : "");
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (i % 2 == 0) {
      const auto reply = server.on_client_first(messages[i], plus);
      if (reply && reply->find("servernonce") == std::string::npos) std::abort();
    } else if (server.on_client_final(messages[i])) {
      std::abort();  // authenticated without the password
    }
  }
}

void play_client(const std::vector<std::string_view>& messages, bool tls, bool plus_offered) {
  ScramClient client("clientnonce");
  client.bind(tls ? "hash of a certificate" : "", plus_offered);
  if (client.client_first().empty()) std::abort();
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (i % 2 == 0) {
      const auto challenge = client.on_server_first(messages[i]);
      if (!challenge) continue;
      if (challenge->iterations < 1 || challenge->iterations > kMaxScramIterations) std::abort();
      if (challenge->salt.size() > kMaxScramSalt) std::abort();
      ScramKeys answer = keys();  // the derivation itself would only slow this down
      answer.salt = challenge->salt;
      answer.iterations = challenge->iterations;
      client.client_final(answer);
    } else if (client.on_server_final(messages[i])) {
      std::abort();  // a server that does not know the password was believed
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto messages = split(text);
  if ((data[0] & 1) == 0) {
    play_server(messages, (data[0] & 2) != 0, (data[0] & 4) != 0, (data[0] & 8) != 0);
  } else {
    play_client(messages, (data[0] & 2) != 0, (data[0] & 4) != 0);
  }
  return 0;
}
