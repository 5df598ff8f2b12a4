// JSON for scripts: printed with indentation, or as YAML. Pure.
#pragma once

#include <boost/json/value.hpp>
#include <string>
#include <string_view>

namespace dbproxy::ctl {

std::string to_json(const boost::json::value& value);
// Strings that YAML 1.1 or 1.2 would read as something else are quoted.
std::string to_yaml(const boost::json::value& value);

// What a pointer such as "/targets/total" leads to, as people read it: "" where there is nothing (an older server).
std::string text_at(const boost::json::value& value, std::string_view pointer);
double number_at(const boost::json::value& value, std::string_view pointer);
// The elements of an array; none where there is no array.
const boost::json::array& array_at(const boost::json::value& value, std::string_view pointer);

}  // namespace dbproxy::ctl
