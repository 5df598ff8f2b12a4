#include "proxy/session/postgres/start_settings.hpp"

#include <algorithm>
#include <array>

#include "proxy/session/postgres/prepare_text.hpp"
#include "proxy/session/postgres/tokenizer.hpp"
#include "proxy/wire/postgres/reader.hpp"

namespace dbproxy::session::postgres {
namespace {

namespace wire = dbproxy::wire::postgres;

// As many in one query as the server takes columns, and more than anybody sends.
constexpr std::size_t kMaxOwn = 200;

bool only_a_start_can_set(std::string_view name) {
  static constexpr std::string_view kKnown[] = {"ignore_system_indexes",
                                                "jit_debugging_support",
                                                "jit_profiling_support",
                                                "local_preload_libraries",
                                                "log_connections",
                                                "log_disconnections",
                                                "post_auth_delay",
                                                "replication",
                                                "role",
                                                "session_authorization",
                                                "session_preload_libraries"};
  return std::find(std::begin(kKnown), std::end(kKnown), name) != std::end(kKnown) || name.starts_with("transaction_");
}

bool plain(std::string_view text) {
  return std::none_of(text.begin(), text.end(), [](char c) { return (c & 0x80) != 0; });
}

// False: it has to stay what it is.
bool add(Settings::Values& own, std::string_view name, std::string_view value) {
  auto known = tracked_name(name);
  // Other spellings are for the server to judge.
  if (known.size() != name.size() && !equals_folded(name, "sort_mem") && !equals_folded(name, "vacuum_mem"))
    return false;
  if (known.empty() || only_a_start_can_set(known) || !plain(value) || own.size() == kMaxOwn) return false;
  std::erase_if(own, [&](const auto& item) { return item.first == known; });
  own.emplace_back(std::move(known), value);
  return true;
}

// The words of `options`: blanks part them, a backslash keeps what follows it.
std::vector<std::string> words_of(std::string_view options) {
  std::vector<std::string> words;
  bool open = false;
  for (std::size_t i = 0; i < options.size(); ++i) {
    const char c = options[i];
    if (c == ' ' || (c >= '\t' && c <= '\r')) {
      open = false;
      continue;
    }
    if (!open) words.emplace_back();
    open = true;
    if (c == '\\' && ++i == options.size()) break;
    words.back() += options[i];
  }
  return words;
}

// -c NAME=VALUE, -cNAME=VALUE and --NAME=VALUE only.
bool add_options(Settings::Values& own, std::string_view options) {
  const auto words = words_of(options);
  for (std::size_t i = 0; i < words.size(); ++i) {
    std::string_view word = words[i];
    if (word == "-c") {
      if (++i == words.size()) return false;
      word = words[i];
    } else if (word.starts_with("-c") || word.starts_with("--")) {
      word.remove_prefix(2);
    } else {
      return false;
    }
    const auto equals = word.find('=');
    if (equals == std::string_view::npos) return false;
    std::string name(word.substr(0, equals));
    std::replace(name.begin(), name.end(), '-', '_');
    if (!add(own, name, word.substr(equals + 1))) return false;
  }
  return true;
}

std::string literal(std::string_view text) {
  std::string out = "E'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += c;
    out += c;
  }
  return out + '\'';
}

std::string set_config(const std::pair<std::string, std::string>& item, bool local) {
  return "pg_catalog.set_config(" + literal(item.first) + ", " + literal(item.second) +
         (local ? ", true)" : ", false)");
}

// One statement's tokens, as far as they tell.
struct Statement {
  std::vector<Token> tokens;  // the first few
  Token last;
  std::size_t count = 0;
  bool ended = false;  // with the text

