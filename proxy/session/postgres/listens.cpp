#include "proxy/session/postgres/listens.hpp"

#include "proxy/session/postgres/prepare_text.hpp"
#include "proxy/session/postgres/tokenizer.hpp"

namespace dbproxy::session::postgres {

std::vector<std::string> unlistened(std::string_view sql, bool standard_conforming_strings) {
  std::vector<std::string> channels;
  Tokenizer tokens(sql, standard_conforming_strings);
  bool first = true;
  for (Token token = tokens.next(); token.kind != TokenKind::kEnd; token = tokens.next()) {
    const bool unlisten = first && token.kind == TokenKind::kWord && equals_folded(token.text, "unlisten");
    first = token.is(';');
    if (!unlisten) continue;
    token = tokens.next();
    if (token.kind == TokenKind::kOperator) {
      channels.emplace_back();
    } else if (token.kind == TokenKind::kWord || token.kind == TokenKind::kQuotedIdentifier) {
      channels.push_back(identifier_name(token.text));
    }
    first = token.is(';');
  }
  return channels;
}

std::string listen_sql(const std::set<std::string, std::less<>>& channels) {
  std::string sql;
  for (const auto& channel : channels) {
    if (!sql.empty()) sql += "; ";
    sql += "LISTEN " + quoted_name(channel);
  }
  return sql;
}

}  // namespace dbproxy::session::postgres
