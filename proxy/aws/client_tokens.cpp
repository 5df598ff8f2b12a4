#include "proxy/aws/client_tokens.hpp"

#include <algorithm>
#include <charconv>
#include <ctime>
#include <openssl/crypto.h>
#include <optional>

#include "proxy/aws/database_token.hpp"
#include "proxy/aws/endpoint.hpp"
#include "proxy/aws/grants.hpp"
#include "proxy/aws/secrets_manager.hpp"
#include "proxy/aws/service_error.hpp"
#include "proxy/aws/sigv4.hpp"
#include "proxy/aws/sts.hpp"

namespace dbproxy::aws {
namespace {

using Kind = Failure::Kind;

constexpr std::chrono::minutes kSkew{5};
constexpr std::size_t kMostKept = 10'000;

Failure wrong(std::string what, std::string remedy = {}) {
  return {Kind::kDenied, std::move(what), std::move(remedy)};
}

std::optional<std::string> decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    unsigned value = 0;
    if (i + 2 >= text.size()) return std::nullopt;
    const auto [end, error] = std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16);
    if (error != std::errc() || end != text.data() + i + 3) return std::nullopt;
    out += static_cast<char>(value);
    i += 2;
  }
  return out;
}

// A query in which each name stands once.
std::optional<std::map<std::string, std::string>> read_query(std::string_view query) {
  std::map<std::string, std::string> out;
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    const auto name = decode(pair.substr(0, equals));
    const auto value = decode(pair.substr(equals + 1));
    if (!name || !value || !out.emplace(*name, *value).second) return std::nullopt;
    query.remove_prefix(std::min(end + 1, query.size()));
  }
  return out;
}

// The seconds of 20150830T123600Z.
std::optional<WallTime> parse_amz_date(const std::string& text) {
  std::tm parts{};
  const char* end = strptime(text.c_str(), "%Y%m%dT%H%M%SZ", &parts);
  if (end == nullptr || *end != '\0' || text.size() != 16) return std::nullopt;
  return to_time(parts);
}

// What both kinds of token have in common.
struct Presigned {
  std::map<std::string, std::string> query;
  std::string key_id, region, service;
  WallTime made{};
  std::chrono::seconds life{};

  std::string at(const std::string& name) const {
    const auto found = query.find(name);
    return found == query.end() ? std::string() : found->second;
  }
};

Outcome<Presigned> read_presigned(std::string_view query, WallTime now) {
  const auto values = read_query(query);
  if (!values) return wrong("the token's query cannot be read");
  Presigned out;
  out.query = *values;
  for (const auto& [name, value] : out.query) {
    const bool known = name == "Action" || name == "DBUser" || name == "Version" || name.starts_with("X-Amz-");
    if (!known) return wrong("the token holds something that does not belong there");
  }
  if (out.at("X-Amz-Algorithm") != "AWS4-HMAC-SHA256") return wrong("the token is not signed by AWS4-HMAC-SHA256");
  const std::string credential = out.at("X-Amz-Credential");
  std::vector<std::string> scope;
  for (std::size_t start = 0; start <= credential.size();) {
    const std::size_t slash = std::min(credential.find('/', start), credential.size());
    scope.push_back(credential.substr(start, slash - start));
    start = slash + 1;
  }
  if (scope.size() != 5 || scope[4] != "aws4_request") return wrong("the token's X-Amz-Credential cannot be read");
  out.key_id = scope[0];
  out.region = scope[2];
  out.service = scope[3];
  // It becomes part of a host's name.
  const bool plain =
      !out.region.empty() && out.region.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
  if (!plain) return wrong("the token's region cannot be read");
  const auto made = parse_amz_date(out.at("X-Amz-Date"));
  if (!made || out.at("X-Amz-Date").substr(0, 8) != scope[1]) return wrong("the token's X-Amz-Date cannot be read");
  const std::string life = out.at("X-Amz-Expires");
  unsigned seconds = 0;
  const auto [end, error] = std::from_chars(life.data(), life.data() + life.size(), seconds);
  if (error != std::errc() || end != life.data() + life.size() || seconds == 0 || seconds > kDatabaseTokenSeconds)
    return wrong("the token is to live for longer than 15 minutes");
  out.made = *made;
  out.life = std::chrono::seconds(seconds);
  if (out.made > now + kSkew) return wrong("the token is from the future", "check the clocks");
  if (out.made + out.life <= now) return wrong("the token has expired", "make a new one: it is good for 15 minutes");
  return out;
}

