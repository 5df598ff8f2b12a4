#include "operator/ctl/document.hpp"

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <yaml-cpp/emitter.h>

namespace dbproxy::ctl {
namespace {

namespace json = boost::json;

void pretty(std::string& out, const json::value& value, const std::string& indent) {
  const std::string inner = indent + "  ";
  if (const json::object* object = value.if_object(); object != nullptr && !object->empty()) {
    out += "{\n";
    bool first = true;
    for (const auto& [key, member] : *object) {
      if (!first) out += ",\n";
      first = false;
      out += inner + json::serialize(json::string(key)) + ": ";
      pretty(out, member, inner);
    }
    out += "\n" + indent + "}";
  } else if (const json::array* array = value.if_array(); array != nullptr && !array->empty()) {
    out += "[\n";
    for (std::size_t i = 0; i < array->size(); ++i) {
      out += (i == 0 ? "" : ",\n") + inner;
      pretty(out, (*array)[i], inner);
    }
    out += "\n" + indent + "]";
  } else if (value.is_double()) {
    out += text_at(value, "");  // "0.25" instead of "2.5E-1"
  } else {
    out += json::serialize(value);
  }
}

// Plain only where no YAML reader can see a number, a boolean, a null or syntax in it.
bool plain(std::string_view text) {
  static constexpr std::array<std::string_view, 9> kWords{"true", "false", "yes", "no", "on", "off", "null", "y", "n"};
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  if (text.empty() || !letter(text[0])) return false;
  std::string lower;
  for (const char c : text) {
    if (!letter(c) && !(c >= '0' && c <= '9') && c != '_' && c != '-' && c != '.' && c != '/') return false;
    lower += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  }
  return std::find(kWords.begin(), kWords.end(), lower) == kWords.end();
}

void emit_string(YAML::Emitter& out, std::string_view text) {
  if (!plain(text)) out << YAML::DoubleQuoted;
  out << std::string(text);
}

void emit(YAML::Emitter& out, const json::value& value) {
  if (const json::object* object = value.if_object()) {
    if (object->empty()) out << YAML::Flow;
    out << YAML::BeginMap;
    for (const auto& [key, member] : *object) {
      out << YAML::Key;
      emit_string(out, key);
      out << YAML::Value;
      emit(out, member);
    }
    out << YAML::EndMap;
  } else if (const json::array* array = value.if_array()) {
    if (array->empty()) out << YAML::Flow;
    out << YAML::BeginSeq;
    for (const json::value& element : *array) emit(out, element);
    out << YAML::EndSeq;
  } else if (const json::string* string = value.if_string()) {
    emit_string(out, *string);
  } else {
    out << (value.is_null() ? std::string("null") : text_at(value, ""));
  }
}

const json::value* find(const json::value& value, std::string_view pointer) {
  boost::system::error_code error;
  return value.find_pointer(json::string_view(pointer.data(), pointer.size()), error);
}

}  // namespace

std::string to_json(const json::value& value) {
  std::string out;
  pretty(out, value, "");
  return out + "\n";
}

std::string to_yaml(const json::value& value) {
  YAML::Emitter out;
  emit(out, value);
  return std::string(out.c_str(), out.size()) + "\n";
}

std::string text_at(const json::value& value, std::string_view pointer) {
  const json::value* found = find(value, pointer);
  if (found == nullptr || found->is_null()) return {};
  if (const json::string* string = found->if_string()) return {string->data(), string->size()};
  if (const bool* boolean = found->if_bool()) return *boolean ? "true" : "false";
  if (const double* number = found->if_double()) {
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%.10g", *number);
    return text.data();
  }
  return json::serialize(*found);
}

double number_at(const json::value& value, std::string_view pointer) {
  const json::value* found = find(value, pointer);
  boost::system::error_code error;
  return found != nullptr && found->is_number() ? found->to_number<double>(error) : 0;
}

const json::array& array_at(const json::value& value, std::string_view pointer) {
  static const json::array kNone;
  const json::value* found = find(value, pointer);
  return found != nullptr && found->is_array() ? found->get_array() : kNone;
}

}  // namespace dbproxy::ctl
