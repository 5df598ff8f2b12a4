// Reading one YAML mapping by a schema: typed fields, bounds, and what was not asked for is an unknown field.
//
// Internal to proxy/manifest. A Fields is made for a mapping, asked for each field that the schema knows, and then
// finish() reports the rest. Readers report what is wrong themselves and return nullopt; null counts as not written,
// as it does in Kubernetes. Scalars are typed as kubectl types them (YAML 1.1: a plain `On` is a boolean).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
#include <yaml-cpp/yaml.h>

#include "proxy/manifest/diagnostic.hpp"
#include "proxy/manifest/resources.hpp"

namespace dbproxy::manifest {

enum class NodeKind { kNull, kBool, kInteger, kFloat, kString, kList, kMap, kTagged };
NodeKind kind_of(const YAML::Node& node);
std::string_view describe(NodeKind kind);  // "a string", "a list", …

// Collects the diagnostics of one object, and remembers where its fields stand.
class Report {
 public:
  Report(std::string file, int line_offset, std::vector<Diagnostic>& out)
      : file_(std::move(file)), line_offset_(line_offset), out_(out) {}

  void set_object(std::string object) { object_ = std::move(object); }
  void error(int line, std::string field, std::string value, std::string rule, std::string remedy = {});
  void warning(int line, std::string field, std::string value, std::string rule, std::string remedy = {});
  void remember(const std::string& field, int line) { origin_.field_lines.emplace(field, line); }
  // The line of a field that was seen, or of what encloses it.
  int line_of_field(const std::string& field) const { return origin_.line_of(field); }
  int line_of(const YAML::Node& node) const { return node.Mark().line + 1 + line_offset_; }
  Origin origin() const;
  void set_line(int line) { origin_.line = line; }  // where the object begins
  std::size_t errors() const { return errors_; }

 private:
  std::string file_;
  int line_offset_;
  std::string object_;
  Origin origin_;
  std::size_t errors_ = 0;
  std::vector<Diagnostic>& out_;
};

// What a string has to be besides a string. `check` returns the rule that is broken, or "".
struct TextRule {
  std::size_t max_length = 253;
  std::function<std::string(std::string_view)> check = {};
  std::string remedy = {};
  bool hidden = false;  // its value is never shown
  bool allow_empty = false;
};

class Fields {
 public:
  Fields(Report& report, const YAML::Node& map, std::string path, int line);

  bool has(std::string_view name) const;         // written, and not null
  std::string raw(std::string_view name) const;  // the text of a scalar, "" for anything else; judges nothing
  bool is_empty_list(std::string_view name) const;
  int line() const { return line_; }
  int line_of(std::string_view name) const;  // of the mapping where the field is not written
  std::string path_of(std::string_view name) const;
  Report& report() { return report_; }

  std::optional<std::string> text(std::string_view name, const TextRule& rule = {});
  std::optional<std::int64_t> integer(std::string_view name, std::int64_t least, std::int64_t most,
                                      const std::string& remedy = {});
  std::vector<std::int64_t> integers(std::string_view name, std::size_t count, std::int64_t least, std::int64_t most);
  // As PostgreSQL writes times: "30s", "1.5min", "250ms"; a number alone is milliseconds. Up to 2147483647 ms.
  std::optional<std::chrono::milliseconds> duration(std::string_view name);
  std::optional<bool> boolean(std::string_view name);
  // One of `allowed`; anything else is reported with the nearest of them.
  std::optional<std::string> choice(std::string_view name, const std::vector<std::string_view>& allowed);
  std::optional<Fields> map(std::string_view name);
  std::vector<Fields> maps(std::string_view name, std::size_t most);
  std::vector<std::string> texts(std::string_view name, std::size_t most, const TextRule& rule);
  std::map<std::string, std::string> text_map(std::string_view name, std::size_t most, const TextRule& key,
                                              const TextRule& value);
  void ignore(std::string_view name);  // known, and of no concern here
  void ignore_any() { lenient_ = true; }

  // Reports the field as missing unless it was written. True if it is there.
  bool require(std::string_view name, const std::string& remedy);
  void error(std::string_view name, std::string value, std::string rule, std::string remedy = {});
  void warning(std::string_view name, std::string value, std::string rule, std::string remedy = {});
  // To be called once all known fields were asked for: reports what is left over.
  void finish();

 private:
  struct Entry {
    std::string key;
    YAML::Node node;
    int line;
  };
  const Entry* take(std::string_view name);
  const Entry* find(std::string_view name) const;
  std::optional<std::string> check_text(const YAML::Node& node, const std::string& path, int line,
                                        const TextRule& rule);
  std::optional<std::int64_t> check_integer(const YAML::Node& node, const std::string& path, int line,
                                            std::int64_t least, std::int64_t most, const std::string& remedy);
  const YAML::Node* list(std::string_view name, std::size_t most);

  Report& report_;
  std::string path_;
  int line_;
  bool lenient_ = false;
  std::vector<Entry> entries_;
  std::vector<std::string> known_;
};

// Rules for strings, as check functions of TextRule.
std::string check_dns_label(std::string_view text);
std::string check_dns_subdomain(std::string_view text);
std::string check_host(std::string_view text);  // DNS name, address, or absolute path of a socket directory
std::string check_printable(std::string_view text);
bool valid_utf8(std::string_view text);

}  // namespace dbproxy::manifest