  bool word(std::size_t at, std::string_view text) const {
    return at < tokens.size() && tokens[at].kind == TokenKind::kWord && equals_folded(tokens[at].text, text);
  }
  bool ends(std::size_t at) const { return at == count; }
  // The name that begins at `at`, which goes on behind it; empty: none that is tracked.
  std::string name(std::size_t& at) const {
    const std::size_t from = at;
    while (at + 2 < tokens.size() && tokens[at + 1].is('.')) at += 2;
    if (at >= tokens.size()) return {};
    const char* begin = tokens[from].text.data();
    const auto size = static_cast<std::size_t>(tokens[at].text.data() + tokens[at].text.size() - begin);
    ++at;
    return tracked_name({begin, size});
  }
};

// The text that EXECUTE comes to. Where it takes no parameters, PostgreSQL does not look at those it is given.
std::string_view text_of(const Statement& statement, const Executed& executed) {
  if (!executed || !statement.word(0, "execute") || statement.count < 2) return {};
  if (!statement.ends(2) && !statement.tokens[2].is('(')) return {};
  const auto kind = statement.tokens[1].kind;
  if (kind != TokenKind::kWord && kind != TokenKind::kQuotedIdentifier) return {};
  return executed(statement.tokens[1].text);
}

std::optional<GoesBack> goes_back(const Statement& statement) {
  GoesBack place;
  std::size_t at = 1;
  const auto named = [&](std::string name) -> std::optional<GoesBack> {
    if (name.empty()) return std::nullopt;
    place.name = std::move(name);
    return place;
  };
  if (statement.word(0, "reset")) {
    if (statement.word(1, "all") && statement.ends(2)) return place;
    if (statement.word(1, "time") && statement.word(2, "zone")) return named("timezone");
    return named(statement.name(at));
  }
  if (!statement.word(0, "set")) return std::nullopt;
  const bool equals_next = statement.count > 2 && (statement.tokens[2].kind == TokenKind::kOperator ||
                                                   statement.word(2, "to") || statement.tokens[2].is('.'));
  if (!equals_next && (statement.word(1, "session") || statement.word(1, "local"))) {
    place.local = statement.word(1, "local");
    ++at;
  }
  if (statement.word(at, "time") && statement.word(at + 1, "zone")) {
    const bool back = statement.word(at + 2, "default") || statement.word(at + 2, "local");
    return back ? named("timezone") : std::nullopt;
  }
  if (statement.word(at, "names") && (statement.ends(at + 1) || statement.word(at + 1, "default")))
    return named("client_encoding");
  auto name = statement.name(at);
  return statement.word(at + 1, "default") && statement.ends(at + 2) ? named(std::move(name)) : std::nullopt;
}

Statement next_statement(Tokenizer& tokens) {
  constexpr std::size_t kLooked = 16;
  Statement statement;
  for (auto token = tokens.next(); !token.is(';'); token = tokens.next()) {
    statement.ended = token.kind == TokenKind::kEnd;
    if (statement.ended) break;
    if (statement.tokens.size() < kLooked) statement.tokens.push_back(token);
    statement.last = token;
    ++statement.count;
  }
  return statement;
}

// `use` is told of each statement as it stands, and what it does, which is another where it is EXECUTE.
template <class Use>
void each_statement(std::string_view sql, bool standard_conforming_strings, const Executed& executed, Use use) {
  Tokenizer tokens(sql, standard_conforming_strings);
  while (true) {
    const auto statement = next_statement(tokens);
    if (const auto text = text_of(statement, executed); !text.empty()) {
      Tokenizer its(text, standard_conforming_strings);
      use(statement, next_statement(its));
    } else {
      use(statement, statement);
    }
    if (statement.ended) return;
  }
}

std::size_t end_of(const Statement& statement, std::string_view sql) {
  return static_cast<std::size_t>(statement.last.text.data() + statement.last.text.size() - sql.data());
}

// Whether its tag is SET or RESET.
bool is_told_as_set(const Statement& statement) {
  if (statement.word(0, "reset")) return true;
  if (!statement.word(0, "set")) return false;
  const bool assigned = statement.count > 2 && (statement.tokens[2].kind == TokenKind::kOperator ||
                                                statement.word(2, "to") || statement.tokens[2].is('.'));
  return assigned || !statement.word(1, "constraints");
}

// SET takes their names apart, which set_config takes as one text (GUC_LIST_QUOTE in guc_tables.c).
bool is_quoted_list(std::string_view name) {
  static constexpr std::string_view kKnown[] = {"search_path", "temp_tablespaces", "unix_socket_directories"};
  return std::find(std::begin(kKnown), std::end(kKnown), name) != std::end(kKnown) ||
         name.ends_with("_preload_libraries");
}

std::string quoted(std::string_view setting) {
  std::string out;
  for (std::size_t dot; (dot = setting.find('.')) != std::string_view::npos; setting.remove_prefix(dot + 1))
    out += quoted_name(setting.substr(0, dot)) + '.';
  return out + quoted_name(setting);
}

}  // namespace

