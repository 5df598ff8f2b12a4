// An AdmissionReview of any bytes; and a pod of any shape, whose patch only adds, can be done, and is all there is to
// do.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "operator/webhook/admission.hpp"
#include "operator/webhook/pod.hpp"

using namespace dbproxy;

namespace {

std::optional<webhook::BoundProxy> find(const std::string&, const std::string& name, std::string&) {
  webhook::BoundProxy out;
  out.name = name;
  out.pod_identity = name == "socket";
  out.endpoints = {{"default", 5432}};
  out.database_ports = {5432};
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const webhook::Review reviewed = webhook::review(text, {}, find);
  if (reviewed.status != 200 && reviewed.status != 400) std::abort();

  const auto parsed = kubernetes::parse_json(text);
  if (parsed.has_error() || !parsed->is_object()) return 0;
  boost::json::value pod = *parsed;
  webhook::Settings settings;
  settings.native = size % 2 == 0;
  const webhook::Decision first = webhook::inject(pod.get_object(), "shop", settings, find);
  if (first.kind != webhook::Decision::Kind::kPatch) return 0;
  for (const auto& operation : first.patch) {
    if (operation.at("op") != "add") std::abort();
  }
  if (!webhook::apply_additions(pod, first.patch).empty()) std::abort();
  if (webhook::inject(pod.get_object(), "shop", settings, find).kind != webhook::Decision::Kind::kNothing) std::abort();
  return 0;
}
