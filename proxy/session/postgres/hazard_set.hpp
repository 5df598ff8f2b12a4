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

namespace dbproxy::session::postgres {

class HazardSet {
 public:
  void insert(std::string_view name);
  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0 && !everything_ && !ddl_; }

  // What no name in a statement tells: an operator or a cast may be a hazard, so may every statement that computes
  // something; an event trigger may, so may every change of the schema.
  void set_everything() { everything_ = true; }
  void set_ddl() { ddl_ = true; }
  bool everything() const { return everything_; }
  bool ddl() const { return ddl_; }

  // `name` as it stands in a statement, without its quotes; longer ones are cut as PostgreSQL cuts them.
  bool contains(std::string_view name) const {
    if (name.empty()) return false;
    const std::size_t slot = filter_slot(name);
    if (!((filter_[slot / 64] >> (slot % 64)) & 1) && name.size() <= kMaxName && !(always_ && needs_care(name)))
      return false;
    return contains_slow(name);
  }

 private:
  static constexpr std::size_t kMaxName = 63;
  static std::size_t filter_slot(std::string_view name) {
    const auto first = static_cast<unsigned char>(name.front()) | 0x20u;
    const auto last = static_cast<unsigned char>(name.back()) | 0x20u;
    return (first * 31 + last * 7 + name.size() * 131) % 4096;
  }
  static bool needs_care(std::string_view name);
  bool contains_slow(std::string_view name) const;
  bool find(std::string_view name) const;

  std::array<std::uint64_t, 64> filter_{};
  std::vector<std::string> table_;  // open addressing, a power of two; "" is free
  std::size_t size_ = 0;
  bool everything_ = false;
  bool ddl_ = false;
  bool always_ = false;  // a name with bytes that clients and server may spell differently is in the set
};

}  // namespace dbproxy::session::postgres
