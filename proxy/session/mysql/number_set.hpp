// NumberSet: which numbers a request gives. An INSERT's OK has LAST_INSERT_ID(), or else the key that the INSERT gave
// itself: where what the OK has is not among these, it is the first. May say yes without reason, never no. Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "proxy/wire/mysql/commands.hpp"

namespace dbproxy::session::mysql {

class NumberSet {
 public:
  void add(std::uint64_t number) { bits_ |= bit(number); }
  // Of a literal or a bound string: what a key made of it would be. Nothing: it is no number, and makes none.
  void add_text(std::string_view text);
  void add_all() { bits_ = ~std::uint64_t{0}; }
  void add(const NumberSet& other) { bits_ |= other.bits_; }
  bool may_have(std::uint64_t number) const { return (bits_ & bit(number)) != 0; }

 private:
  static std::uint64_t bit(std::uint64_t number) {
    return std::uint64_t{1} << ((number * 0x9e3779b97f4a7c15u) >> 58);  // the upper bits of a product are well mixed
  }
  std::uint64_t bits_ = 0;
};

// What COM_STMT_EXECUTE binds. `payload`: of the request, `types`: two bytes each. All there are where it cannot tell.
NumberSet numbers_of(std::string_view payload, const wire::mysql::Execute& execute, std::string_view types);

}  // namespace dbproxy::session::mysql
