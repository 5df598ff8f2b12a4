#include "proxy/session/postgres/hazard_set.hpp"

#include <algorithm>

#include "proxy/session/postgres/tokenizer.hpp"

namespace dbproxy::session::postgres {
namespace {

std::size_t hash(std::string_view name) {
  std::uint64_t value = 1469598103934665603u;
  for (const char c : name) value = (value ^ (static_cast<unsigned char>(c) | 0x20u)) * 1099511628211u;
  return value ^ (value >> 32);
}

void place(std::vector<std::string>& table, std::string name) {
  std::size_t slot = hash(name) & (table.size() - 1);
  while (!table[slot].empty()) slot = (slot + 1) & (table.size() - 1);
  table[slot] = std::move(name);
}

}  // namespace

// Bytes ≥ 0x80 depend on the client's encoding, a quote is doubled in a statement: neither can be compared bytewise.
bool HazardSet::needs_care(std::string_view name) {
  return std::any_of(name.begin(), name.end(), [](char c) { return (c & 0x80) || c == '"'; });
}

void HazardSet::insert(std::string_view name) {
  if (name.empty() || find(name)) return;
  if ((size_ + 1) * 2 > table_.size()) {
    std::vector<std::string> larger(std::max<std::size_t>(16, table_.size() * 2));
    for (std::string& old : table_)
      if (!old.empty()) place(larger, std::move(old));
    table_ = std::move(larger);
  }
  place(table_, std::string(name));
  ++size_;
  always_ |= needs_care(name);
  const std::size_t slot = filter_slot(name);
  filter_[slot / 64] |= std::uint64_t{1} << (slot % 64);
}

bool HazardSet::contains_slow(std::string_view name) const {
  if (always_ && needs_care(name)) return true;
  if (name.size() <= kMaxName) return find(name);
  for (std::size_t cut = kMaxName; cut >= kMaxName - 3; --cut)  // cut in front of a multi-byte character
    if (find(name.substr(0, cut))) return true;
  return false;
}

bool HazardSet::find(std::string_view name) const {
  if (table_.empty()) return false;
  for (std::size_t slot = hash(name) & (table_.size() - 1); !table_[slot].empty();
       slot = (slot + 1) & (table_.size() - 1))
    if (equals_folded(table_[slot], name)) return true;
  return false;
}

}  // namespace dbproxy::session::postgres
