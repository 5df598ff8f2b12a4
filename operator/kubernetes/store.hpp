// Store: the objects of one list or watch as they were seen last. Thread-safe; objects are immutable and shared.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "operator/kubernetes/json.hpp"

namespace dbproxy::kubernetes {

struct Change {
  std::string key;   // namespace/name
  ObjectPtr before;  // none: it is new
  ObjectPtr after;   // none: it is gone
};

class Store {
 public:
  // Each returns what changed; an object of the same uid and resourceVersion has not.
  std::vector<Change> replace(std::map<std::string, ObjectPtr> all);
  std::vector<Change> put(ObjectPtr object);
  std::vector<Change> remove(const std::string& key);

  ObjectPtr get(const std::string& key) const;
  std::map<std::string, ObjectPtr> all() const;
  std::size_t size() const;

 private:
  mutable std::mutex mutex_;
  std::map<std::string, ObjectPtr> objects_;
};

}  // namespace dbproxy::kubernetes
