#include "proxy/auth/saslprep.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <openssl/crypto.h>
#include <stringprep.h>
#include <utf8proc.h>

namespace dbproxy::auth {
namespace {

// RFC 3454, table C.1.2. U+200B is in B.1 as well: as with PostgreSQL it becomes a space.
bool is_other_space(std::int32_t c) {
  return c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200B) || c == 0x202F || c == 0x205F || c == 0x3000;
}

// RFC 3454, table B.1.
bool is_mapped_to_nothing(std::int32_t c) {
  return c == 0xAD || c == 0x34F || c == 0x1806 || (c >= 0x180B && c <= 0x180D) || c == 0x200C || c == 0x200D ||
         c == 0x2060 || (c >= 0xFE00 && c <= 0xFE0F) || c == 0xFEFF;
}

// False: not UTF-8. `to` has the room already, so that no copy of a password is left behind by growing.
bool map_characters(std::string_view text, std::string& to) {
  to.reserve(text.size());
  const auto* at = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  auto left = static_cast<utf8proc_ssize_t>(text.size());
  while (left > 0) {
    utf8proc_int32_t c = 0;
    const utf8proc_ssize_t used = utf8proc_iterate(at, left, &c);
    if (used <= 0) return false;
    if (is_other_space(c))
      to += ' ';
    else if (!is_mapped_to_nothing(c))
      to.append(reinterpret_cast<const char*>(at), static_cast<std::size_t>(used));
    at += used;
    left -= used;
  }
  return true;
}

// Of RFC 3454's tables; ends with an element of zeros.
bool is_in(const Stringprep_table_element* table, std::uint32_t c) {
  for (; table->start != 0 || table->end != 0; ++table) {
    if (c == table->start || (c > table->start && c <= table->end)) return true;
  }
  return false;
}

bool is_prohibited(std::uint32_t c) {
  for (const auto* table :
       {stringprep_rfc3454_C_1_2, stringprep_rfc3454_C_2_1, stringprep_rfc3454_C_2_2, stringprep_rfc3454_C_3,
        stringprep_rfc3454_C_4, stringprep_rfc3454_C_5, stringprep_rfc3454_C_6, stringprep_rfc3454_C_7,
        stringprep_rfc3454_C_8, stringprep_rfc3454_C_9, stringprep_rfc3454_A_1}) {
    if (is_in(table, c)) return true;
  }
  return false;
}

// Nothing prohibited, nothing unassigned in Unicode 3.2, one direction. As PostgreSQL does, of what was mapped and
// before it is normalised.
bool is_allowed(std::string_view text) {
  const auto* at = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  auto left = static_cast<utf8proc_ssize_t>(text.size());
  bool first = true, begins_right_to_left = false, ends_right_to_left = false;
  bool any_right_to_left = false, any_left_to_right = false;
  while (left > 0) {
    utf8proc_int32_t character = 0;
    const utf8proc_ssize_t used = utf8proc_iterate(at, left, &character);
    if (used <= 0) return false;
    const auto c = static_cast<std::uint32_t>(character);
    if (is_prohibited(c)) return false;
    ends_right_to_left = is_in(stringprep_rfc3454_D_1, c);
    if (first) begins_right_to_left = ends_right_to_left;
    first = false;
    any_right_to_left |= ends_right_to_left;
    any_left_to_right |= is_in(stringprep_rfc3454_D_2, c);
    at += used;
    left -= used;
  }
  return !any_right_to_left || (!any_left_to_right && begins_right_to_left && ends_right_to_left);
}

}  // namespace

Secret saslprep(const Secret& password) {
  const std::string_view text = password.reveal();
  if (std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; }))
    return password;
  std::string plain;
  const bool utf8 = map_characters(text, plain);
  const Secret mapped(std::move(plain));
  if (!utf8 || mapped.empty() || !is_allowed(mapped.reveal())) return password;

  utf8proc_uint8_t* raw = nullptr;
  const auto size =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(mapped.reveal().data()),
                   static_cast<utf8proc_ssize_t>(mapped.reveal().size()), &raw,
                   static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT));  // NFKC
  if (size < 0) return password;
  Secret normalised(std::string(reinterpret_cast<const char*>(raw), static_cast<std::size_t>(size)));
  OPENSSL_cleanse(raw, static_cast<std::size_t>(size));
  std::free(raw);
  return normalised;
}

}  // namespace dbproxy::auth
