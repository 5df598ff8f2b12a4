// A line of a watch of any bytes, and what is read of such objects: values, or a failure that can be shown.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "operator/kubernetes/lease.hpp"
#include "operator/kubernetes/reviews.hpp"
#include "operator/kubernetes/watch_event.hpp"

using namespace dbproxy;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto event = kubernetes::decode_watch_event(text);
  if (event.has_error()) {
    if (event.error().ok() || event.error().text().empty()) std::abort();
  } else {
    kubernetes::LeaseView lease;
    lease.observe(event->object, TimePoint{});
    const auto claimed = kubernetes::claimed_lease({"a", "b", "c", "d"}, &event->object, WallTime{});
    if (kubernetes::text_at(claimed, {"spec", "holderIdentity"}) != "c") std::abort();
    kubernetes::released_lease(event->object, WallTime{});
  }
  if (kubernetes::failure_of(500, text).message.size() > 1024) std::abort();
  if (kubernetes::token_expiry(text) < 0) std::abort();
  return 0;
}
