#include "proxy/session/mysql/diagnostics.hpp"

#include <charconv>

#include "proxy/wire/mysql/messages.hpp"

namespace dbproxy::session::mysql {

namespace wire = dbproxy::wire::mysql;

void Diagnostics::show(std::string& out, bool errors_only, std::uint64_t offset, std::uint64_t count, bool binary,
                       std::uint32_t capabilities, std::uint16_t status) const {
  const bool old = !(capabilities & wire::client::kDeprecateEof);
  std::uint8_t sequence = wire::PacketWriter(out, 1).lenenc(columns.size()).finish();
  for (const std::string& column : columns) sequence = wire::packet(out, sequence, column);
  if (old) sequence = wire::eof(out, sequence, 0, status);
  for (const Condition& condition : conditions) {
    if (errors_only && condition.level != "Error") continue;
    if (offset > 0) {
      --offset;
      continue;
    }
    if (count == 0) break;
    --count;
    wire::PacketWriter writer(out, sequence);
    if (binary) {
      std::uint32_t code = 0;
      std::from_chars(condition.code.data(), condition.code.data() + condition.code.size(), code);
      // Header, a bit for each column that is NULL, then the values.
      writer.u8(0).u8(0).lenenc_bytes(condition.level).u32(code).lenenc_bytes(condition.message);
    } else {
      writer.lenenc_bytes(condition.level).lenenc_bytes(condition.code).lenenc_bytes(condition.message);
    }
    sequence = writer.finish();
  }
  if (old)
    wire::eof(out, sequence, 0, status);
  else
    wire::ok(out, sequence, capabilities, {0, 0, status, 0, {}, {}}, wire::kEofHeader);
}

std::optional<ShowDiagnostics> read_show(std::string_view sql, const LexOptions& options) {
  Tokenizer tokens(sql, options);
  ShowDiagnostics show;
  if (!tokens.next().is_word("show")) return std::nullopt;
  Token token = tokens.next();
  if (token.is_word("count")) {
    show.counts = true;
    if (!tokens.next().is('(') || !tokens.next().is('*') || !tokens.next().is(')')) return std::nullopt;
    token = tokens.next();
  }
  show.errors_only = token.is_word("errors");
  if (!show.errors_only && !token.is_word("warnings")) return std::nullopt;
  token = tokens.next();
  const auto number = [&](std::uint64_t& value) {
    token = tokens.next();
    const char* end = token.text.data() + token.text.size();
    return token.kind == TokenKind::kNumber && std::from_chars(token.text.data(), end, value).ptr == end;
  };
  if (!show.counts && token.is_word("limit")) {
    if (!number(show.count)) return std::nullopt;
    token = tokens.next();
    const bool offset_first = token.is(',');
    if (offset_first) show.offset = show.count;
    if (offset_first && !number(show.count)) return std::nullopt;
    if (!offset_first && token.is_word("offset") && !number(show.offset)) return std::nullopt;
    if (token.kind == TokenKind::kNumber) token = tokens.next();
  }
  while (token.is(';')) token = tokens.next();
  if (token.kind != TokenKind::kEnd) return std::nullopt;
  return show;
}

}  // namespace dbproxy::session::mysql
