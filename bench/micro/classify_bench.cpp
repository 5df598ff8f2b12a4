// What one statement costs before it is forwarded: one pass over its text. The 400-byte one is typical of an ORM.
#include <benchmark/benchmark.h>
#include <string>
#include <string_view>

#include "proxy/session/postgres/classify.hpp"

namespace {

using namespace dbproxy::session::postgres;

constexpr std::string_view kPoint = "SELECT abalance FROM pgbench_accounts WHERE aid = 123456;";
constexpr std::string_view kOrm =
    R"(SELECT "orders"."id", "orders"."customer_id", "orders"."state", "orders"."total", "orders"."created_at", )"
    R"("customers"."name", "customers"."email" FROM "orders" INNER JOIN "customers" ON ("orders"."customer_id" = )"
    R"("customers"."id") WHERE ("orders"."state" IN ('new', 'paid', 'sent') AND "orders"."total" > 100.50 AND )"
    R"("customers"."email" LIKE '%@example.com') ORDER BY "orders"."created_at" DESC LIMIT 50)";
static_assert(kOrm.size() >= 380 && kOrm.size() <= 420);

void classify_statement(benchmark::State& state, std::string_view sql) {
  const ClassifyOptions options;
  for (auto _ : state) {
    const Verdict verdict = classify(sql, options);
    benchmark::DoNotOptimize(verdict.pins);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(sql.size()));
}
void classify_with_hazards(benchmark::State& state, std::string_view sql) {
  HazardSet hazards;
  for (int i = 0; i < 40; ++i) hazards.insert("audit_function_" + std::to_string(i));
  ClassifyOptions options;
  options.hazards = &hazards;
  for (auto _ : state) {
    const Verdict verdict = classify(sql, options);
    benchmark::DoNotOptimize(verdict.pins);
  }
}
void classify_by_tokens(benchmark::State& state, std::string_view sql) {
  const ClassifyOptions options;
  for (auto _ : state) {
    const Verdict verdict = classify_exactly(sql, options);
    benchmark::DoNotOptimize(verdict.pins);
  }
}
BENCHMARK_CAPTURE(classify_with_hazards, orm_400_bytes, kOrm);
BENCHMARK_CAPTURE(classify_by_tokens, orm_400_bytes, kOrm);
BENCHMARK_CAPTURE(classify_statement, point_select, kPoint);
BENCHMARK_CAPTURE(classify_statement, orm_400_bytes, kOrm);
BENCHMARK_CAPTURE(classify_statement, begin, std::string_view("BEGIN"));
BENCHMARK_CAPTURE(classify_statement, set, std::string_view("SET work_mem = '64MB'"));

void classify_long_insert(benchmark::State& state) {
  std::string sql = "INSERT INTO t VALUES ";
  while (sql.size() < 60000) sql += "(1, 'some text of a row', 2.5, NULL), ";
  sql += "(2, 'last', 0, NULL)";
  const ClassifyOptions options;
  for (auto _ : state) {
    const Verdict verdict = classify(sql, options);
    benchmark::DoNotOptimize(verdict.pins);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(sql.size()));
}
BENCHMARK(classify_long_insert);

void digest_statement(benchmark::State& state) {
  for (auto _ : state) {
    const std::string text = digest(kOrm);
    benchmark::DoNotOptimize(text.data());
  }
}
BENCHMARK(digest_statement);

}  // namespace
