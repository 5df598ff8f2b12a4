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

}  // namespace dbproxy::session::postgres
