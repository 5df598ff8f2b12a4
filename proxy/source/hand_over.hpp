// HandOver: whether planned work on a cluster, a switchover or a restart, is over. Pure, single-threaded.
//
// It is, once a member takes writes and can be reached that is another one than before: by its id or its host, or by
// the server behind them, where a blue/green deployment gave the names to another. Also once the same one does again
// that has been seen not to.
#pragma once

#include <optional>
#include <vector>

#include "proxy/topology/observation.hpp"

namespace dbproxy::source {

class HandOver {
 public:
  // `before`: the cluster as it was when the work began. Without a writer there, the first one ends it.
  explicit HandOver(const std::vector<topology::Observation>& before);

  bool over(const std::vector<topology::Observation>& now);
  // The manifest has other members from here on: whoever is seen as the writer next ends it.
  void forget() { writer_.reset(); }

 private:
  std::optional<topology::Observation> writer_;  // of before; none once it has been away
};

}  // namespace dbproxy::source
