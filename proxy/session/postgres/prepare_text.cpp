#include "proxy/session/postgres/prepare_text.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>

#include "proxy/session/postgres/tokenizer.hpp"
#include "proxy/wire/postgres/frame.hpp"
#include "proxy/wire/postgres/reader.hpp"

namespace dbproxy::session::postgres {
namespace {

namespace wire = dbproxy::wire::postgres;

// "23 25": each as four bytes, behind the others.
bool add_types(std::string_view text, std::string& out) {
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    std::uint32_t oid = 0;
    const auto [next, error] = std::from_chars(at, end, oid);
    if (error != std::errc()) return false;
    for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(oid >> shift);
    at = next;
    if (at != end && *at++ != ' ') return false;
  }
  return true;
}

}  // namespace

std::string read_prepared_sql(std::string_view prefix) {
  return "SELECT s.name, s.statement, pg_catalog.array_to_string(s.parameter_types::pg_catalog.oid[], ' '),"
         " s.from_sql FROM pg_catalog.pg_prepared_statements AS s WHERE NOT pg_catalog.starts_with(s.name, '" +
         std::string(prefix) + "')";
}

std::optional<std::vector<PreparedInSql>> read_prepared(std::string_view messages) {
  std::vector<PreparedInSql> found;
  while (!messages.empty()) {
    const auto frame = wire::scan_frame(messages);
    if (frame.scan != wire::Scan::kMessage || frame.type != 'D' || frame.size > messages.size()) return std::nullopt;
    wire::Reader reader(messages.substr(wire::kHeaderSize, frame.size - wire::kHeaderSize));
    if (reader.u16() != 4) return std::nullopt;
    std::string_view columns[4];
    for (auto& column : columns) {
      const auto size = reader.u32();
      column = reader.bytes(size);
    }
    PreparedInSql one{std::string(columns[0]), std::string(columns[1]), {}, columns[3] == "t"};
    if (!reader.ok() || !reader.rest().empty() || !add_types(columns[2], one.types)) return std::nullopt;
    found.push_back(std::move(one));
    messages.remove_prefix(frame.size);
  }
  return found;
}

PrepareText find_prepare(std::string_view sql, std::string_view name, bool standard_conforming_strings) {
  PrepareText found;
  int statements = 0;
  Tokenizer tokens(sql, standard_conforming_strings);
  Token token = tokens.next();
  const auto word = [&token](std::string_view text) {
    return token.kind == TokenKind::kWord && equals_folded(token.text, text);
  };
  const auto over = [&token] { return token.kind == TokenKind::kEnd || token.is(';'); };
  const auto names_it = [&token, name] {
    return (token.kind == TokenKind::kWord || token.kind == TokenKind::kQuotedIdentifier) &&
           identifier_name(token.text) == name;
  };
  bool taken = false;  // by one before: another PREPARE of the name is refused, until it is deallocated
  for (; token.kind != TokenKind::kEnd; token = tokens.next()) {
    if (!over()) ++statements;
    if (word("prepare")) {
      const char* const prepare = token.text.data();
      token = tokens.next();
      const bool its = !taken && names_it();
      token = tokens.next();
      // The types: none of them is called AS.
      for (int depth = 0; its && !over() && (depth > 0 || !word("as")); token = tokens.next()) {
        if (token.is('(')) ++depth;
        if (token.is(')')) --depth;
      }
      if (its && word("as")) {
        token = tokens.next();
        const char* const begin = token.text.data();
        const char* end = begin;
        for (; !over(); token = tokens.next()) end = token.text.data() + token.text.size();
        found.body = {begin, static_cast<std::size_t>(end - begin)};
        found.whole = {prepare, static_cast<std::size_t>(end - prepare)};
        taken = true;
      }
    } else if (word("deallocate")) {
      token = tokens.next();
      if (word("prepare")) token = tokens.next();
      if (word("all") || names_it()) taken = false;
    }
    while (!over()) token = tokens.next();
    if (token.kind == TokenKind::kEnd) break;
  }
  found.alone = statements == 1;
  return found;
}

std::string at_its_place(std::string_view sql, std::string_view body) {
  // What stands further behind is not worth its blanks.
  constexpr std::size_t kMostBlanks = 16u << 10;
  const auto before = characters(sql.substr(0, static_cast<std::size_t>(body.data() - sql.data())));
  std::string out(std::min(before, kMostBlanks), ' ');
  return out += body;
}

bool is_of_statement(std::size_t position, std::string_view message, std::string_view execute,
                     std::string_view statement) {
  if (position == 0) return false;
  const auto token_at = [position](std::string_view text) -> std::string_view {
    std::size_t at = 0;
    for (std::size_t left = position; at < text.size(); ++at)
      if ((text[at] & 0xc0) != 0x80 && --left == 0) break;
    if (at == text.size()) return {};
    Tokenizer tokens(text, true);
    for (Token token = tokens.next(); token.kind != TokenKind::kEnd && token.text.data() <= text.data() + at;
         token = tokens.next())
      if (token.text.data() == text.data() + at) return token.text;
    return {};
  };
  const auto there = token_at(statement), here = token_at(execute);
  if (there.empty() || here.empty()) return !there.empty();
  return message.find(identifier_name(there)) != std::string_view::npos &&
         message.find(identifier_name(here)) == std::string_view::npos;
}

std::string quoted_name(std::string_view name) {
  std::string out = "\"";
  for (const char c : name) {
    if (c == '"') out += c;
    out += c;
  }
  return out + '"';
}

std::size_t characters(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

}  // namespace dbproxy::session::postgres