StartUp split_start_up(const wire::Parameters& parameters) {
  StartUp out;
  // The server reads `options` first.
  for (const auto& item : parameters) {
    if (item.first != "options") continue;
    auto with = out.own;
    if (add_options(with, item.second)) {
      out.own = std::move(with);
    } else {
      out.only_at_start.push_back(item);
    }
  }
  for (const auto& item : parameters)
    if (item.first != "options" && !add(out.own, item.first, item.second)) out.only_at_start.push_back(item);
  return out;
}

std::string check_start_sql(const Settings::Values& own) {
  std::string sql = "SELECT ";
  for (const auto& item : own) {
    if (&item != &own.front()) sql += ", ";
    sql += set_config(item, true);
  }
  return sql;
}

std::optional<Settings::Values> read_start(std::string_view messages, const Settings::Values& own) {
  const auto frame = wire::scan_frame(messages);
  if (frame.scan != wire::Scan::kMessage || frame.type != 'D' || frame.size != messages.size()) return std::nullopt;
  wire::Reader reader(messages.substr(wire::kHeaderSize));
  if (reader.u16() != own.size()) return std::nullopt;
  Settings::Values out;
  for (const auto& item : own) {
    const auto size = reader.u32();
    const auto value = reader.bytes(size);
    if (!reader.ok()) return std::nullopt;
    out.emplace_back(item.first, value);
  }
  return out;
}

std::vector<GoesBack> going_back(std::string_view sql, bool standard_conforming_strings, const Executed& executed) {
  std::vector<GoesBack> places;
  each_statement(sql, standard_conforming_strings, executed, [&](const Statement& statement, const Statement& does) {
    if (auto place = goes_back(does)) {
      place->end = end_of(statement, sql);
      places.push_back(std::move(*place));
    }
  });
  return places;
}

std::vector<std::string> set_start_sql(const GoesBack& place, const Settings::Values& start, std::string_view column) {
  std::vector<std::string> out;
  std::string select;
  for (const auto& item : start) {
    if (!place.name.empty() && item.first != place.name) continue;
    if (!place.local && !is_quoted_list(item.first)) {
      out.push_back("SET " + quoted(item.first) + " TO " + literal(item.second));
    } else if (!select.empty()) {
      select += ", " + set_config(item, place.local);
    } else {
      select = "SELECT " + set_config(item, place.local);
      if (!column.empty()) select += " AS \"" + std::string(column) + '"';
    }
  }
  if (!select.empty()) out.push_back(std::move(select));
  return out;
}

std::string with_start_settings(std::string_view sql, bool standard_conforming_strings, const Settings::Values& start,
                                std::string_view column, Insertions& inserted, const Executed& executed) {
  std::string out;
  std::size_t copied = 0;
  inserted = {};
  each_statement(sql, standard_conforming_strings, executed, [&](const Statement& statement, const Statement& does) {
    if (is_told_as_set(does)) inserted.sets.push_back(false);
    const auto place = goes_back(does);
    if (!place) return;
    const auto back = set_start_sql(*place, start, column);
    if (back.empty()) return;
    const auto end = end_of(statement, sql);
    out += sql.substr(copied, end - copied);
    copied = end;
    const auto before = out.size();
    for (const auto& one : back) {
      out += ';';
      out += one;
      if (one.starts_with("SET")) inserted.sets.push_back(true);
    }
    inserted.places.push_back({characters(sql.substr(0, copied)), characters(std::string_view(out).substr(before))});
  });
  if (copied > 0) out += sql.substr(copied);
  return out;
}

}  // namespace dbproxy::session::postgres
