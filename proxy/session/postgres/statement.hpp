// Statement: the text and parameter types of a prepared statement, shared by all clients and connections that use it.
//
// Interned per worker: the same text and types are the same object, prepared on a server connection under one name,
// which is made here and cannot be guessed. Reference-counted without atomics: one thread. The cache must outlive its
// statements.
#pragma once

#include <boost/intrusive_ptr.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>

#include "proxy/session/postgres/classify.hpp"
#include "proxy/session/postgres/settings.hpp"

namespace dbproxy::session::postgres {

class StatementCache;

struct Statement {
  std::uint64_t id = 0;
  std::uint32_t references = 0;
  StatementCache* cache = nullptr;
  std::string key;               // how and where it is read, parameter types, text: what makes two statements the same
  std::size_t types = 0;         // bytes of `key` that are types: 4 per parameter, as in Parse
  std::string name;              // on server connections
  Verdict verdict;               // its views point into `key`
  std::uint64_t generation = 0;  // of the HazardSet that the verdict was made with

  // After one byte of flags, four that tell the database and four that tell how the session reads.
  static constexpr std::size_t kTypesAt = 9;
  std::string_view parameter_types() const { return std::string_view(key).substr(kTypesAt, types); }
  std::string_view text() const { return std::string_view(key).substr(kTypesAt + types); }
  // Another HazardSet, another verdict. The text is still read as it was when it was prepared.
  void refresh(const ClassifyOptions& options) {
    if (generation != options.hazards_generation) classify_again(options);
  }
  // How its text is read, as far as its key says.
  ClassifyOptions read_as() const;
  // As if nothing were known of the catalogue.
  Verdict strict_verdict() const;

 private:
  friend class StatementCache;
  void classify_again(const ClassifyOptions& options);
};

void intrusive_ptr_add_ref(Statement* statement);
void intrusive_ptr_release(Statement* statement);
using StatementPtr = boost::intrusive_ptr<Statement>;

// A client's own name for a statement. `pending` entries of a request queue point here.
struct NamedStatement {
  StatementPtr current;
  const std::string* name = nullptr;  // null: the unnamed statement
  std::uint64_t since = 0;            // tick of its Parse
  std::uint32_t pending = 0;
  std::string prepare;        // the PREPARE that made it; "": the protocol did
  SettingsPtr read_under;     // the client's settings when it was parsed; null: not known
  bool materialized = false;  // stands on the server connection at hand under the client's own name, too
};

class StatementCache {
 public:
  // `prefix` begins every name: random, so that no client's own name collides with one.
  explicit StatementCache(std::string prefix) : prefix_(std::move(prefix)) {}
  ~StatementCache();
  StatementCache(const StatementCache&) = delete;
  StatementCache& operator=(const StatementCache&) = delete;

  StatementPtr intern(std::string_view text, std::string_view parameter_types, const ClassifyOptions& options);
  // A number for this moment, higher than those before: what is sent after it was asked for has a higher one.
  std::uint64_t tick() { return ++ticks_; }
  // One that no Settings::reading() is, and no other call.
  std::uint32_t new_reading() { return next_reading_++; }
  const std::string& prefix() const { return prefix_; }
  std::size_t size() const { return statements_.size(); }

 private:
  friend void intrusive_ptr_release(Statement* statement);
  std::string prefix_;
  std::string scratch_;
  std::uint64_t next_id_ = 1;
  std::uint32_t next_reading_ = 1u << 31;
  std::uint64_t ticks_ = 0;
  std::unordered_map<std::string_view, Statement*> statements_;  // keys are views of Statement::key
};

}  // namespace dbproxy::session::postgres
