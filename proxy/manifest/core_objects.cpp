// Secret and ConfigMap of v1, as far as a DBProxy refers to them.
#include <algorithm>

#include "proxy/manifest/parsers.hpp"

namespace dbproxy::manifest {
namespace {

constexpr std::size_t kMaxKeys = 1000;
constexpr std::size_t kMaxValue = 1 << 20;  // as Kubernetes bounds a Secret

std::string check_data_key(std::string_view text) {
  bool good = std::all_of(text.begin(), text.end(),
                          [](unsigned char c) { return std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.'; });
  return good ? "" : "is not a key (letters, digits, '-', '_' and '.')";
}

int base64_digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  return c == '/' ? 63 : -1;
}

// RFC 4648 section 4, with padding; line breaks are allowed, as people paste what `base64` wraps.
std::optional<std::string> decode_base64(std::string_view text) {
  std::string digits;
  for (char c : text) {
    if (c != '\n' && c != '\r') digits += c;
  }
  if (digits.size() % 4 != 0) return std::nullopt;
  std::string out;
  for (std::size_t i = 0; i < digits.size(); i += 4) {
    std::size_t padding = i + 4 < digits.size() || digits[i + 3] != '=' ? 0 : digits[i + 2] == '=' ? 2 : 1;
    std::uint32_t bits = 0;
    for (std::size_t k = 0; k < 4; ++k) {
      int digit = k + padding >= 4 ? 0 : base64_digit(digits[i + k]);
      if (digit < 0) return std::nullopt;
      bits = bits << 6 | static_cast<std::uint32_t>(digit);
    }
    for (std::size_t k = 0; k + padding < 3; ++k) out += static_cast<char>(bits >> (16 - 8 * k) & 0xFF);
  }
  return out;
}

}  // namespace

void parse_secret(Fields& object, SecretResource& out) {
  object.ignore("type");
  object.ignore("immutable");
  TextRule key{253, check_data_key};
  auto encoded = object.text_map("data", kMaxKeys, key, {2 * kMaxValue, nullptr, "", true, true});
  auto plain = object.text_map("stringData", kMaxKeys, key, {kMaxValue, nullptr, "", true, true});
  for (const auto& [name, text] : encoded) {
    auto decoded = decode_base64(text);
    if (!decoded) {
      object.report().error(object.report().line_of_field("data." + name), "data." + name, std::string(kHidden),
                            "is not base64", "encode it with `base64 -w0`, or write it in clear under stringData");
      out.data.emplace(name, Secret());
      continue;
    }
    out.data.insert_or_assign(name, Secret(std::move(*decoded)));
  }
  for (auto& [name, text] : plain)
    out.data.insert_or_assign(name, Secret(std::move(text)));  // as the API server merges
  if (auto it = out.data.find("username"); it != out.data.end()) out.username = std::string(it->second.reveal());
  if (auto it = out.data.find("password"); it != out.data.end()) out.password = it->second;
}

void parse_config_map(Fields& object, ConfigMapResource& out) {
  object.ignore("immutable");
  object.ignore("binaryData");
  out.data = object.text_map("data", kMaxKeys, {253, check_data_key}, {kMaxValue, nullptr, "", true, true});
}

}  // namespace dbproxy::manifest
