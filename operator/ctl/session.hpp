// Session: one run's conversation with the first server that answers.
#pragma once

#include <boost/json/value.hpp>
#include <iosfwd>
#include <optional>
#include <string>

#include "operator/ctl/commands.hpp"

namespace dbproxy::ctl {

class Session {
 public:
  Session(const Options& options, const Transport& transport, std::ostream& err)
      : options_(options), transport_(transport), err_(err) {}

  // The page /api/v1/<list>: an object with "items". On failure the reason is printed and `exit_code` is set.
  std::optional<boost::json::value> list(const std::string& list);
  // What /events says: an object of pages. On failure as there.
  std::optional<boost::json::value> news();
  // The same, silent, and an empty list for all that fails: for what is nice to have beside the rest.
  boost::json::array list_or_none(const std::string& list);

  // Orders something of whoever answered before: POST /api/v1/<what>. On failure the reason is printed.
  bool order(const std::string& what);

  // Who answered, in words.
  std::string place() const;
  bool from_sidecar() const { return from_sidecar_; }
  int exit_code() const { return exit_code_; }

 private:
  http::ClientResponse ask(const Server& server, const std::string& path, const std::string& method = "GET") const;
  // The first server that answers, and then always that one; the reasons are printed where there is none.
  std::optional<http::Response> get(const std::string& path);
  std::optional<boost::json::value> fail(int code, const std::string& sentence);
  std::optional<boost::json::value> understand(const Server& server, const std::string& list,
                                               const http::Response& response);

  const Options& options_;
  const Transport& transport_;
  std::ostream& err_;
  const Server* chosen_ = nullptr;
  bool from_sidecar_ = false;
  int exit_code_ = kOk;
};

}  // namespace dbproxy::ctl
