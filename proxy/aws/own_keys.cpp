#include "proxy/aws/own_keys.hpp"

#include "proxy/aws/endpoint.hpp"
#include "proxy/aws/secrets_manager.hpp"
#include "proxy/aws/service_error.hpp"
#include "proxy/aws/sts.hpp"

namespace dbproxy::aws {
namespace {

using Kind = Failure::Kind;

constexpr std::size_t kMostLent = 64;
constexpr std::size_t kMostArns = 256;
constexpr std::chrono::hours kUnsaid{1};  // for so long keys are remembered of which nobody says when they expire

}  // namespace

OwnKeys::OwnKeys(Environment environment, const Clock& clock)
    : environment_(environment),
      clock_(clock),
      principals_(std::move(environment), clock),
      session_(
          [this]() -> Outcome<Credentials> {
            const Outcome<CredentialsPtr> lasting = own();
            if (!lasting.ok()) return lasting.failure;
            return get_session_token(environment_, {}, *lasting.value, clock_.wall());
          },
          clock) {}

Outcome<CredentialsPtr> OwnKeys::own() {
  return principals_.of({})->get();
}

Outcome<CredentialsPtr> OwnKeys::lend() {
  Outcome<CredentialsPtr> keys = own();
  if (keys.ok() && keys.value->session_token.empty()) keys = session_.get();
  if (!keys.ok()) return keys;
  const std::lock_guard lock(mutex_);
  const WallTime now = clock_.wall();
  std::erase_if(lent_, [&](const auto& each) { return each.second->expires && *each.second->expires <= now; });
  if (lent_.size() >= kMostLent && !lent_.contains(keys.value->access_key_id)) lent_.clear();
  CredentialsPtr& kept = lent_[keys.value->access_key_id];
  if (keys.value->expires) {
    kept = keys.value;
  } else {
    Credentials copy = *keys.value;
    copy.expires = now + kUnsaid;
    kept = std::make_shared<const Credentials>(std::move(copy));
  }
  return kept;
}

Outcome<CredentialsPtr> OwnKeys::find(const std::string& access_key_id) {
  {
    const std::lock_guard lock(mutex_);
    const auto found = lent_.find(access_key_id);
    if (found != lent_.end() && *found->second->expires > clock_.wall()) return found->second;
  }
  Outcome<CredentialsPtr> keys = own();
  if (keys.ok() && keys.value->access_key_id != access_key_id) return CredentialsPtr();
  return keys;
}

Outcome<std::string> OwnKeys::whose(const CredentialsPtr& keys, const std::string& region, const std::string& sts_url) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = arns_.find(keys->access_key_id); found != arns_.end()) return found->second;
  }
  Outcome<Url> url = endpoint_of(environment_, "sts", region, sts_url);
  if (!url.ok()) return url.failure;
  SignableRequest request;
  request.query = {{"Action", "GetCallerIdentity"}, {"Version", "2011-06-15"}};
  request.headers = {{"Host", url.value.host_header()}};
  Exchange ask;
  ask.headers = sign_headers(request, {region, "sts"}, *keys, clock_.wall());
  url.value.path = "/?Action=GetCallerIdentity&Version=2011-06-15";
  const Outcome<Reply> reply = exchange(environment_, url.value, ask, "STS GetCallerIdentity");
  if (!reply.ok()) return reply.failure;
  if (reply.value.status != 200)
    return service_failure(reply.value, "STS GetCallerIdentity", "sts:GetCallerIdentity", keys->access_key_id);
  std::string arn = xml_text(reply.value.body, "Arn");
  if (parse_arn(arn).resource.empty()) return Failure{Kind::kMalformed, "STS did not say who it is", ""};
  const std::lock_guard lock(mutex_);
  if (arns_.size() >= kMostArns) arns_.clear();
  arns_[keys->access_key_id] = arn;
  return arn;
}

}  // namespace dbproxy::aws
