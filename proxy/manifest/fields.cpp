#include "proxy/manifest/fields.hpp"

#include <algorithm>
#include <array>

namespace dbproxy::manifest {
namespace {

constexpr std::size_t kMaxMapEntries = 5000;

// Where a field belongs that people tend to write one level off.
struct Place {
  std::string_view field;
  std::string_view parent;
};
constexpr std::array<Place, 26> kPlaces = {{
    {"engineFamily", "spec"},
    {"requireTLS", "spec"},
    {"idleClientTimeoutSeconds", "spec"},
    {"maxClientAgeSeconds", "spec"},
    {"debugLogging", "spec"},
    {"auth", "spec"},
    {"targetGroups", "spec"},
    {"tags", "spec"},
    {"secretRef", "spec.auth[]"},
    {"secretArn", "spec.auth[]"},
    {"iamAuth", "spec.auth[]"},
    {"clientPasswordAuthType", "spec.auth[]"},
    {"userName", "spec.auth[]"},
    {"dbCluster", "spec.targetGroups[]"},
    {"connectionPool", "spec.targetGroups[]"},
    {"endpoint", "spec.targetGroups[].dbCluster"},
    {"instances", "spec.targetGroups[].dbCluster"},
    {"tls", "spec.targetGroups[].dbCluster"},
    {"caRef", "spec.targetGroups[].dbCluster.tls"},
    {"maxConnectionsPercent", "spec.targetGroups[].connectionPool"},
    {"maxIdleConnectionsPercent", "spec.targetGroups[].connectionPool"},
    {"connectionBorrowTimeoutSeconds", "spec.targetGroups[].connectionPool"},
    {"sessionPinningFilters", "spec.targetGroups[].connectionPool"},
    {"initQuery", "spec.targetGroups[].connectionPool"},
    {"maxClients", "spec.limits"},
    {"maxConnectionsPerPod", "spec.targetGroups[].connectionPool"},
}};

}  // namespace

void Report::error(int line, std::string field, std::string value, std::string rule, std::string remedy) {
  ++errors_;
  out_.push_back({file_, line, 0, object_, std::move(field), std::move(value), std::move(rule), std::move(remedy),
                  Severity::kError});
}

void Report::warning(int line, std::string field, std::string value, std::string rule, std::string remedy) {
  out_.push_back({file_, line, 0, object_, std::move(field), std::move(value), std::move(rule), std::move(remedy),
                  Severity::kWarning});
}

Origin Report::origin() const {
  Origin out = origin_;
  out.file = file_;
  return out;
}

Fields::Fields(Report& report, const YAML::Node& map, std::string path, int line)
    : report_(report), path_(std::move(path)), line_(line) {
  if (map.size() > kMaxMapEntries) {
    report_.error(line_, path_, "", "has more than " + std::to_string(kMaxMapEntries) + " keys");
    return;
  }
  for (const auto& item : map) {
    int at = report_.line_of(item.first);
    if (!item.first.IsScalar()) {
      report_.error(at, path_, "", "has a key that is not a string");
      continue;
    }
    Entry entry{item.first.Scalar(), item.second, at};
    if (find(entry.key) != nullptr) {
      report_.error(at, path_of(entry.key), "", "is written twice", "keep one of the two");
      continue;
    }
    report_.remember(path_of(entry.key), at);
    entries_.push_back(std::move(entry));
  }
}

const Fields::Entry* Fields::find(std::string_view name) const {
  for (const auto& entry : entries_) {
    if (entry.key == name) return &entry;
  }
  return nullptr;
}

const Fields::Entry* Fields::take(std::string_view name) {
  known_.emplace_back(name);
  const Entry* entry = find(name);
  return entry != nullptr && kind_of(entry->node) != NodeKind::kNull ? entry : nullptr;
}

bool Fields::has(std::string_view name) const {
  const Entry* entry = find(name);
  return entry != nullptr && kind_of(entry->node) != NodeKind::kNull;
}

std::string Fields::raw(std::string_view name) const {
  const Entry* entry = find(name);
  return entry != nullptr && entry->node.IsScalar() ? entry->node.Scalar() : std::string();
}

bool Fields::is_empty_list(std::string_view name) const {
  const Entry* entry = find(name);
  return entry != nullptr && entry->node.IsSequence() && entry->node.size() == 0;
}

int Fields::line_of(std::string_view name) const {
  const Entry* entry = find(name);
  return entry != nullptr ? entry->line : line_;
}

std::string Fields::path_of(std::string_view name) const {
  return path_.empty() ? std::string(name) : path_ + "." + std::string(name);
}

std::optional<Fields> Fields::map(std::string_view name) {
  const Entry* entry = take(name);
  if (entry == nullptr) return std::nullopt;
  NodeKind kind = kind_of(entry->node);
  if (kind != NodeKind::kMap) {
    // Not the value: what stands where a mapping should be may well be a secret.
    error(name, "", "is " + std::string(describe(kind)) + ", not a mapping");
    return std::nullopt;
  }
  return Fields(report_, entry->node, path_of(name), entry->line);
}

const YAML::Node* Fields::list(std::string_view name, std::size_t most) {
  const Entry* entry = take(name);
  if (entry == nullptr) return nullptr;
  NodeKind kind = kind_of(entry->node);
  if (kind != NodeKind::kList) {
    error(name, "", "is " + std::string(describe(kind)) + ", not a list", "begin each of its items with '-'");
    return nullptr;
  }
  if (entry->node.size() > most) {
    error(name, "",
          "has " + std::to_string(entry->node.size()) + " items, and at most " + std::to_string(most) + " are allowed");
    return nullptr;
  }
  return &entry->node;
}

std::vector<Fields> Fields::maps(std::string_view name, std::size_t most) {
  std::vector<Fields> out;
  const YAML::Node* items = list(name, most);
  if (items == nullptr) return out;
  for (std::size_t i = 0; i < items->size(); ++i) {
    const YAML::Node item = (*items)[i];
    std::string path = path_of(name) + "[" + std::to_string(i) + "]";
    int line = report_.line_of(item);
    report_.remember(path, line);
    if (kind_of(item) != NodeKind::kMap) {
      report_.error(line, path, "", "is " + std::string(describe(kind_of(item))) + ", not a mapping");
      continue;
    }
    out.emplace_back(report_, item, path, line);
  }
  return out;
}

std::vector<std::string> Fields::texts(std::string_view name, std::size_t most, const TextRule& rule) {
  std::vector<std::string> out;
  const YAML::Node* items = list(name, most);
  if (items == nullptr) return out;
  for (std::size_t i = 0; i < items->size(); ++i) {
    const YAML::Node item = (*items)[i];
    std::string path = path_of(name) + "[" + std::to_string(i) + "]";
    report_.remember(path, report_.line_of(item));
    if (auto value = check_text(item, path, report_.line_of(item), rule)) out.push_back(std::move(*value));
  }
  return out;
}

std::map<std::string, std::string> Fields::text_map(std::string_view name, std::size_t most, const TextRule& key,
                                                    const TextRule& value) {
  std::map<std::string, std::string> out;
  auto fields = map(name);
  if (!fields) return out;
  if (fields->entries_.size() > most) {
    error(name, "",
          "has " + std::to_string(fields->entries_.size()) + " entries, and at most " + std::to_string(most) +
              " are allowed");
    return out;
  }
  for (const auto& entry : fields->entries_) {
    std::string broken = entry.key.empty() ? "is empty"
                         : entry.key.size() > key.max_length
                             ? "is longer than " + std::to_string(key.max_length) + " bytes"
                         : key.check ? key.check(entry.key)
                                     : "";
    if (!broken.empty()) {
      report_.error(entry.line, path_of(name), "key " + in_quotes(entry.key), broken, key.remedy);
      continue;
    }
    if (kind_of(entry.node) == NodeKind::kNull && !value.allow_empty) {
      report_.error(entry.line, fields->path_of(entry.key), "", "is empty", value.remedy);
      continue;
    }
    if (kind_of(entry.node) == NodeKind::kNull) {
      out.emplace(entry.key, "");
    } else if (auto text = check_text(entry.node, fields->path_of(entry.key), entry.line, value)) {
      out.emplace(entry.key, std::move(*text));
    }
  }
  return out;
}

void Fields::ignore(std::string_view name) {
  known_.emplace_back(name);
}

bool Fields::require(std::string_view name, const std::string& remedy) {
  if (has(name)) return true;
  error(name, "", "is missing", remedy);
  return false;
}

void Fields::error(std::string_view name, std::string value, std::string rule, std::string remedy) {
  report_.error(line_of(name), path_of(name), std::move(value), std::move(rule), std::move(remedy));
}

void Fields::warning(std::string_view name, std::string value, std::string rule, std::string remedy) {
  report_.warning(line_of(name), path_of(name), std::move(value), std::move(rule), std::move(remedy));
}

void Fields::finish() {
  if (lenient_) return;
  std::vector<std::string_view> missing;  // a field that is there already is no suggestion
  for (const auto& known : known_) {
    if (find(known) == nullptr) missing.emplace_back(known);
  }
  for (const auto& entry : entries_) {
    if (std::find(known_.begin(), known_.end(), entry.key) != known_.end()) continue;
    std::string remedy = "remove it";
    auto place = std::find_if(kPlaces.begin(), kPlaces.end(), [&](const Place& p) { return p.field == entry.key; });
    std::string_view near = nearest(entry.key, missing);
    if (place != kPlaces.end()) {
      remedy = "it belongs under " + std::string(place->parent);
    } else if (!near.empty()) {
      remedy = "did you mean " + std::string(near) + "?";
    }
    std::string shown_key = entry.key.size() > 64 ? entry.key.substr(0, 64) + "…" : entry.key;
    if (!check_printable(shown_key).empty()) shown_key = in_quotes(shown_key);
    report_.error(entry.line, path_of(shown_key), "", "is not a known field", remedy);
  }
}

}  // namespace dbproxy::manifest
