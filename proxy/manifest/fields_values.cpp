// Fields: the scalars, each with what is wrong with it in words.
#include <algorithm>
#include <charconv>

#include "proxy/manifest/duration.hpp"
#include "proxy/manifest/fields.hpp"

namespace dbproxy::manifest {
namespace {

std::string join(const std::vector<std::string_view>& words) {
  std::string out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) out += i + 1 == words.size() ? " or " : ", ";
    out += words[i];
  }
  return out;
}

// A scalar as it may be shown: numbers bare, the rest in quotes; collections not at all.
std::string shown(const YAML::Node& node, bool hidden) {
  if (hidden) return std::string(kHidden);
  if (!node.IsScalar()) return {};
  NodeKind kind = kind_of(node);
  bool bare = kind == NodeKind::kInteger || kind == NodeKind::kFloat || kind == NodeKind::kBool;
  if (!bare) return in_quotes(node.Scalar());
  return node.Scalar().size() > 32 ? node.Scalar().substr(0, 32) + "…" : node.Scalar();
}

}  // namespace

std::optional<std::string> Fields::check_text(const YAML::Node& node, const std::string& path, int line,
                                              const TextRule& rule) {
  NodeKind kind = kind_of(node);
  std::string value = shown(node, rule.hidden);
  if (kind == NodeKind::kTagged) {
    report_.error(line, path, "", "has a YAML tag (it begins with !)", "put the text in quotes");
    return std::nullopt;
  }
  if (kind != NodeKind::kString) {
    bool scalar = node.IsScalar();
    report_.error(line, path, scalar ? value : "", "is " + std::string(describe(kind)) + ", not a string",
                  scalar ? "put it in quotes" : "");
    return std::nullopt;
  }
  const std::string& text = node.Scalar();
  if (text.empty() && !rule.allow_empty) {
    report_.error(line, path, "", "is empty", rule.remedy);
    return std::nullopt;
  }
  if (text.size() > rule.max_length) {
    report_.error(line, path, value, "is longer than " + std::to_string(rule.max_length) + " bytes", rule.remedy);
    return std::nullopt;
  }
  std::string broken = rule.check ? rule.check(text) : std::string();
  if (broken.empty()) return text;
  report_.error(line, path, value, broken, rule.remedy);
  return std::nullopt;
}

std::optional<std::string> Fields::text(std::string_view name, const TextRule& rule) {
  const Entry* entry = take(name);
  if (entry == nullptr) return std::nullopt;
  return check_text(entry->node, path_of(name), entry->line, rule);
}

std::optional<std::int64_t> Fields::integer(std::string_view name, std::int64_t least, std::int64_t most,
                                            const std::string& remedy) {
  const Entry* entry = take(name);
  if (entry == nullptr) return std::nullopt;
  return check_integer(entry->node, path_of(name), entry->line, least, most, remedy);
}

std::vector<std::int64_t> Fields::integers(std::string_view name, std::size_t count, std::int64_t least,
                                           std::int64_t most) {
  std::vector<std::int64_t> out;
  const YAML::Node* items = list(name, count);
  if (items == nullptr) return out;
  for (std::size_t i = 0; i < items->size(); ++i) {
    const YAML::Node item = (*items)[i];
    const std::string path = path_of(name) + "[" + std::to_string(i) + "]";
    report_.remember(path, report_.line_of(item));
    if (auto value = check_integer(item, path, report_.line_of(item), least, most, {})) out.push_back(*value);
  }
  return out;
}

std::optional<std::int64_t> Fields::check_integer(const YAML::Node& node, const std::string& path, int line,
                                                  std::int64_t least, std::int64_t most, const std::string& remedy) {
  NodeKind kind = kind_of(node);
  if (kind != NodeKind::kInteger) {
    bool in_vain = kind == NodeKind::kString && node.Tag() == "!";
    std::string rule =
        kind == NodeKind::kFloat ? "is not a whole number" : "is " + std::string(describe(kind)) + ", not a number";
    report_.error(line, path, shown(node, false), rule,
                  in_vain ? "write digits alone, without quotes" : "write digits alone");
    return std::nullopt;
  }
  const std::string& text = node.Scalar();
  std::string_view digits = text;
  if (digits.front() == '+') digits.remove_prefix(1);
  std::int64_t value = 0;
  auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  bool whole = parsed.ec == std::errc() && parsed.ptr == digits.data() + digits.size();
  // A leading 0 makes YAML 1.1 read octal; nobody means that.
  bool decimal = digits.size() < 2 || digits.front() != '0';
  if (!decimal || (!whole && parsed.ec != std::errc::result_out_of_range)) {
    report_.error(line, path, text, "is not a decimal number", remedy);
    return std::nullopt;
  }
  if (!whole || value < least || value > most) {
    report_.error(line, path, shown(node, false),
                  "is not between " + std::to_string(least) + " and " + std::to_string(most), remedy);
    return std::nullopt;
  }
  return value;
}

std::optional<std::chrono::milliseconds> Fields::duration(std::string_view name) {
  const Entry* entry = take(name);
  if (entry == nullptr) return std::nullopt;
  auto kind = kind_of(entry->node);
  bool written = kind == NodeKind::kInteger || kind == NodeKind::kString;
  auto value = written ? parse_duration(entry->node.Scalar()) : std::nullopt;
  if (!value) {
    error(name, shown(entry->node, false), "is not a time from 0 to 2147483647ms",
          "write it as PostgreSQL does: 30s, 5min, 250ms; 0 means no limit");
  }
  return value;
}

std::optional<bool> Fields::boolean(std::string_view name) {
  const Entry* entry = take(name);
  if (entry == nullptr) return std::nullopt;
  NodeKind kind = kind_of(entry->node);
  if (kind != NodeKind::kBool) {
    error(name, shown(entry->node, false), "is " + std::string(describe(kind)) + ", not a boolean",
          "write true or false, without quotes");
    return std::nullopt;
  }
  char c = entry->node.Scalar()[0];
  char second = entry->node.Scalar()[1];
  return c == 't' || c == 'T' || c == 'y' || c == 'Y' || ((c == 'o' || c == 'O') && (second == 'n' || second == 'N'));
}

std::optional<std::string> Fields::choice(std::string_view name, const std::vector<std::string_view>& allowed) {
  std::optional<std::string> value = text(name);
  if (!value || std::find(allowed.begin(), allowed.end(), *value) != allowed.end()) return value;
  std::string_view near = nearest(*value, allowed);
  error(name, in_quotes(*value), "is not " + join(allowed),
        near.empty() ? "" : "did you mean " + std::string(near) + "?");
  return std::nullopt;
}

}  // namespace dbproxy::manifest