// arn:aws:sts::ACCOUNT:assumed-role/NAME/SESSION as the role's own ARN, without the path, which STS does not tell.
std::string role_of(const std::string& arn) {
  const Arn parts = parse_arn(arn);
  constexpr std::string_view kAssumed = "assumed-role/";
  if (parts.service != "sts" || !parts.resource.starts_with(kAssumed)) return arn;
  const std::string rest = parts.resource.substr(kAssumed.size());
  return "arn:" + parts.partition + ":iam::" + parts.account + ":role/" + rest.substr(0, rest.find('/'));
}

// Of a token for a database.
Failure check_connect(const Presigned& presigned, const ClientTokenSubject& subject) {
  if (presigned.service != "rds-db" || presigned.at("Action") != "connect")
    return wrong("the token is for something other than to connect to a database");
  if (presigned.at("DBUser") != subject.user) return wrong("the token is for another user");
  if (!subject.region.empty() && presigned.region != subject.region)
    return wrong("the token is for another region than " + subject.region);
  return {};
}

// Whether whoever it is may log in, as itself or as the role that it has assumed.
Outcome<std::string> admit(const std::string& who, const ClientTokenSubject& subject) {
  const std::string role = role_of(who);
  const bool granted = std::any_of(subject.principals.begin(), subject.principals.end(),
                                   [&](const std::string& each) { return matches(each, who) || matches(each, role); });
  if (!granted) return wrong(role + " is not among the iamPrincipals of this user", "add it to iamPrincipals");
  return who;
}

}  // namespace

std::string resource_id(const std::string& name_space, const std::string& name) {
  return "prx-" + sha256_hex(name_space + "/" + name).substr(0, 17);
}

std::string iam_host(const std::string& name_space, const std::string& name) {
  return name + "." + name_space + ".dbproxy";
}

std::string audience_of(const std::string& host, std::uint16_t port, const std::string& user) {
  return host + ":" + std::to_string(port) + "/" + percent_encode(user);
}

Outcome<Secret> make_client_token(const Environment& environment, const ClientTokenSubject& subject,
                                  const Credentials& credentials, WallTime now) {
  const std::string region = subject.region.empty() ? region_of(environment) : subject.region;
  const Outcome<Url> url = endpoint_of(environment, "sts", region, subject.sts_url);
  if (!url.ok()) return url.failure;
  SignableRequest request;
  request.query = {{"Action", "GetCallerIdentity"}, {"Version", "2011-06-15"}};
  request.headers = {{"Host", url.value.host_header()},
                     {kAudienceHeader, audience_of(subject.host, subject.port, subject.user)}};
  return Secret((url.value.tls ? "https://" : "http://") + url.value.host_header() + "/?" +
                sign_query(request, {region, "sts"}, credentials, now, kDatabaseTokenSeconds));
}

ClientTokens::ClientTokens(Environment environment, const Clock& clock)
    : ClientTokens(environment, std::make_shared<OwnKeys>(environment, clock), clock) {}

ClientTokens::ClientTokens(Environment environment, std::shared_ptr<OwnKeys> keys, const Clock& clock)
    : environment_(std::move(environment)), clock_(clock), keys_(std::move(keys)) {}

std::string ClientTokens::kept(const std::string& hash, WallTime now) {
  const std::lock_guard lock(mutex_);
  std::erase_if(kept_, [&](const auto& each) { return each.second.until <= now; });
  const auto found = kept_.find(hash);
  return found == kept_.end() ? std::string() : found->second.who;
}

void ClientTokens::keep(const std::string& hash, std::string who, WallTime until) {
  const std::lock_guard lock(mutex_);
  if (kept_.size() >= kMostKept) kept_.clear();
  kept_[hash] = {std::move(who), until};
}

Outcome<std::string> ClientTokens::verify(const Secret& token, const ClientTokenSubject& subject) {
  const std::string_view text = token.reveal();
  if (text.size() > kMaxClientToken) return wrong("the token is longer than any of AWS's");
  if (std::any_of(text.begin(), text.end(), [](char c) { return c <= ' ' || c > '~'; }))
    return wrong("the token holds characters that do not belong there");
  return text.starts_with("https://") || text.starts_with("http://") ? verify_caller(text, subject)
                                                                     : verify_database_token(text, subject);
}

