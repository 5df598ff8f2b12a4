#include "operator/kubernetes/failure.hpp"

#include <cstdio>
#include <cstdlib>

#include "operator/kubernetes/json.hpp"

namespace dbproxy::kubernetes {
namespace {

constexpr std::size_t kMaxText = 1024;

std::string presentable(std::string text) {
  if (text.size() > kMaxText) text.resize(kMaxText);
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return text;
}

}  // namespace

std::string Failure::text() const {
  switch (kind) {
    case Kind::kNone:
      return "no error";
    case Kind::kCancelled:
      return "cancelled";
    case Kind::kTimeout:
      return message.empty() ? "no answer in time" : message;
    case Kind::kStatus:
      return std::to_string(code) + (reason.empty() ? "" : " " + reason) + (message.empty() ? "" : ": " + message);
    default:
      return message;
  }
}

Failure failure_of(int code, std::string_view body) {
  Failure out{Failure::Kind::kStatus, code, "", "", std::nullopt};
  const Outcome<json::value> parsed = parse_json(body);
  if (parsed.has_value() && parsed->is_object() && text_at(parsed->get_object(), {"kind"}) == "Status") {
    const json::object& status = parsed->get_object();
    if (const auto own = integer_at(status, {"code"})) out.code = static_cast<int>(*own);
    out.reason = presentable(std::string(text_at(status, {"reason"})));
    out.message = presentable(std::string(text_at(status, {"message"})));
    if (const auto seconds = integer_at(status, {"details", "retryAfterSeconds"}); seconds && *seconds > 0) {
      out.retry_after = std::chrono::seconds(std::min<std::int64_t>(*seconds, 3600));
    }
  } else {
    out.message = presentable(std::string(body.substr(0, kMaxText)));
  }
  return out;
}

void throw_exception_from_error(const Failure& failure, const boost::source_location&) {
  std::fprintf(stderr, "kubernetes: a value was taken where there is none: %s\n", failure.text().c_str());
  std::abort();
}

}  // namespace dbproxy::kubernetes
