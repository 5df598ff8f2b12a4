// One manifest as it is being written: remarks first, then YAML.
#pragma once

#include <string>
#include <string_view>
#include <yaml-cpp/yaml.h>

namespace dbproxy::migrate {

class Writer {
 public:
  // A line of comment above the manifest.
  void remark(std::string_view text);

  void begin(const char* kind, const std::string& name, const std::string& name_space);
  YAML::Emitter& out() { return out_; }
  template <class T>
  void field(const char* name, const T& value) {
    out_ << YAML::Key << name << YAML::Value << value;
  }
  void key(const char* name) { out_ << YAML::Key << name << YAML::Value; }
  // The whole of it, with the line that separates it from what comes before.
  std::string finish();

 private:
  std::string remarks_;
  YAML::Emitter out_;
};

// As the name of an object: lower case, what is no letter, digit or '-' becomes '-', at most 63 characters.
std::string object_name(std::string_view name);

}  // namespace dbproxy::migrate