Outcome<std::string> ClientTokens::verify_database_token(std::string_view token, const ClientTokenSubject& subject) {
  const std::string where = subject.host + ":" + std::to_string(subject.port);
  const std::size_t query_at = token.find("/?");
  if (query_at == std::string_view::npos) return wrong("the token cannot be read");
  if (token.substr(0, query_at) != where && subject.ask_database) return verify_by_database(token, subject);
  if (token.substr(0, query_at) != where)
    return wrong("the token is for another host or port than " + where,
                 "make it for that (status.endpoints[].iamHost)");
  const WallTime now = clock_.wall();
  const Outcome<Presigned> read = read_presigned(token.substr(query_at + 2), now);
  if (!read.ok()) return read.failure;
  const Presigned& presigned = read.value;
  if (Failure failure = check_connect(presigned, subject)) return failure;
  const Outcome<CredentialsPtr> keys = keys_->find(presigned.key_id);
  if (!keys.ok() || !keys.value)
    return wrong("the token was signed with keys that the sidecar does not have",
                 "list the role in iamPrincipals, and use dbproxyctl token --proxy");
  const Secret again =
      make_database_token(subject.host, subject.port, subject.user, presigned.region, *keys.value, presigned.made);
  const std::string_view wanted = again.reveal();
  const bool same = wanted.size() == token.size() && CRYPTO_memcmp(wanted.data(), token.data(), token.size()) == 0;
  if (!same) return wrong("the token's signature is wrong");
  if (subject.principals.empty()) return "keys " + presigned.key_id;
  Outcome<std::string> who = keys_->whose(keys.value, presigned.region, subject.sts_url);
  return who.ok() ? admit(who.value, subject) : who;
}

// The database's own token: it alone can tell. What is wrong with it for sure it is not asked about.
Outcome<std::string> ClientTokens::verify_by_database(std::string_view token, const ClientTokenSubject& subject) {
  const WallTime now = clock_.wall();
  const Outcome<Presigned> read = read_presigned(token.substr(token.find("/?") + 2), now);
  if (!read.ok()) return read.failure;
  const Presigned& presigned = read.value;
  if (Failure failure = check_connect(presigned, subject)) return failure;
  if (!subject.principals.empty())
    return wrong("a token for the database does not show who signed it, and iamPrincipals asks for that",
                 "use dbproxyctl token --proxy");
  const std::string hash =
      sha256_hex(std::string(token) + "\ndatabase\n" + audience_of(subject.host, subject.port, subject.user));
  if (std::string who = kept(hash, now); !who.empty()) return who;
  const Outcome<bool> let_in = subject.ask_database(Secret(std::string(token)));
  if (!let_in.ok()) return let_in.failure;
  if (!let_in.value)
    return wrong("the database does not take the token", "allow rds-db:connect as this user to whoever signs it");
  std::string who = "the database's word, keys " + presigned.key_id;
  keep(hash, who, presigned.made + presigned.life);
  return who;
}

Outcome<std::string> ClientTokens::verify_caller(std::string_view token, const ClientTokenSubject& subject) {
  if (subject.principals.empty()) return wrong("no iamPrincipals say who may log in");
  const WallTime now = clock_.wall();
  const std::size_t query_at = token.find("/?");
  if (query_at == std::string_view::npos) return wrong("the token cannot be read");
  const Outcome<Presigned> read = read_presigned(token.substr(query_at + 2), now);
  if (!read.ok()) return read.failure;
  const Presigned& presigned = read.value;
  // STS of the token's own region, and nobody else: whom a token names is not whom a request is sent to.
  Outcome<Url> url = endpoint_of(environment_, "sts", presigned.region, subject.sts_url);
  if (!url.ok()) return url.failure;
  const std::string base = (url.value.tls ? "https://" : "http://") + url.value.host_header();
  if (token.substr(0, query_at) != base) return wrong("the token is not for STS at " + base);
  if (presigned.service != "sts" || presigned.at("Action") != "GetCallerIdentity" ||
      presigned.at("Version") != "2011-06-15" || presigned.query.contains("DBUser"))
    return wrong("the token is for something other than sts:GetCallerIdentity");
  if (presigned.at("X-Amz-SignedHeaders") != std::string("host;") + kAudienceHeader)
    return wrong("the token is not meant for a dbproxy", "use dbproxyctl token --proxy");
  const std::string audience = audience_of(subject.host, subject.port, subject.user);
  const std::string hash = sha256_hex(std::string(token) + "\n" + audience);
  std::string who = kept(hash, now);
  if (who.empty()) {
    url.value.path = "/?" + std::string(token.substr(query_at + 2));
    Exchange ask;
    ask.headers = {{kAudienceHeader, audience}};
    const Outcome<Reply> reply = exchange(environment_, url.value, ask, "STS GetCallerIdentity");
    if (!reply.ok()) return reply.failure;
    if (reply.value.status >= 500)
      return Failure{Kind::kUnreachable, "STS answers with status " + std::to_string(reply.value.status), ""};
    if (reply.value.status != 200)
      return wrong("STS does not take the token for user \"" + subject.user + "\" at " + subject.host + ":" +
                   std::to_string(subject.port));
    who = xml_text(reply.value.body, "Arn");
    if (parse_arn(who).resource.empty()) return Failure{Kind::kMalformed, "STS did not say who it is", ""};
    keep(hash, who, presigned.made + presigned.life);
  }
  return admit(who, subject);
}

}  // namespace dbproxy::aws
