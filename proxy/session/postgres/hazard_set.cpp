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

bool is_word(std::string_view name) {
  const auto in_word = [](char c) {
    return (c & 0x80) || (c >= '0' && c <= '9') || c == '_' || c == '$' || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
  };
  return !(name.front() >= '0' && name.front() <= '9') && name.front() != '$' &&
         std::all_of(name.begin(), name.end(), in_word);
}

}  // namespace

void HazardSet::place(std::vector<Entry>& table, Entry entry) {
  std::size_t slot = hash(entry.name) & (table.size() - 1);
  while (!table[slot].name.empty()) slot = (slot + 1) & (table.size() - 1);
  table[slot] = std::move(entry);
}

// Bytes ≥ 0x80 depend on the client's encoding, a quote is doubled in a statement: neither can be compared bytewise.
bool HazardSet::needs_care(std::string_view name) {
  return std::any_of(name.begin(), name.end(), [](char c) { return (c & 0x80) || c == '"'; });
}

void HazardSet::insert(std::string_view name, std::uint32_t leaves, std::vector<std::string> settings) {
  if (name.empty() || leaves == 0) return;
  if (const Entry* known = find(name)) {
    auto& entry = const_cast<Entry&>(*known);
    entry.leaves |= leaves;
    for (auto& setting : settings)
      if (std::find(entry.settings.begin(), entry.settings.end(), setting) == entry.settings.end())
        entry.settings.push_back(std::move(setting));
    return;
  }
  if ((size_ + 1) * 2 > table_.size()) {
    std::vector<Entry> larger(std::max<std::size_t>(16, table_.size() * 2));
    for (Entry& old : table_)
      if (!old.name.empty()) place(larger, std::move(old));
    table_ = std::move(larger);
  }
  place(table_, {std::string(name), leaves, std::move(settings)});
  ++size_;
  always_ |= needs_care(name);
  odd_ |= !is_word(name);
  const std::size_t slot = filter_slot(name);
  filter_[slot / 64] |= std::uint64_t{1} << (slot % 64);
}

std::uint32_t HazardSet::leaves_slow(std::string_view name) const {
  if (always_ && needs_care(name)) return bit(PinReason::kOpaque);
  const auto of = [this](std::string_view spelling) {
    const Entry* found = find(spelling);
    return found ? found->leaves : 0;
  };
  if (name.size() <= kMaxName) return of(name);
  std::uint32_t leaves = 0;
  for (std::size_t cut = kMaxName; cut >= kMaxName - 3; --cut)  // cut in front of a multi-byte character
    leaves |= of(name.substr(0, cut));
  // Which settings is told of whole names only.
  return leaves & bit(PinReason::kSetVariable) ? bit(PinReason::kOpaque) : leaves;
}

const std::vector<std::string>& HazardSet::settings(std::string_view name) const {
  static const std::vector<std::string> kNone;
  const Entry* found = name.size() <= kMaxName ? find(name) : nullptr;
  return found != nullptr ? found->settings : kNone;
}

const HazardSet::Entry* HazardSet::find(std::string_view name) const {
  if (table_.empty()) return nullptr;
  for (std::size_t slot = hash(name) & (table_.size() - 1); !table_[slot].name.empty();
       slot = (slot + 1) & (table_.size() - 1))
    if (equals_folded(table_[slot].name, name)) return &table_[slot];
  return nullptr;
}

}  // namespace dbproxy::session::postgres
