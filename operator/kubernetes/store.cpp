#include "operator/kubernetes/store.hpp"

namespace dbproxy::kubernetes {
namespace {

bool same(const json::object& a, const json::object& b) {
  return resource_version_of(a) == resource_version_of(b) &&
         text_at(a, {"metadata", "uid"}) == text_at(b, {"metadata", "uid"});
}

}  // namespace

std::vector<Change> Store::replace(std::map<std::string, ObjectPtr> all) {
  std::vector<Change> out;
  const std::lock_guard lock(mutex_);
  for (const auto& [key, object] : objects_) {
    if (!all.contains(key)) out.push_back({key, object, nullptr});
  }
  for (auto& [key, object] : all) {
    const auto found = objects_.find(key);
    if (found == objects_.end()) {
      out.push_back({key, nullptr, object});
    } else if (same(*found->second, *object)) {
      object = found->second;
    } else {
      out.push_back({key, found->second, object});
    }
  }
  objects_ = std::move(all);
  return out;
}

std::vector<Change> Store::put(ObjectPtr object) {
  std::string key = key_of(*object);
  const std::lock_guard lock(mutex_);
  ObjectPtr& place = objects_[key];
  if (place && same(*place, *object)) return {};
  ObjectPtr before = std::exchange(place, object);
  return {{std::move(key), std::move(before), std::move(object)}};
}

std::vector<Change> Store::remove(const std::string& key) {
  const std::lock_guard lock(mutex_);
  const auto found = objects_.find(key);
  if (found == objects_.end()) return {};
  ObjectPtr before = std::move(found->second);
  objects_.erase(found);
  return {{key, std::move(before), nullptr}};
}

ObjectPtr Store::get(const std::string& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = objects_.find(key);
  return found == objects_.end() ? nullptr : found->second;
}

std::map<std::string, ObjectPtr> Store::all() const {
  const std::lock_guard lock(mutex_);
  return objects_;
}

std::size_t Store::size() const {
  const std::lock_guard lock(mutex_);
  return objects_.size();
}

}  // namespace dbproxy::kubernetes
