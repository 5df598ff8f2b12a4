// Where the ceilings of the connection budgets are kept: in the state directory, or in an object of the cluster's API.
//
// What is kept is what a new operator charges each sidecar until it has heard of it (operator/budget/allocator.hpp).
// Calls may block; the caller makes one at a time.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "operator/budget/allocator.hpp"
#include "proxy/base/clock.hpp"
#include "proxy/base/result.hpp"

namespace dbproxy::operator_control {

class CeilingStore {
 public:
  virtual ~CeilingStore() = default;

  struct Kept {
    std::uint64_t epoch = 0;  // for who has asked: higher than any that was given before
    operator_budget::Ceilings ceilings;
  };
  // Of one DBProxy, by namespace/name. What saves from now on are compared with is what was there.
  virtual Result<Kept> load(const std::string& proxy) = 0;

  enum class Saved {
    kInForce,
    kSuperseded,  // somebody else has written since: nothing has changed, and nothing that one has may be used
    kLater,       // it cannot be told now, or it could not be reached; to be tried again as it is
  };
  virtual Saved save(const std::string& proxy, std::uint64_t epoch, const operator_budget::Ceilings& ceilings) = 0;
};

// Files `ceilings/NAMESPACE.NAME` of mode 0600, which appear by rename.
class CeilingFiles final : public CeilingStore {
 public:
  CeilingFiles(std::string state_dir, const Clock& clock);

  Result<Kept> load(const std::string& proxy) override;
  Saved save(const std::string& proxy, std::uint64_t epoch, const operator_budget::Ceilings& ceilings) override;

 private:
  std::string path(const std::string& proxy) const;

  const std::string directory_;
  const Clock& clock_;
  std::map<std::string, std::string> known_;  // what the file holds, by proxy
};

// How ceilings are written down, in whatever they are kept: lines of text.
std::string write_ceilings(std::uint64_t epoch, const operator_budget::Ceilings& ceilings);
Result<CeilingStore::Kept> read_ceilings(const std::string& text);

}  // namespace dbproxy::operator_control
