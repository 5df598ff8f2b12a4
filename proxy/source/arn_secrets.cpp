#include "proxy/source/arn_secrets.hpp"

#include <algorithm>

#include "proxy/aws/database_token.hpp"
#include "proxy/aws/endpoint.hpp"

namespace dbproxy::source {
namespace {

constexpr std::chrono::seconds kLongestWait{5};

std::string url_of(const manifest::DBProxyResource& proxy, const std::string& service) {
  const auto found = proxy.aws.endpoint_overrides.find(service);
  return found == proxy.aws.endpoint_overrides.end() ? "" : found->second;
}

std::string_view result_of(aws::Failure::Kind kind) {
  using Kind = aws::Failure::Kind;
  switch (kind) {
    case Kind::kNone:
      return "ok";
    case Kind::kDenied:
      return "denied";
    case Kind::kNotFound:
      return "not_found";
    case Kind::kThrottled:
      return "throttled";
    case Kind::kMalformed:
      return "malformed";
    case Kind::kUnreachable:
      return "unreachable";
    default:
      return "error";
  }
}

aws::SecretStoreOptions counted(aws::SecretStoreOptions options, metrics::Registry* metrics,
                                const std::string& metrics_prefix) {
  if (metrics == nullptr) return options;
  std::map<std::string, metrics::Cell*> cells;
  for (const char* result : {"ok", "denied", "not_found", "throttled", "malformed", "unreachable", "error"}) {
    cells[result] = &metrics->counter(metrics_prefix + "_aws_secret_reads_total",
                                      "Reads of secrets in AWS Secrets Manager", {{"result", result}});
  }
  auto mutex = std::make_shared<std::mutex>();  // a cell has one writer at a time
  options.on_read = [cells, mutex](aws::Failure::Kind kind) {
    const std::lock_guard lock(*mutex);
    cells.at(std::string(result_of(kind)))->add();
  };
  return options;
}

}  // namespace

ArnSecrets::ArnSecrets(ArnSecretsOptions options, Changed changed, metrics::Registry* metrics,
                       const std::string& metrics_prefix, const Clock& clock)
    : clock_(clock),
      grants_(std::move(options.grants)),
      accounts_(options.store.accounts),
      clusters_(options.store.environment, options.store.accounts, options.store.poll, changed, clock),
      store_(counted(std::move(options.store), metrics, metrics_prefix), std::move(changed), clock) {}

void ArnSecrets::wait(const std::string& proxy, std::chrono::milliseconds at_most) const {
  const auto until = std::chrono::steady_clock::now() + at_most;
  store_.wait(proxy, at_most);
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
  clusters_.wait(proxy, std::max(left, std::chrono::milliseconds(0)));
}

void ArnSecrets::refused(const std::string& proxy) {
  store_.poke(proxy);
  clusters_.poke(proxy);
}

void ArnSecrets::stop() {
  clusters_.stop();
  store_.stop();
}

std::string ArnSecrets::account_of(const manifest::DBProxyResource& proxy) const {
  if (!accounts_ || proxy.aws.service_account_name.empty()) return {};
  return proxy.metadata.name_space + "/" + proxy.aws.service_account_name;
}

aws::SecretKey ArnSecrets::key_of(const manifest::DBProxyResource& proxy, const manifest::AuthEntry& auth) const {
  return {auth.secret_arn, proxy.aws.role_arn, url_of(proxy, "secretsmanager"), url_of(proxy, "sts"),
          account_of(proxy)};
}

std::optional<ClusterKey> ArnSecrets::cluster_of(const manifest::DBProxyResource& proxy) const {
  if (proxy.cluster.identifier.empty() || !proxy.cluster.instances.empty()) return std::nullopt;
  const std::string region = proxy.aws.region.empty() ? aws::region_of_host(proxy.cluster.endpoint) : proxy.aws.region;
  return ClusterKey{proxy.cluster.identifier, region,           proxy.aws.role_arn, url_of(proxy, "rds"),
                    url_of(proxy, "sts"),     account_of(proxy)};
}

// Why it is not even tried; "" where it is. What a service account may have, AWS decides by its role.
std::string ArnSecrets::refusal(const manifest::DBProxyResource& proxy, const manifest::AuthEntry& auth) const {
  const std::string& name_space = proxy.metadata.name_space;
  const std::string& what = proxy.aws.role_arn.empty() ? auth.secret_arn : proxy.aws.role_arn;
  if (account_of(proxy).empty() && !grants_.allows(name_space, what)) {
    return (proxy.aws.role_arn.empty() ? "" : "is read as aws.roleArn, which ") +
           std::string("is not granted to namespace ") + name_space + " by this installation";
  }
  return override_refusal(proxy);
}

// Where whoever writes a DBProxy may not have credentials sent to.
std::string ArnSecrets::override_refusal(const manifest::DBProxyResource& proxy) const {
  if (grants_.allows_all()) return {};
  for (const char* service : {"secretsmanager", "sts", "rds"}) {
    const std::string text = url_of(proxy, service);
    if (text.empty()) continue;
    const aws::Outcome<aws::Url> url = aws::parse_url(text);
    if (!url.ok() || !url.value.tls || !aws::is_aws_host(url.value.host)) {
      return std::string("is asked for at aws.endpointOverrides.") + service +
             ", which is not https to a name below amazonaws.com";
    }
  }
  return {};
}

std::string ArnSecrets::cluster_refusal(const manifest::DBProxyResource& proxy) const {
  const std::string& name_space = proxy.metadata.name_space;
  const std::string arn = "arn:aws:rds:*:*:cluster:" + proxy.cluster.identifier;
  const std::string& what = proxy.aws.role_arn.empty() ? arn : proxy.aws.role_arn;
  if (account_of(proxy).empty() && !grants_.allows(name_space, what))
    return "is not granted to namespace " + name_space + " by this installation: " + what + " is not in aws.grants";
  return override_refusal(proxy);
}

// Whether the operator's own rights may be used to log in to the database: its account and the cluster's resource id
// are not known here, and a grant has to hold for all of them.
bool ArnSecrets::may_sign(const manifest::DBProxyResource& proxy) const {
  if (grants_.allows_all()) return true;
  if (!override_refusal(proxy).empty()) return false;
  if (!account_of(proxy).empty()) return true;
  const std::string& name_space = proxy.metadata.name_space;
  return std::all_of(proxy.auth.begin(), proxy.auth.end(), [&](const manifest::AuthEntry& auth) {
    if (auth.auth_scheme != manifest::AuthScheme::kIam) return true;
    if (!proxy.aws.role_arn.empty()) return grants_.allows(name_space, proxy.aws.role_arn);
    return grants_.allows(name_space, "arn:aws:rds-db:*:*:dbuser:*/" + auth.user_name);
  });
}

std::set<aws::SecretKey> ArnSecrets::keys_of(const manifest::DBProxyResource& proxy) const {
  std::set<aws::SecretKey> out;
  for (const manifest::AuthEntry& auth : proxy.auth) {
    if (!auth.secret_arn.empty() && refusal(proxy, auth).empty()) out.insert(key_of(proxy, auth));
  }
  return out;
}

void ArnSecrets::want(const manifest::DBProxyResource& proxy) {
  const std::string key = proxy.metadata.key();
  {
    const std::lock_guard lock(mutex_);
    known_.emplace(key, std::chrono::steady_clock::now());
  }
  store_.want(key, keys_of(proxy));
  clusters_.want(key, cluster_refusal(proxy).empty() ? cluster_of(proxy) : std::nullopt);
}

bool ArnSecrets::settled(const std::string& proxy) {
  const std::chrono::milliseconds now{0};
  if (store_.wait(proxy, now) && clusters_.wait(proxy, now)) return true;
  const std::lock_guard lock(mutex_);
  const auto found = known_.find(proxy);
  return found == known_.end() || std::chrono::steady_clock::now() - found->second > kLongestWait;
}

void ArnSecrets::forget(const std::string& proxy) {
  {
    const std::lock_guard lock(mutex_);
    known_.erase(proxy);
    last_users_.erase(proxy);
    rotations_.erase(proxy);
  }
  clusters_.want(proxy, std::nullopt);
  store_.want(proxy, {});
}

void ArnSecrets::want_all(const std::vector<manifest::DBProxyResource>& proxies) {
  std::set<std::string> gone;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [key, since] : known_) gone.insert(key);
  }
  for (const manifest::DBProxyResource& proxy : proxies) {
    gone.erase(proxy.metadata.key());
    want(proxy);
  }
  for (const std::string& key : gone) forget(key);
}

