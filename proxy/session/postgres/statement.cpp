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

StatementPtr StatementCache::intern(std::string_view text, std::string_view parameter_types,
                                    const ClassifyOptions& options) {
  // The types come first with their count, so that no text can pass for another's types.
  scratch_.clear();
  scratch_ += parameter_types;
  scratch_ += text;
  auto it = statements_.find(scratch_);
  if (it != statements_.end() && it->second->types == parameter_types.size()) return it->second;
  auto made = new Statement;
  made->id = next_id_++;
  made->key = scratch_;
  made->types = parameter_types.size();
  made->name = prefix_ + std::to_string(made->id);
  made->verdict = classify(made->text(), options);
  if (it == statements_.end()) {
    made->cache = this;
    statements_.emplace(made->key, made);
  }
  return made;
}

}  // namespace dbproxy::session::postgres
