// Texts that do nothing but begin or end a transaction block, or a session, known by their words alone.
#pragma once

#include <cstdint>
#include <string_view>

namespace dbproxy::session::postgres {

enum class TransactionText : std::uint8_t {
  kOther,     // anything else, and whatever is not certain
  kBegin,     // BEGIN …: tag BEGIN
  kStart,     // START TRANSACTION …: tag START TRANSACTION
  kCommit,    // COMMIT, END
  kRollback,  // ROLLBACK, ABORT
  kDiscardAll,
};

// With the modes that no server refuses: READ COMMITTED, REPEATABLE READ, READ UNCOMMITTED, READ ONLY; on a standby it
// refuses READ WRITE and SERIALIZABLE. One semicolon may follow; comments, AND CHAIN and the like make kOther.
TransactionText transaction_text(std::string_view sql);

// A COMMIT or ROLLBACK of these: when it has been carried out, nothing is left of the transaction.
inline bool ends_block(std::string_view sql) {
  const auto kind = transaction_text(sql);
  return kind == TransactionText::kCommit || kind == TransactionText::kRollback;
}

// Whether the server takes such a text in a failed transaction (IsTransactionExitStmt in its tcop/postgres.c): COMMIT,
// END, ROLLBACK, ABORT, PREPARE TRANSACTION with whatever follows, and a text without a statement. The text is one
// statement, as Parse has it.
bool runs_in_failed_transaction(std::string_view sql);

}  // namespace dbproxy::session::postgres
