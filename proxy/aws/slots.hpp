// Slots: what several owners want to know of keys, each of which has a slot as long as anybody wants it.
//
// A slot has `owners`, `due` (when it is to be asked for) and `state.asked` (it was, once). No lock and no thread of
// its own: those are its users'.
#pragma once

#include <algorithm>
#include <chrono>
#include <iterator>
#include <map>
#include <string>

namespace dbproxy::aws {

template <class Key, class Slot>
class Slots : public std::map<Key, Slot> {
 public:
  // From now on the owner wants these keys and no others. A key that nobody wanted is due at once.
  template <class Keys>
  void want(const std::string& owner, const Keys& keys, std::chrono::steady_clock::time_point now) {
    for (auto it = this->begin(); it != this->end();) {
      if (!keys.contains(it->first)) it->second.owners.erase(owner);
      it = it->second.owners.empty() ? this->erase(it) : std::next(it);
    }
    for (const Key& key : keys) {
      Slot& slot = (*this)[key];
      if (slot.owners.empty()) slot.due = now;
      slot.owners.insert(owner);
    }
  }

  auto state(const Key& key) const {
    const auto found = this->find(key);
    return found == this->end() ? decltype(Slot::state){} : found->second.state;
  }

  // Whether all that the owner wants has been asked for.
  bool asked(const std::string& owner) const {
    return std::all_of(this->begin(), this->end(), [&](const auto& each) {
      return !each.second.owners.contains(owner) || each.second.state.asked;
    });
  }
};

}  // namespace dbproxy::aws
