// MySQL's readers on any bytes: never beyond their end, and what they read can be written and read again. The first
// byte chooses the reader, the second the capabilities.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "proxy/wire/mysql/commands.hpp"
#include "proxy/wire/mysql/compression.hpp"
#include "proxy/wire/mysql/handshake.hpp"
#include "proxy/wire/mysql/messages.hpp"
#include "proxy/wire/mysql/result_scanner.hpp"

namespace {

using namespace dbproxy::wire::mysql;

void require(bool good) {
  if (!good) std::abort();
}

std::string_view payload(const std::string& packet) {
  return std::string_view(packet).substr(kHeaderSize);
}

void inside(std::string_view part, std::string_view whole) {
  require(part.empty() || (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size()));
}

void play_ok(std::string_view bytes, std::uint32_t capabilities) {
  Ok first, second;
  if (!read_ok(bytes, capabilities, first)) return;
  StateReader state(first.state);
  StateChange change;
  while (state.next(change)) inside(change.value, bytes);
  std::string out;
  ok(out, 1, capabilities, first);
  require(read_ok(payload(out), capabilities, second));
  require(second.affected_rows == first.affected_rows && second.info == first.info && second.state == first.state);
}

void play_handshake(std::string_view bytes, std::uint32_t capabilities) {
  HandshakeResponse response;
  if (read_handshake_response(bytes, response)) {
    inside(response.user, bytes);
    inside(response.auth_response, bytes);
    inside(response.schema, bytes);
    inside(response.auth_plugin, bytes);
    (void)read_attributes(response.attributes);
  }
  Greeting greeting;
  if (read_greeting(bytes, greeting)) require(greeting.nonce.size() <= 8 + 247);
  ChangeUser change;
  if (read_change_user(bytes, capabilities, change)) inside(change.user, bytes);
  AuthSwitch request;
  if (read_auth_switch(bytes, request)) inside(request.data, bytes);
  Error error;
  if (read_error(bytes, error)) inside(error.message, bytes);
  Column column;
  (void)read_column(bytes, column);
}

void play_commands(std::string_view bytes, std::uint32_t capabilities) {
  std::string_view text;
  if (query_text(bytes, capabilities, text)) inside(text, bytes);
  Execute execute;
  const auto parameters = static_cast<std::uint16_t>(bytes.size() % 5);
  if (read_execute(bytes, capabilities, parameters, execute)) {
    require(execute.bound_at + execute.types_size <= bytes.size());
    if (execute.bound_at > 0 && !(capabilities & client::kQueryAttributes))
      require(execute.bound_at + 1 + execute.types_size <= execute_head(parameters));
  }
  Prepared prepared;
  (void)read_prepared(bytes, prepared);
}

void play_scanner(std::string_view bytes, std::uint32_t capabilities, Answer answer) {
  ResultScanner scanner(answer, capabilities);
  while (!bytes.empty() && !scanner.done()) {
    const Frame frame = scan_frame(bytes);
    if (!frame.known || frame.size() > bytes.size()) return;
    const std::string_view body = bytes.substr(kHeaderSize, frame.length);
    const PacketKind expected = scanner.peek(frame, body);
    const PacketKind kind = scanner.take(frame, body);
    require(kind == expected || kind == PacketKind::kBroken);
    if (kind == PacketKind::kBroken) return;
    if (scanner.wants_file()) scanner.file_sent();
    bytes.remove_prefix(frame.size());
  }
}

void play_compression(std::string_view bytes, CompressionAlgorithm algorithm) {
  Compression end(algorithm);
  std::string plain, wire, back;
  std::size_t consumed = 0;
  const bool good = end.decompress(bytes, consumed, plain, 1 << 16);
  require(consumed <= bytes.size());
  if (!good || plain.size() > (1 << 18)) return;
  require(end.compress(plain, wire));
  Compression other(algorithm);
  while (!wire.empty()) {
    require(other.decompress(wire, consumed, back) && consumed > 0);
    wire.erase(0, consumed);
  }
  require(back == plain);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  std::uint32_t capabilities = client::kProtocol41;
  constexpr std::uint32_t kChoices[] = {client::kSessionTrack, client::kDeprecateEof,      client::kQueryAttributes,
                                        client::kPluginAuth,   client::kConnectAttributes, client::kSecureConnection};
  for (unsigned i = 0; i < std::size(kChoices); ++i)
    if (data[1] & (1u << i)) capabilities |= kChoices[i];
  switch (data[0] % 5) {
    case 0:
      play_ok(bytes, capabilities);
      break;
    case 1:
      play_handshake(bytes, capabilities);
      break;
    case 2:
      play_commands(bytes, capabilities);
      break;
    case 3:
      play_scanner(bytes, capabilities, static_cast<Answer>((data[0] / 5) % 7));
      break;
    default:
      play_compression(bytes, data[1] & 1 ? CompressionAlgorithm::kZstd : CompressionAlgorithm::kZlib);
      break;
  }
  return 0;
}
