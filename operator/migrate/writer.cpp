#include "operator/migrate/writer.hpp"

#include <cctype>

namespace dbproxy::migrate {

void Writer::remark(std::string_view text) {
  remarks_ += "# ";
  for (const char c : text) remarks_ += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  remarks_ += '\n';
}

void Writer::begin(const char* kind, const std::string& name, const std::string& name_space) {
  out_ << YAML::BeginMap;
  field("apiVersion", std::string(kind) == "Secret" ? "v1" : "dbproxy.io/v1alpha1");
  field("kind", kind);
  key("metadata");
  out_ << YAML::BeginMap;
  field("name", name);
  field("namespace", name_space);
  out_ << YAML::EndMap;
}

std::string Writer::finish() {
  out_ << YAML::EndMap;
  return "---\n" + remarks_ + out_.c_str() + "\n";
}

std::string object_name(std::string_view name) {
  std::string out;
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    out += byte < 0x80 && std::isalnum(byte) != 0 ? static_cast<char>(std::tolower(byte)) : '-';
  }
  const auto from = out.find_first_not_of('-');
  if (from == std::string::npos) return "imported";
  out = out.substr(from, 63);
  out.erase(out.find_last_not_of('-') + 1);
  return out;
}

}  // namespace dbproxy::migrate
