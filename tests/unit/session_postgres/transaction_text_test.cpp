#include "proxy/session/postgres/transaction_text.hpp"

#include <gtest/gtest.h>
#include <string>

namespace dbproxy::session::postgres {
namespace {

TEST(TransactionText, KnowsWhatBeginsAndEnds) {
  using enum TransactionText;
  for (auto sql : {"BEGIN", "begin;", " Begin work ; ", "BEGIN TRANSACTION", "BEGIN ISOLATION LEVEL READ COMMITTED",
                   "begin transaction isolation level repeatable read, read only", "BEGIN READ ONLY",
                   "BEGIN\nISOLATION LEVEL READ UNCOMMITTED READ ONLY"})
    EXPECT_EQ(transaction_text(sql), kBegin) << sql;
  EXPECT_EQ(transaction_text("START TRANSACTION"), kStart);
  EXPECT_EQ(transaction_text("start transaction read only;"), kStart);
  for (auto sql : {"COMMIT", "commit work;", "END", "end transaction"})
    EXPECT_EQ(transaction_text(sql), kCommit) << sql;
  for (auto sql : {"ROLLBACK", "rollback;", "ABORT", "ROLLBACK WORK"})
    EXPECT_EQ(transaction_text(sql), kRollback) << sql;
}

TEST(TransactionText, NothingElse) {
  for (auto sql : {"",
                   ";",
                   "BEGIN; SELECT 1",
                   "BEGIN;;",
                   "BEGIN READ WRITE",
                   "BEGIN ISOLATION LEVEL SERIALIZABLE",
                   "BEGIN DEFERRABLE",
                   "BEGIN -- x",
                   "/* x */ BEGIN",
                   "BEGINX",
                   "BEGIN_",
                   "BEGIN ATOMIC",
                   "BEGIN READ",
                   "BEGIN ,READ ONLY",
                   "START",
                   "COMMIT AND CHAIN",
                   "COMMIT PREPARED 'x'",
                   "ROLLBACK TO a",
                   "ROLLBACK AND CHAIN",
                   "PREPARE TRANSACTION 'x'",
                   "BEGIN ISOLATION LEVEL",
                   "COMMIT COMMIT",
                   "BEGIN1",
                   "BEGIN \"x\""})
    EXPECT_EQ(transaction_text(sql), TransactionText::kOther) << sql;
  EXPECT_EQ(transaction_text("BEGIN" + std::string(100, ' ')), TransactionText::kOther);
}

}  // namespace
}  // namespace dbproxy::session::postgres
