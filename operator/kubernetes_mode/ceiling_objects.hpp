// CeilingObjects: the ceilings of connection budgets in the cluster's API, one ConfigMap beside each DBProxy.
//
// `dbproxy-ceilings-NAME`, owned by the DBProxy, so that it goes with it. Writes carry the resourceVersion that was
// read or written last: whoever has written since is noticed. A write whose answer was lost is recognized by its text.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "operator/control/ceiling_store.hpp"
#include "operator/kubernetes/client.hpp"
#include "operator/kubernetes/objects.hpp"

namespace dbproxy::kubernetes_mode {

class CeilingObjects final : public operator_control::CeilingStore {
 public:
  // `uid_of`: of a DBProxy, "" where it is gone. `client` and `clock` outlive it.
  CeilingObjects(kubernetes::Client& client, std::function<std::string(const std::string& proxy)> uid_of,
                 const Clock& clock);

  Result<Kept> load(const std::string& proxy) override;
  Saved save(const std::string& proxy, std::uint64_t epoch, const operator_budget::Ceilings& ceilings) override;

 private:
  Saved compare(const std::string& proxy, const std::string& wanted);
  Saved failed(const std::string& proxy, const kubernetes::Failure& failure);

  kubernetes::Client& client_;
  const std::function<std::string(const std::string&)> uid_of_;
  const Clock& clock_;
  std::map<std::string, std::string> versions_;  // by proxy; "": there is no object
  std::map<std::string, std::string> troubles_;  // that were told
};

}  // namespace dbproxy::kubernetes_mode
