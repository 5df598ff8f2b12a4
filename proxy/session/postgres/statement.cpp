#include "proxy/session/postgres/statement.hpp"

namespace dbproxy::session::postgres {

void intrusive_ptr_add_ref(Statement* statement) {
  ++statement->references;
}

void intrusive_ptr_release(Statement* statement) {
  if (--statement->references > 0) return;
  if (statement->cache != nullptr) statement->cache->statements_.erase(statement->key);
  delete statement;
}

StatementCache::~StatementCache() {
  for (auto& [key, statement] : statements_) statement->cache = nullptr;
}

// The inverse of how intern() begins a key.
ClassifyOptions Statement::read_as() const {
  ClassifyOptions options;
  const int flags = key[0] - '0';
  options.standard_conforming_strings = (flags & 1) != 0;
  options.backslash_in_characters = (flags & 2) != 0;
  options.search_path_reported = (flags & 4) != 0;
  options.read_only_reported = (flags & 8) != 0;
  return options;
}

void Statement::classify_again(const ClassifyOptions& now) {
  auto options = read_as();
  options.hazards = now.hazards;
  options.catalog_known = now.catalog_known;
  verdict = classify(text(), options);
  generation = now.hazards_generation;
}

Verdict Statement::strict_verdict() const {
  auto options = read_as();
  options.everything = true;
  return classify(text(), options);
}

StatementPtr StatementCache::intern(std::string_view text, std::string_view parameter_types,
                                    const ClassifyOptions& options) {
  // First how the text is to be read: the same text means something else where backslashes escape, in another
  // database, and where a constant is read by another TimeZone when it is prepared. Then the types, whose number is
  // compared, so that no text can pass for another's types.
  scratch_.clear();
  scratch_ += static_cast<char>('0' + (options.standard_conforming_strings ? 1 : 0) +
                                (options.backslash_in_characters ? 2 : 0) + (options.search_path_reported ? 4 : 0) +
                                (options.read_only_reported ? 8 : 0));
  for (int shift = 0; shift < 32; shift += 8) scratch_ += static_cast<char>(options.hazards_domain >> shift);
  for (int shift = 0; shift < 32; shift += 8) scratch_ += static_cast<char>(options.reading >> shift);
  scratch_ += parameter_types;
  scratch_ += text;
  auto it = statements_.find(scratch_);
  if (it != statements_.end() && it->second->types == parameter_types.size()) {
    it->second->refresh(options);
    return it->second;
  }
  auto made = new Statement;
  made->id = next_id_++;
  made->key = scratch_;
  made->types = parameter_types.size();
  made->name = prefix_ + std::to_string(made->id);
  made->classify_again(options);
  if (it == statements_.end()) {
    made->cache = this;
    statements_.emplace(made->key, made);
  }
  return made;
}

}  // namespace dbproxy::session::postgres
