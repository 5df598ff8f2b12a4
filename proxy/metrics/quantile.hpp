// A quantile of what a histogram's buckets hold, as Prometheus' histogram_quantile reckons it. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace dbproxy::metrics {

// `counts[i]` observations were above `bounds[i - 1]` and at most `bounds[i]`; the one beyond the last bound has none.
// Within a bucket they count as spread evenly. nullopt: there is no observation. What lies beyond is the last bound.
inline std::optional<double> quantile(double q, const std::vector<double>& bounds,
                                      const std::vector<std::uint64_t>& counts) {
  double all = 0;
  for (const std::uint64_t each : counts) all += static_cast<double>(each);
  if (all <= 0 || bounds.empty()) return std::nullopt;
  const double wanted = q * all;
  double before = 0;
  for (std::size_t i = 0; i < bounds.size() && i < counts.size(); ++i) {
    const auto here = static_cast<double>(counts[i]);
    if (before + here >= wanted && here > 0) {
      const double low = i == 0 ? 0 : bounds[i - 1];
      return low + (bounds[i] - low) * (wanted - before) / here;
    }
    before += here;
  }
  return bounds.back();
}

}  // namespace dbproxy::metrics
