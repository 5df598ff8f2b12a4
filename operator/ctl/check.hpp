// check: whether an installation is well, as the API server and the operator show it. One line for each question.
#pragma once

#include <functional>
#include <iosfwd>
#include <string>

#include "operator/ctl/commands.hpp"
#include "operator/kubernetes/client.hpp"
#include "proxy/base/clock.hpp"

namespace dbproxy::ctl {

struct CheckOptions {
  std::string name_space = "dbproxy";  // of the operator
  std::string version;                 // of this program
};

// Prints what is asked and found. Any thread; not thread-safe.
class Findings {
 public:
  explicit Findings(std::ostream& out) : out_(out) {}
  void ok(const std::string& what, const std::string& found);
  void warn(const std::string& what, const std::string& found, const std::string& remedy);
  void fail(const std::string& what, const std::string& found, const std::string& remedy);
  bool good() const { return failures_ == 0; }

 private:
  void line(const char* verdict, const std::string& what, const std::string& found, const std::string& remedy);
  std::ostream& out_;
  int failures_ = 0;
};

// The operator's own /readyz; `transport` as in commands.hpp.
void check_operator(const Server& server, const Transport& transport, Findings& findings);
// Prerequisites, resources, certificates, the webhook (by a dry run that it has to refuse), rights and versions.
void check_cluster(const CheckOptions& options, kubernetes::Client& client, const Clock& clock, Findings& findings);

}  // namespace dbproxy::ctl
