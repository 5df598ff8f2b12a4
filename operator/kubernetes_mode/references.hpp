// References: the Secrets and ConfigMaps that DBProxies refer to.
//
// Of a namespace in use only metadata are watched; an object is read when it is referred to and has changed. What was
// read is kept as a Secret, one copy of each. `get` and `use` are for one thread, which blocks in them as a request
// does; `changed` comes from the watches' threads.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "operator/kubernetes/reflector.hpp"
#include "proxy/base/secret.hpp"

namespace dbproxy::kubernetes_mode {

class References {
 public:
  // Told "Secret" or "ConfigMap", and namespace/name.
  using Changed = std::function<void(const std::string& kind, const std::string& key)>;

  References(kubernetes::Client& client, Changed changed);
  ~References();  // stops

  struct Found {
    enum class Kind { kFound, kMissing, kNotYet, kFailed };
    Kind kind = Kind::kMissing;
    std::shared_ptr<const Secret> text;  // the object as JSON: apiVersion, kind, metadata, data
    std::string error;                   // of kFailed
  };
  Found get(const std::string& kind, const std::string& name_space, const std::string& name);

  // The namespaces whose objects are watched from now on; what is kept of others is dropped.
  void use(const std::set<std::string>& secrets, const std::set<std::string>& config_maps);
  void cancel() { canceller_.cancel(); }  // ends a `get` that is under way; any thread
  void stop();                            // when nobody calls `get` or `use` any more

  struct Totals {
    std::uint64_t lists = 0, watches = 0, expired = 0, failures = 0;
  };
  Totals totals() const;

 private:
  struct Kept {
    std::string version;
    std::shared_ptr<const Secret> text;
  };
  using Watches = std::map<std::string, std::unique_ptr<kubernetes::Reflector>>;  // by namespace
  void use(Watches& watches, const std::set<std::string>& name_spaces, const std::string& kind);

  kubernetes::Client& client_;
  const Changed changed_;
  mutable std::mutex mutex_;  // the maps of watches, for totals
  Watches secrets_, config_maps_;
  std::map<std::string, Kept> kept_;  // by "Kind namespace/name"
  kubernetes::Canceller canceller_;
};

}  // namespace dbproxy::kubernetes_mode
