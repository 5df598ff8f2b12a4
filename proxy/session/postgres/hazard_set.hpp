// HazardSet: names of functions, relations, operators' functions … that may change session state when used.
//
// Filled once per database from its catalogue, then looked up for every word of every new statement: no allocation,
// two nanoseconds for a word that is not in it. Names are compared without regard to ASCII case, which errs on the
// safe side. Const access is thread-safe.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/session/postgres/pin_reason.hpp"

namespace dbproxy::session::postgres {

class HazardSet {
 public:
  // `leaves`: what using it may leave in the session, PinReason bits; kOpaque when nobody can tell. kSetVariable:
  // nothing but these settings, by tracked_name(), which can be read back.
  void insert(std::string_view name, std::uint32_t leaves = bit(PinReason::kOpaque),
              std::vector<std::string> settings = {});
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0 && !everything_ && !ddl_; }

  // What no name in a statement tells: an operator or a cast may be a hazard, so may every statement that computes
  // something; an event trigger may, so may every change of the schema.
  void set_everything() { everything_ = true; }
  void set_ddl() { ddl_ = true; }
  bool everything() const { return everything_; }
  bool ddl() const { return ddl_; }
  // One of the names is not a single word of letters, digits, _, $ and bytes ≥ 0x80.
  bool has_odd_names() const { return odd_; }

  // What was said of `name`; 0 when it is no hazard. As it stands in a statement, without its quotes; longer ones are
  // cut as PostgreSQL cuts them.
  std::uint32_t leaves(std::string_view name) const {
    if (name.empty()) return 0;
    const std::size_t slot = filter_slot(name);
    if (!((filter_[slot / 64] >> (slot % 64)) & 1) && name.size() <= kMaxName && !(always_ && needs_care(name)))
      return 0;
    return leaves_slow(name);
  }
  bool contains(std::string_view name) const { return leaves(name) != 0; }
  // Of a name that leaves kSetVariable; they live as long as the set.
  const std::vector<std::string>& settings(std::string_view name) const;

 private:
  static constexpr std::size_t kMaxName = 63;
  static std::size_t filter_slot(std::string_view name) {
    const auto first = static_cast<unsigned char>(name.front()) | 0x20u;
    const auto last = static_cast<unsigned char>(name.back()) | 0x20u;
    return (first * 31 + last * 7 + name.size() * 131) % 4096;
  }
  static bool needs_care(std::string_view name);
  struct Entry {
    std::string name;  // "" is free
    std::uint32_t leaves = 0;
    std::vector<std::string> settings;
  };
  static void place(std::vector<Entry>& table, Entry entry);
  std::uint32_t leaves_slow(std::string_view name) const;
  const Entry* find(std::string_view name) const;

  std::array<std::uint64_t, 64> filter_{};
  std::vector<Entry> table_;  // open addressing, a power of two
  std::size_t size_ = 0;
  bool everything_ = false;
  bool ddl_ = false;
  bool odd_ = false;
  bool always_ = false;  // a name with bytes that clients and server may spell differently is in the set
};

}  // namespace dbproxy::session::postgres
