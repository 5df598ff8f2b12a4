#include "operator/kubernetes/json.hpp"

#include <array>
#include <ctime>

#include "proxy/base/wall_time.hpp"

namespace dbproxy::kubernetes {
namespace {

constexpr std::size_t kMaxDepth = 128;

std::string time_text(std::chrono::system_clock::time_point when, bool micro) {
  const auto since = std::chrono::duration_cast<std::chrono::microseconds>(when.time_since_epoch()).count();
  const std::time_t seconds = since / 1'000'000;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 40> buffer{};
  std::size_t size = std::strftime(buffer.data(), buffer.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  std::string out(buffer.data(), size);
  if (micro) {
    std::string fraction = std::to_string(since % 1'000'000);
    out += "." + std::string(6 - fraction.size(), '0') + fraction;
  }
  return out + "Z";
}

}  // namespace

Outcome<json::value> parse_json(std::string_view text) {
  json::parse_options options;
  options.max_depth = kMaxDepth;
  boost::system::error_code error;
  json::value value = json::parse(json::string_view(text.data(), text.size()), error, {}, options);
  if (error) {
    return Failure{Failure::Kind::kMalformed, 0, "", "what came is not JSON: " + error.message(), std::nullopt};
  }
  return value;
}

const json::value* value_at(const json::object& object, std::initializer_list<std::string_view> path) {
  const json::object* at = &object;
  const json::value* found = nullptr;
  for (const std::string_view step : path) {
    if (at == nullptr) return nullptr;
    found = at->if_contains(json::string_view(step.data(), step.size()));
    if (found == nullptr) return nullptr;
    at = found->if_object();
  }
  return found;
}

const json::object* object_at(const json::object& object, std::initializer_list<std::string_view> path) {
  const json::value* value = value_at(object, path);
  return value == nullptr ? nullptr : value->if_object();
}

const json::array* array_at(const json::object& object, std::initializer_list<std::string_view> path) {
  const json::value* value = value_at(object, path);
  return value == nullptr ? nullptr : value->if_array();
}

std::string_view text_at(const json::object& object, std::initializer_list<std::string_view> path) {
  const json::value* value = value_at(object, path);
  const json::string* text = value == nullptr ? nullptr : value->if_string();
  return text == nullptr ? std::string_view() : std::string_view(text->data(), text->size());
}

std::optional<std::int64_t> integer_at(const json::object& object, std::initializer_list<std::string_view> path) {
  const json::value* value = value_at(object, path);
  if (value == nullptr) return std::nullopt;
  if (const std::int64_t* number = value->if_int64()) return *number;
  return std::nullopt;
}

std::string key_of(const json::object& object) {
  const std::string_view name_space = text_at(object, {"metadata", "namespace"});
  const std::string_view name = text_at(object, {"metadata", "name"});
  if (name_space.empty()) return std::string(name);
  return std::string(name_space) + "/" + std::string(name);
}

std::string_view resource_version_of(const json::object& object) {
  return text_at(object, {"metadata", "resourceVersion"});
}

std::string micro_time(std::chrono::system_clock::time_point when) {
  return time_text(when, true);
}

std::string second_time(std::chrono::system_clock::time_point when) {
  return time_text(when, false);
}

std::optional<std::chrono::system_clock::time_point> parse_time(std::string_view text) {
  constexpr std::size_t kMost = 40;
  if (text.size() > kMost) return std::nullopt;
  std::tm parts{};
  const std::string copy(text);
  const char* end = strptime(copy.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (end == nullptr) return std::nullopt;
  std::chrono::microseconds fraction{0};
  if (*end == '.') {
    std::int64_t unit = 100'000;
    for (++end; *end >= '0' && *end <= '9'; ++end, unit /= 10)
      fraction += std::chrono::microseconds((*end - '0') * unit);
  }
  if (std::string_view(end) != "Z") return std::nullopt;
  return wall_time(timegm(&parts)) + fraction;
}

}  // namespace dbproxy::kubernetes
