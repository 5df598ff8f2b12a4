// Reading JSON that came from elsewhere: bounded parsing, and look-ups that take nothing for granted. Pure.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "operator/kubernetes/failure.hpp"

namespace dbproxy::kubernetes {

namespace json = boost::json;

// An object of the API. Immutable once it is shared.
using ObjectPtr = std::shared_ptr<const json::object>;

// Nesting of at most 128; anything but one JSON text is kMalformed.
Outcome<json::value> parse_json(std::string_view text);

// What stands at that path, or none.
const json::value* value_at(const json::object& object, std::initializer_list<std::string_view> path);
const json::object* object_at(const json::object& object, std::initializer_list<std::string_view> path);
const json::array* array_at(const json::object& object, std::initializer_list<std::string_view> path);
// The string at that path, "" for anything else. Good as long as the object is.
std::string_view text_at(const json::object& object, std::initializer_list<std::string_view> path);
std::optional<std::int64_t> integer_at(const json::object& object, std::initializer_list<std::string_view> path);

// "namespace/name", or "name" for what has no namespace.
std::string key_of(const json::object& object);
std::string_view resource_version_of(const json::object& object);

// Microseconds since the epoch as the API writes times: 2026-01-02T03:04:05.678901Z, or without the fraction.
std::string micro_time(std::chrono::system_clock::time_point when);
std::string second_time(std::chrono::system_clock::time_point when);
// Of either; none: it is no such time in UTC.
std::optional<std::chrono::system_clock::time_point> parse_time(std::string_view text);

}  // namespace dbproxy::kubernetes
