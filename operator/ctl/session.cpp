#include "operator/ctl/session.hpp"

#include <boost/json.hpp>
#include <ostream>

#include "operator/ctl/document.hpp"
#include "operator/ctl/table.hpp"

namespace dbproxy::ctl {

static std::string place(const Server& server) {
  return server.what + " at " + (server.unix_path.empty() ? http::to_string(server.address) : server.unix_path);
}

namespace {

constexpr const char* kUnreachableHelp =
    "Is it running? Start dbproxy-operator or dbproxy, or say where it is: --operator HOST:PORT, --sidecar HOST:PORT,\n"
    "--socket PATH, or DBPROXYCTL_SERVER=HOST:PORT. On Kubernetes, make a way to it first, for example\n"
    "  kubectl port-forward deployment/dbproxy-operator 9932\n";

}  // namespace

http::ClientResponse Session::ask(const Server& server, const std::string& path, const std::string& method) const {
  http::ClientRequest what;
  what.method = method;
  what.path = path;
  what.bearer_token = options_.bearer_token;
  return transport_(server, what);
}

std::optional<boost::json::value> Session::fail(int code, const std::string& sentence) {
  err_ << "error: " << sentence << "\n";
  exit_code_ = code;
  return std::nullopt;
}

std::optional<http::Response> Session::get(const std::string& path) {
  if (chosen_ != nullptr) {
    http::ClientResponse answer = ask(*chosen_, path);
    if (answer.error.empty()) return std::move(answer.response);
    fail(kUnreachable, ctl::place(*chosen_) + ": " + answer.error);
    return std::nullopt;
  }
  std::string failures;
  for (const Server& server : options_.servers) {
    http::ClientResponse answer = ask(server, path);
    if (answer.error.empty()) {
      chosen_ = &server;
      return std::move(answer.response);
    }
    failures +=
        (failures.empty() ? "" : "\nerror: ") + ("cannot reach " + ctl::place(server)) + ": " + printable(answer.error);
  }
  fail(kUnreachable, failures);
  err_ << kUnreachableHelp;
  return std::nullopt;
}

std::string Session::place() const {
  return chosen_ == nullptr ? std::string() : ctl::place(*chosen_);
}

std::optional<boost::json::value> Session::list(const std::string& list) {
  const auto answer = get("/api/v1/" + list);
  return answer ? understand(*chosen_, list, *answer) : std::nullopt;
}

std::optional<boost::json::value> Session::news() {
  auto answer = get("/events");
  if (!answer) return std::nullopt;
  if (answer->status == 404) {
    return fail(kRefused, ctl::place(*chosen_) + " is of an older version, which has no /events");
  }
  constexpr std::string_view kData = "data: ";
  const std::size_t data = answer->body.find(kData);
  if (answer->status == 200 && data != std::string::npos) {
    // The same form as a page's, for what judges those.
    answer->body = R"({"source":"events","pages":)" + answer->body.substr(data + kData.size()) + "}";
  }
  const auto page = understand(*chosen_, "events", *answer);
  if (!page) return std::nullopt;
  const boost::json::value* pages = page->get_object().if_contains("pages");
  return pages == nullptr ? boost::json::value() : *pages;
}

std::optional<boost::json::value> Session::understand(const Server& server, const std::string& list,
                                                      const http::Response& response) {
  const bool inside = list == "pools" || list == "pins";
  if (response.status == 404 && inside) {
    return fail(kRefused, "the operator does not know the " + list +
                              " of its sidecars: ask one of them with --sidecar HOST:PORT");
  }
  if (response.status == 401) {
    return fail(kRefused, ctl::place(server) + " wants a valid token: give one with --token-file FILE");
  }
  if (response.status != 200) {
    std::string said = response.body.substr(0, 300);
    while (!said.empty() && said.back() == '\n') said.pop_back();
    return fail(kRefused, ctl::place(server) + " answered " + std::to_string(response.status) + ": " + printable(said));
  }
  boost::system::error_code error;
  boost::json::value page = boost::json::parse(response.body, error);
  if (error || !page.is_object() || text_at(page, "/source").empty()) {
    return fail(kUnreachable, ctl::place(server) + " does not answer like dbproxy: is something else listening there?");
  }
  from_sidecar_ = text_at(page, "/source") == "sidecar";
  return page;
}

bool Session::order(const std::string& what) {
  const http::ClientResponse answer = ask(*chosen_, "/api/v1/" + what, "POST");
  if (!answer.error.empty()) {
    fail(kUnreachable, ctl::place(*chosen_) + ": " + answer.error);
    return false;
  }
  if (answer.response.status == 202) return true;
  if (answer.response.status == 403) {
    fail(kRefused, ctl::place(*chosen_) + " refuses: the token is good for no change of DBProxies");
    return false;
  }
  std::string said = answer.response.body.substr(0, 300);
  while (!said.empty() && said.back() == '\n') said.pop_back();
  fail(kRefused, ctl::place(*chosen_) + " answered " + std::to_string(answer.response.status) + ": " + printable(said));
  return false;
}

boost::json::array Session::list_or_none(const std::string& list) {
  if (chosen_ == nullptr) return {};
  const http::ClientResponse answer = ask(*chosen_, "/api/v1/" + list);
  if (!answer.error.empty() || answer.response.status != 200) return {};
  boost::system::error_code error;
  const boost::json::value page = boost::json::parse(answer.response.body, error);
  return error ? boost::json::array() : array_at(page, "/items");
}

}  // namespace dbproxy::ctl
