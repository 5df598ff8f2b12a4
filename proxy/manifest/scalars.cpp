// What kind of value a YAML scalar is, and the rules for strings.
#include <algorithm>
#include <array>
#include <cctype>

#include "proxy/manifest/fields.hpp"

namespace dbproxy::manifest {
namespace {

bool one_of(std::string_view text, std::initializer_list<std::string_view> words) {
  return std::find(words.begin(), words.end(), text) != words.end();
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_lower_alnum(char c) {
  return (c >= 'a' && c <= 'z') || is_digit(c);
}

bool all_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_digit);
}

bool looks_like_float(std::string_view text) {
  if (one_of(text, {".inf", ".Inf", ".INF", "-.inf", "+.inf", ".nan", ".NaN", ".NAN"})) return true;
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  std::size_t digits = 0;
  std::size_t dots = 0;
  std::size_t i = 0;
  for (; i < text.size() && (is_digit(text[i]) || text[i] == '.'); ++i) {
    digits += is_digit(text[i]) ? 1 : 0;
    dots += text[i] == '.' ? 1 : 0;
  }
  if (digits == 0 || dots > 1) return false;
  if (i == text.size()) return true;
  if (text[i] != 'e' && text[i] != 'E') return false;
  text.remove_prefix(i + 1);
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  return all_digits(text);
}

NodeKind kind_of_plain(std::string_view text) {
  if (text.empty() || one_of(text, {"~", "null", "Null", "NULL"})) return NodeKind::kNull;
  if (one_of(text, {"true", "True", "TRUE", "false", "False", "FALSE", "yes", "Yes", "YES", "no", "No", "NO", "on",
                    "On", "ON", "off", "Off", "OFF"})) {
    return NodeKind::kBool;
  }
  std::string_view number = text;
  if (number[0] == '-' || number[0] == '+') number.remove_prefix(1);
  if (all_digits(number)) return NodeKind::kInteger;
  if (number.size() > 2 && number[0] == '0' && one_of(number.substr(1, 1), {"x", "o", "b"}) &&
      std::all_of(number.begin() + 2, number.end(), [](unsigned char c) { return std::isxdigit(c) != 0; })) {
    return NodeKind::kInteger;
  }
  return looks_like_float(text) ? NodeKind::kFloat : NodeKind::kString;
}

}  // namespace

NodeKind kind_of(const YAML::Node& node) {
  if (!node.IsDefined()) return NodeKind::kNull;
  const std::string& tag = node.Tag();
  // "?" is a plain scalar or collection, "!" a quoted scalar. Any other tag would change the type behind our back.
  if (!tag.empty() && tag != "?" && tag != "!")
    return tag == "tag:yaml.org,2002:str" ? NodeKind::kString : NodeKind::kTagged;
  switch (node.Type()) {
    case YAML::NodeType::Sequence:
      return NodeKind::kList;
    case YAML::NodeType::Map:
      return NodeKind::kMap;
    case YAML::NodeType::Scalar:
      return tag == "!" ? NodeKind::kString : kind_of_plain(node.Scalar());
    default:
      return NodeKind::kNull;
  }
}

std::string_view describe(NodeKind kind) {
  switch (kind) {
    case NodeKind::kNull:
      return "null";
    case NodeKind::kBool:
      return "a boolean";
    case NodeKind::kInteger:
    case NodeKind::kFloat:
      return "a number";
    case NodeKind::kString:
      return "a string";
    case NodeKind::kList:
      return "a list";
    case NodeKind::kMap:
      return "a mapping";
    case NodeKind::kTagged:
      return "tagged with !";
  }
  return "";
}

std::string check_dns_label(std::string_view text) {
  constexpr std::string_view kRule = "is not a DNS label (lower-case letters, digits and '-', at most 63)";
  if (text.empty() || text.size() > 63 || text.front() == '-' || text.back() == '-') return std::string(kRule);
  bool good = std::all_of(text.begin(), text.end(), [](char c) { return is_lower_alnum(c) || c == '-'; });
  return good ? "" : std::string(kRule);
}

std::string check_dns_subdomain(std::string_view text) {
  constexpr std::string_view kRule = "is not a DNS name (lower-case letters, digits, '-' and '.', at most 253)";
  if (text.empty() || text.size() > 253) return std::string(kRule);
  for (std::size_t start = 0; start <= text.size();) {
    std::size_t dot = std::min(text.find('.', start), text.size());
    std::string_view label = text.substr(start, dot - start);
    if (label.empty() || label.front() == '-' || label.back() == '-') return std::string(kRule);
    if (!std::all_of(label.begin(), label.end(), [](char c) { return is_lower_alnum(c) || c == '-'; })) {
      return std::string(kRule);
    }
    start = dot + 1;
  }
  return "";
}

std::string check_host(std::string_view text) {
  if (text.find("://") != std::string_view::npos) return "holds a scheme: write the host name alone";
  if (text.front() == '/') return check_printable(text);
  std::size_t colon = text.find(':');
  if (colon != std::string_view::npos && text.find(':', colon + 1) != std::string_view::npos) {  // IPv6
    bool good = std::all_of(text.begin(), text.end(),
                            [](unsigned char c) { return std::isxdigit(c) != 0 || c == ':' || c == '.'; });
    return good ? "" : "is not a host name or an address";
  }
  if (colon != std::string_view::npos) return "holds a port: write it into the field port";
  if (text.front() == '.' || text.back() == '.' || text.find("..") != std::string_view::npos) {
    return "is not a host name or an address";
  }
  bool good = std::all_of(text.begin(), text.end(),
                          [](unsigned char c) { return std::isalnum(c) != 0 || c == '-' || c == '.' || c == '_'; });
  return good ? "" : "is not a host name or an address";
}

std::string check_printable(std::string_view text) {
  bool good = std::none_of(text.begin(), text.end(), [](char c) {
    auto byte = static_cast<unsigned char>(c);
    return byte < 0x20 || byte == 0x7F;
  });
  return good ? "" : "holds control characters";
}

bool valid_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    auto lead = static_cast<unsigned char>(text[i]);
    std::size_t length = lead < 0x80                    ? 1
                         : lead >= 0xC2 && lead <= 0xDF ? 2
                         : (lead & 0xF0) == 0xE0        ? 3
                         : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                        : 0;
    if (length == 0 || i + length > text.size()) return false;
    std::uint32_t point = length == 1 ? lead : lead & (0xFFU >> (length + 1));
    for (std::size_t k = 1; k < length; ++k) {
      auto next = static_cast<unsigned char>(text[i + k]);
      if ((next & 0xC0) != 0x80) return false;
      point = point << 6 | (next & 0x3F);
    }
    if (length == 3 && (point < 0x800 || (point >= 0xD800 && point <= 0xDFFF))) return false;
    if (length == 4 && (point < 0x10000 || point > 0x10FFFF)) return false;
    i += length;
  }
  return true;
}

}  // namespace dbproxy::manifest
