// Where the fast look at a text says that there is nothing to see, the exact one has seen nothing. The input is a text;
// the names of a HazardSet are those of its words that stand in front of an asterisk.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "proxy/session/postgres/classify.hpp"
#include "proxy/session/postgres/plain.hpp"

using namespace dbproxy::session::postgres;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view sql(reinterpret_cast<const char*>(data), size);
  HazardSet hazards;
  for (std::size_t at = sql.find('*'); at != std::string_view::npos; at = sql.find('*', at + 1)) {
    const auto from = sql.substr(0, at).find_last_of(" \"(,");
    const auto name = sql.substr(from == std::string_view::npos ? 0 : from + 1, at - from - 1);
    if (!name.empty() && name.size() < 64) hazards.insert(name);
  }
  for (const HazardSet* set : {static_cast<const HazardSet*>(nullptr), static_cast<const HazardSet*>(&hazards)}) {
    const bool plain = is_plain(sql, set);
    if (plain != is_plain(sql, set, Width::kNarrow)) std::abort();
    if (!plain) continue;
    for (const bool standard : {true, false}) {
      ClassifyOptions options;
      options.standard_conforming_strings = standard;
      options.backslash_in_characters = !standard;
      options.hazards = set;
      const Verdict verdict = classify_exactly(sql, options);
      if (verdict.pins != 0 || verdict.statement_count != 1 || verdict.reported_setting || verdict.sets ||
          verdict.reset_all || verdict.reset_other || verdict.begin_only || verdict.discard_all || verdict.deallocate ||
          verdict.deallocate_all || verdict.executes_prepared || verdict.several_names ||
          verdict.may_report_catalog_change || verdict.sequence_use || verdict.copy || verdict.runs_block ||
          verdict.may_end || verdict.quoting_matters)
        std::abort();
    }
  }
  return 0;
}