plan::Desired ArnSecrets::desired(const manifest::Manifests& manifests) {
  plan::Desired out = plan::make_desired(manifests,
                                         [this](const manifest::DBProxyResource& proxy,
                                                const manifest::AuthEntry& auth) -> std::optional<plan::LoginSecret> {
                                           if (!refusal(proxy, auth).empty()) return std::nullopt;
                                           const aws::SecretState state = store_.state(key_of(proxy, auth));
                                           if (!state.current) return std::nullopt;
                                           if (!auth.user_name.empty() && auth.user_name != state.current->username)
                                             return std::nullopt;
                                           plan::LoginSecret login{state.current->username, state.current->password};
                                           if (state.previous && state.previous->username == login.username)
                                             login.previous = state.previous->password;
                                           return login;
                                         });
  for (plan::DesiredProxy& each : out.proxies) {
    const auto proxy = std::find_if(manifests.proxies.begin(), manifests.proxies.end(),
                                    [&](const auto& one) { return one.metadata.key() == each.key; });
    each.may_sign = proxy == manifests.proxies.end() || may_sign(*proxy);
    if (proxy != manifests.proxies.end()) each.account = account_of(*proxy);
    if (proxy != manifests.proxies.end()) use_members(*proxy, each);
  }
  const std::lock_guard lock(mutex_);
  for (plan::DesiredProxy& each : out.proxies) {
    remember_logins(each);
    if (each.snapshot.users.empty() && last_users_.contains(each.key)) {
      each.snapshot.users = last_users_[each.key];
    } else {
      last_users_[each.key] = each.snapshot.users;
    }
  }
  return out;
}

