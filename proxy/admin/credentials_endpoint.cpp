#include "proxy/admin/credentials_endpoint.hpp"

#include <boost/json.hpp>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proxy/aws/sigv4.hpp"
#include "proxy/base/log.hpp"

namespace dbproxy::admin {
namespace {

namespace json = boost::json;

constexpr std::size_t kTokenBytes = 32;
constexpr const char* kHelp = "Requests for keys of AWS by applications";

Secret draw_token() {
  std::string raw(kTokenBytes, '\0');
  std::size_t have = 0;
  while (have < raw.size()) {
    const ssize_t got = ::getrandom(raw.data() + have, raw.size() - have, 0);
    if (got > 0) have += static_cast<std::size_t>(got);
  }
  return Secret(aws::hex(raw));
}

std::string iso_time(WallTime time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[32];
  const std::size_t size = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return {text, size};
}

// Whole, or not at all: an SDK may read at any time.
std::string write_file(const std::string& path, std::string_view text) {
  const std::string fresh = path + ".new";
  ::unlink(fresh.c_str());
  const int fd = ::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0444);
  if (fd < 0) return "cannot write " + fresh + ": " + std::strerror(errno);
  const bool written =
      ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && ::fchmod(fd, 0444) == 0;
  ::close(fd);
  if (!written || ::rename(fresh.c_str(), path.c_str()) != 0) {
    const std::string why = std::strerror(errno);
    ::unlink(fresh.c_str());
    return "cannot write " + path + ": " + why;
  }
  return {};
}

http::Response refusal(unsigned status, const std::string& code, const std::string& message) {
  http::Response out;
  out.status = status;
  out.content_type = "application/json";
  out.body = json::serialize(json::object{{"code", code}, {"message", message}}) + "\n";
  return out;
}

http::ServerOptions server_options(const CredentialsOptions& options) {
  http::ServerOptions out;
  out.listen = {"127.0.0.1", options.port};
  out.max_body_bytes = 1024;
  return out;
}

}  // namespace

CredentialsEndpoint::CredentialsEndpoint(CredentialsOptions options, std::shared_ptr<aws::OwnKeys> keys,
                                         metrics::Registry& registry)
    : options_(std::move(options)),
      keys_(std::move(keys)),
      token_(draw_token()),
      given_(registry.counter("dbproxy_aws_credentials_requests_total", kHelp, {{"result", "given"}})),
      refused_(registry.counter("dbproxy_aws_credentials_requests_total", kHelp, {{"result", "refused"}})),
      failed_(registry.counter("dbproxy_aws_credentials_requests_total", kHelp, {{"result", "failed"}})),
      server_(server_options(options_)) {
  http::RouteOptions guard;
  guard.access = http::Access::kPrivate;
  server_.route(
      "GET", "/credentials", [this](const http::Request& request) { return answer(request); }, guard);
}

CredentialsEndpoint::~CredentialsEndpoint() {
  stop();
}

std::string CredentialsEndpoint::start() {
  if (std::string error = write_file(options_.token_file, token_.reveal()); !error.empty()) return error;
  started_ = true;
  if (std::string error = server_.start(); !error.empty()) return error;
  log::info("aws", "keys are given to applications", {{"address", "127.0.0.1:" + std::to_string(server_.port())}});
  return {};
}

void CredentialsEndpoint::stop() {
  server_.stop();
  if (std::exchange(started_, false)) ::unlink(options_.token_file.c_str());
}

http::Response CredentialsEndpoint::answer(const http::Request& request) {
  if (!(Secret(std::string(request.header("Authorization"))) == token_)) {
    refused_.add();
    return refusal(401, "Unauthorized", "the Authorization header is not what the token file holds");
  }
  const auto keys = keys_->lend();
  if (!keys.ok()) {
    failed_.add();
    const bool passing =
        keys.failure.kind == aws::Failure::Kind::kUnreachable || keys.failure.kind == aws::Failure::Kind::kThrottled;
    return refusal(passing ? 503 : 500, "NoCredentials", aws::to_text(keys.failure));
  }
  given_.add();
  const aws::Credentials& lent = *keys.value;
  const auto text = [](const Secret& secret) { return json::string(secret.reveal()); };
  http::Response out;
  out.content_type = "application/json";
  out.body = json::serialize(json::object{{"AccessKeyId", lent.access_key_id},
                                          {"SecretAccessKey", text(lent.secret_access_key)},
                                          {"Token", text(lent.session_token)},
                                          {"Expiration", iso_time(*lent.expires)}});
  return out;
}

}  // namespace dbproxy::admin
