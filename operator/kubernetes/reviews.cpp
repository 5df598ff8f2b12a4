#include "operator/kubernetes/reviews.hpp"

#include <algorithm>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>

#include "operator/kubernetes/resource.hpp"

namespace dbproxy::kubernetes {
namespace {

constexpr std::string_view kServiceAccount = "system:serviceaccount:";
constexpr std::size_t kMaxToken = 64 * 1024;
constexpr std::size_t kMaxName = 253;
constexpr std::chrono::hours kFarAway{24 * 365};

std::vector<std::string> texts(const json::array* list) {
  std::vector<std::string> out;
  if (list == nullptr) return out;
  for (const json::value& each : *list) {
    if (each.is_string() && out.size() < 64) out.emplace_back(each.get_string().c_str());
  }
  return out;
}

std::string extra(const json::object& answer, std::string_view name) {
  const json::array* list = array_at(answer, {"status", "user", "extra", name});
  if (list == nullptr || list->size() != 1 || !list->front().is_string()) return {};
  const std::string text(list->front().get_string().c_str());
  return text.size() > kMaxName ? std::string() : text;
}

Request post(const Resource& resource, const json::object& body) {
  Request request;
  request.method = "POST";
  request.target = path_of(resource, "");
  request.body = json::serialize(body);
  request.timeout = std::chrono::seconds(10);
  return request;
}

json::array array_of(const std::vector<std::string>& list) {
  json::array out;
  for (const std::string& each : list) out.emplace_back(each);
  return out;
}

}  // namespace

std::string TokenIdentity::name_space() const {
  if (username.compare(0, kServiceAccount.size(), kServiceAccount) != 0) return {};
  const std::size_t colon = username.find(':', kServiceAccount.size());
  if (colon == std::string::npos) return {};
  return username.substr(kServiceAccount.size(), colon - kServiceAccount.size());
}

std::int64_t token_expiry(std::string_view jwt) {
  const std::size_t first = jwt.find('.');
  const std::size_t second = first == jwt.npos ? jwt.npos : jwt.find('.', first + 1);
  if (second == jwt.npos || jwt.size() > kMaxToken) return 0;
  std::string payload(jwt.substr(first + 1, second - first - 1));
  std::replace(payload.begin(), payload.end(), '-', '+');
  std::replace(payload.begin(), payload.end(), '_', '/');
  while (payload.size() % 4 != 0) payload += '=';
  std::string decoded(payload.size() / 4 * 3, '\0');
  const int size =
      EVP_DecodeBlock(reinterpret_cast<unsigned char*>(decoded.data()),
                      reinterpret_cast<const unsigned char*>(payload.data()), static_cast<int>(payload.size()));
  if (size < 0) return 0;
  decoded.resize(static_cast<std::size_t>(size));
  while (!decoded.empty() && decoded.back() == '\0') decoded.pop_back();
  const Outcome<json::value> claims = parse_json(decoded);
  if (claims.has_error() || !claims->is_object()) return 0;
  return std::max<std::int64_t>(0, integer_at(claims->get_object(), {"exp"}).value_or(0));
}

TokenReviewer::TokenReviewer(Client& client, ReviewOptions options, const Clock& clock)
    : client_(client), options_(std::move(options)), clock_(clock), tokens_(options_.burst), last_(clock.now()) {}

bool TokenReviewer::admit() {
  const TimePoint now = clock_.now();
  tokens_ =
      std::min(options_.burst, tokens_ + std::chrono::duration<double>(now - last_).count() * options_.per_second);
  last_ = now;
  if (tokens_ < 1) return false;
  tokens_ -= 1;
  return true;
}

void TokenReviewer::keep(const Digest& digest, Entry entry) {
  if (cache_.size() >= options_.most) {
    const TimePoint now = clock_.now();
    std::erase_if(cache_, [&](const auto& each) { return each.second.until <= now; });
    if (cache_.size() >= options_.most) cache_.erase(cache_.begin(), std::next(cache_.begin(), cache_.size() / 2));
  }
  cache_[digest] = std::move(entry);
}

Outcome<TokenIdentity> TokenReviewer::review(const Secret& token) {
  TokenIdentity out;
  if (token.empty() || token.reveal().size() > kMaxToken) {
    out.error = "not a token";
    return out;
  }
  Digest digest{};
  SHA256(reinterpret_cast<const unsigned char*>(token.reveal().data()), token.reveal().size(), digest.data());
  {
    const std::lock_guard lock(mutex_);
    const auto found = cache_.find(digest);
    if (found != cache_.end() && clock_.now() < found->second.until) return found->second.identity;
    if (!admit()) {
      return Failure{Failure::Kind::kStatus, 429, "TooManyRequests", "too many token reviews at once",
                     std::chrono::seconds(1)};
    }
  }
  json::object spec{{"token", std::string(token.reveal())}};
  if (!options_.audience.empty()) spec["audiences"] = json::array{json::string(options_.audience)};
  Request request = post({"authentication.k8s.io", "v1", "tokenreviews"},
                         {{"apiVersion", "authentication.k8s.io/v1"}, {"kind", "TokenReview"}, {"spec", spec}});
  Outcome<json::object> answer = client_.send_json(request);
  OPENSSL_cleanse(request.body.data(), request.body.size());
  if (answer.has_error()) return answer.error();
  const json::value* authenticated = value_at(*answer, {"status", "authenticated"});
  out.authenticated = authenticated != nullptr && authenticated->is_bool() && authenticated->get_bool();
  out.error = std::string(text_at(*answer, {"status", "error"})).substr(0, 512);
  const std::vector<std::string> audiences = texts(array_at(*answer, {"status", "audiences"}));
  if (out.authenticated && !options_.audience.empty() &&
      std::find(audiences.begin(), audiences.end(), options_.audience) == audiences.end()) {
    out.authenticated = false;  // a server that does not know audiences would take any token
    out.error = "the token is not for the audience " + options_.audience;
  }
  const TimePoint now = clock_.now();
  out.expires = now + kFarAway;
  if (out.authenticated) {
    out.username = text_at(*answer, {"status", "user", "username"});
    out.groups = texts(array_at(*answer, {"status", "user", "groups"}));
    out.pod_name = extra(*answer, "authentication.kubernetes.io/pod-name");
    out.pod_uid = extra(*answer, "authentication.kubernetes.io/pod-uid");
    if (const std::int64_t expiry = token_expiry(token.reveal()); expiry > 0) {
      const auto wall = std::chrono::duration_cast<std::chrono::seconds>(clock_.wall().time_since_epoch()).count();
      out.expires = now + std::chrono::seconds(std::clamp<std::int64_t>(expiry - wall, 0, 86400 * 365));
    }
  }
  const std::lock_guard lock(mutex_);
  const Duration keeping = out.authenticated ? options_.keep_good : options_.keep_bad;
  keep(digest, {out, std::min<TimePoint>(now + keeping, out.expires)});
  return out;
}

Outcome<bool> may(Client& client, const Access& access) {
  json::object attributes{{"verb", access.verb}, {"group", access.group}, {"resource", access.resource}};
  if (!access.name_space.empty()) attributes["namespace"] = access.name_space;
  if (!access.name.empty()) attributes["name"] = access.name;
  const json::object body{
      {"apiVersion", "authorization.k8s.io/v1"},
      {"kind", "SubjectAccessReview"},
      {"spec",
       json::object{{"user", access.user}, {"groups", array_of(access.groups)}, {"resourceAttributes", attributes}}}};
  const Outcome<json::object> answer =
      client.send_json(post({"authorization.k8s.io", "v1", "subjectaccessreviews"}, body));
  if (answer.has_error()) return answer.error();
  const json::value* allowed = value_at(*answer, {"status", "allowed"});
  return allowed != nullptr && allowed->is_bool() && allowed->get_bool();
}

Outcome<BoundToken> request_token(Client& client, const std::string& name_space, const std::string& service_account,
                                  const std::string& audience, std::chrono::seconds lifetime) {
  const json::object body{{"apiVersion", "authentication.k8s.io/v1"},
                          {"kind", "TokenRequest"},
                          {"spec", json::object{{"audiences", json::array{json::string(audience)}},
                                                {"expirationSeconds", lifetime.count()}}}};
  Request request = post({"", "v1", "serviceaccounts"}, body);
  request.target = path_of({"", "v1", "serviceaccounts"}, name_space, service_account, "token");
  Outcome<json::object> answer = client.send_json(request);
  if (answer.has_error()) return answer.error();
  const std::string_view token = text_at(*answer, {"status", "token"});
  if (token.empty() || token.size() > kMaxToken) {
    return Failure{Failure::Kind::kMalformed, 0, "", "TokenRequest: there is no token in the answer", std::nullopt};
  }
  return BoundToken{Secret(std::string(token)),
                    integer_at(*answer, {"spec", "expirationSeconds"}).value_or(lifetime.count())};
}

}  // namespace dbproxy::kubernetes