bool ArnSecrets::fits(const std::string& engine, config::EngineFamily family) {
  const bool mysql = engine.find("mysql") != std::string::npos || engine.find("mariadb") != std::string::npos;
  const bool postgres = engine.find("postgres") != std::string::npos;
  return family == config::EngineFamily::kMysql ? mysql || !postgres : postgres || !mysql;
}

// The members are where to begin; who of them is the writer, the database tells.
void ArnSecrets::use_members(const manifest::DBProxyResource& proxy, plan::DesiredProxy& desired) const {
  const auto key = cluster_of(proxy);
  if (!key || !cluster_refusal(proxy).empty()) return;
  const auto told = clusters_.state(*key).cluster;
  if (!told || !fits(told->engine, proxy.engine_family)) return;
  std::vector<config::Target> targets;
  for (const aws::ClusterMember& member : told->members) {
    config::Target& target = targets.emplace_back();
    target.id = member.id;
    target.host = member.host;
    target.port = member.port;
  }
  if (targets.empty()) return;
  desired.snapshot.targets = std::move(targets);
  if (proxy.cluster.instance_endpoint_pattern.empty()) {
    desired.snapshot.discovery.pattern = plan::instance_pattern(told->endpoint);
    desired.snapshot.discovery.port = told->port;
  }
}

// A Secret of Kubernetes has no AWSPREVIOUS, and neither tells when it was rotated: what was seen is kept for as long
// as the program runs. A secret that is away for a while, as one that is deleted and made again, is the same secret.
void ArnSecrets::remember_logins(plan::DesiredProxy& desired) {
  constexpr std::size_t kMostSecrets = 1024;
  auto& known = rotations_[desired.key];
  if (known.size() > kMostSecrets) known.clear();
  for (std::size_t i = 0; i < desired.secrets.size(); ++i) {
    config::User& user = desired.snapshot.users[i];
    if (desired.secrets[i].empty()) continue;
    const std::string& secret = desired.secrets[i];
    const bool fresh = !known.contains(secret);
    Rotation& rotation = known[secret];
    Login now{user.name, user.password};
    // Another secret in the place of the one that this user had.
    const auto before = std::find_if(known.begin(), known.end(), [&](const auto& each) {
      return each.first != secret && each.second.current.user == user.name;
    });
    if (fresh && before != known.end()) {
      rotation = std::move(before->second);
      known.erase(before);
    }
    if (rotation.current.user.empty()) rotation.current = now;
    if (!(rotation.current == now)) {
      rotation.previous = std::exchange(rotation.current, std::move(now));
      rotation.at = std::chrono::floor<std::chrono::seconds>(clock_.wall());
    }
    allow_previous(rotation, user, desired.snapshot);
  }
}

void ArnSecrets::allow_previous(const Rotation& rotation, config::User& user, const config::Snapshot& snapshot) {
  const Login& previous = rotation.previous;
  if (previous.user.empty() || previous.password.empty()) return;
  if (user.previous_password.empty()) {
    const bool renamed = previous.user != user.name;
    if (renamed && snapshot.find_user(previous.user) != nullptr) return;  // who is somebody of its own
    if (renamed) user.previous_name = previous.user;
    user.previous_password = previous.password;
  }
  const bool same = user.previous_password == previous.password;
  if (same && snapshot.credential_grace.count() > 0) user.previous_until = rotation.at + snapshot.credential_grace;
}

}  // namespace dbproxy::source
