// Grants: which secrets and roles of AWS the DBProxies of a namespace may have the operator use. Pure.
//
// The operator's own rights reach further than any namespace's: what is not granted is not touched.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dbproxy::aws {

struct Grant {
  std::string name_space;
  std::string pattern;  // of an ARN; * stands for any text, ? for one character, as in IAM
};

class Grants {
 public:
  // Everything, to everybody: whoever writes the manifests is whoever runs the program.
  static Grants all();
  Grants() = default;  // nothing
  explicit Grants(std::vector<Grant> list) : list_(std::move(list)) {}

  bool allows(std::string_view name_space, std::string_view arn) const;
  bool allows_all() const { return all_; }

 private:
  bool all_ = false;
  std::vector<Grant> list_;
};

// "NAMESPACE=PATTERN"; a grant with an empty pattern for anything else.
Grant parse_grant(std::string_view text);

bool matches(std::string_view pattern, std::string_view text);

}  // namespace dbproxy::aws
