#include "proxy/source/arn_secrets.hpp"

#include <algorithm>

#include "proxy/aws/endpoint.hpp"

namespace dbproxy::source {
namespace {

constexpr std::chrono::seconds kLongestWait{5};

std::string url_of(const manifest::DBProxyResource& proxy, const std::string& service) {
  const auto found = proxy.aws.endpoint_overrides.find(service);
  return found == proxy.aws.endpoint_overrides.end() ? "" : found->second;
}

aws::SecretKey key_of(const manifest::DBProxyResource& proxy, const manifest::AuthEntry& auth) {
  return {auth.secret_arn, proxy.aws.role_arn, url_of(proxy, "secretsmanager"), url_of(proxy, "sts")};
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
    : grants_(std::move(options.grants)),
      store_(counted(std::move(options.store), metrics, metrics_prefix), std::move(changed), clock) {}

// Why it is not even tried; "" where it is.
std::string ArnSecrets::refusal(const manifest::DBProxyResource& proxy, const manifest::AuthEntry& auth) const {
  const std::string& name_space = proxy.metadata.name_space;
  const std::string& what = proxy.aws.role_arn.empty() ? auth.secret_arn : proxy.aws.role_arn;
  if (!grants_.allows(name_space, what)) {
    return (proxy.aws.role_arn.empty() ? "" : "is read as aws.roleArn, which ") +
           std::string("is not granted to namespace ") + name_space + " by this installation";
  }
  if (grants_.allows_all()) return {};
  for (const char* service : {"secretsmanager", "sts"}) {
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

// Whether the operator's own rights may be used to log in to the database: its account and the cluster's resource id
// are not known here, and a grant has to hold for all of them.
bool ArnSecrets::may_sign(const manifest::DBProxyResource& proxy) const {
  if (grants_.allows_all()) return true;
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
}

bool ArnSecrets::settled(const std::string& proxy) {
  if (store_.wait(proxy, std::chrono::milliseconds(0))) return true;
  const std::lock_guard lock(mutex_);
  const auto found = known_.find(proxy);
  return found == known_.end() || std::chrono::steady_clock::now() - found->second > kLongestWait;
}

void ArnSecrets::forget(const std::string& proxy) {
  {
    const std::lock_guard lock(mutex_);
    known_.erase(proxy);
    last_users_.erase(proxy);
  }
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
                                           plan::LoginSecret out{state.current->username, state.current->password};
                                           if (state.previous && state.previous->username == out.username)
                                             out.previous = state.previous->password;
                                           return out;
                                         });
  for (plan::DesiredProxy& each : out.proxies) {
    const auto proxy = std::find_if(manifests.proxies.begin(), manifests.proxies.end(),
                                    [&](const auto& one) { return one.metadata.key() == each.key; });
    each.may_sign = proxy == manifests.proxies.end() || may_sign(*proxy);
  }
  const std::lock_guard lock(mutex_);
  for (plan::DesiredProxy& each : out.proxies) {
    if (each.snapshot.users.empty() && last_users_.contains(each.key)) {
      each.snapshot.users = last_users_[each.key];
    } else {
      last_users_[each.key] = each.snapshot.users;
    }
  }
  return out;
}

std::vector<manifest::Diagnostic> ArnSecrets::problems(const manifest::DBProxyResource& proxy) const {
  std::vector<manifest::Diagnostic> out;
  std::map<std::string, std::string> users;  // and the entry that has it
  for (std::size_t i = 0; i < proxy.auth.size(); ++i) {
    const manifest::AuthEntry& auth = proxy.auth[i];
    if (auth.auth_scheme == manifest::AuthScheme::kIam && !may_sign(proxy)) {
      manifest::Diagnostic problem;
      problem.object = "DBProxy " + proxy.metadata.key();
      problem.file = proxy.metadata.origin.file;
      problem.field = "spec.auth[" + std::to_string(i) + "].authScheme";
      problem.line = proxy.metadata.origin.line_of(problem.field);
      problem.rule = "IAM is not granted to namespace " + proxy.metadata.name_space +
                     " by this installation: the operator cannot log in as " + manifest::in_quotes(auth.user_name) +
                     " to see who the writer is";
      problem.remedy = "have arn:aws:rds-db:*:*:dbuser:*/" + auth.user_name +
                       ", or aws.roleArn, added to aws.grants of the installation (--aws-grant of the operator)";
      out.push_back(std::move(problem));
    }
    if (auth.secret_arn.empty()) continue;
    manifest::Diagnostic problem;
    problem.object = "DBProxy " + proxy.metadata.key();
    problem.file = proxy.metadata.origin.file;
    problem.field = "spec.auth[" + std::to_string(i) + "].secretArn";
    problem.line = proxy.metadata.origin.line_of(problem.field);
    problem.value = manifest::in_quotes(auth.secret_arn);
    const aws::SecretState state = store_.state(key_of(proxy, auth));
    if (std::string why = refusal(proxy, auth); !why.empty()) {
      problem.rule = std::move(why);
      problem.remedy = "have it added to aws.grants of the installation (--aws-grant of the operator)";
    } else if (state.failure) {
      problem.rule = std::string(state.current ? "cannot be read now, its last value stays: " : "cannot be read: ") +
                     state.failure.what;
      problem.remedy = state.failure.remedy;
    } else if (!state.asked) {
      problem.rule = "is not read yet";
    } else if (!auth.user_name.empty() && auth.user_name != state.current->username) {
      problem.rule = "has another username than userName says (" + manifest::in_quotes(auth.user_name) + ")";
      problem.remedy = "remove userName: the secret names the user";
    } else if (const auto [it, fresh] = users.emplace(state.current->username, problem.field); !fresh) {
      problem.rule = "is a second secret for the database user " + manifest::in_quotes(state.current->username) +
                     ", after " + it->second;
      problem.remedy = "keep one of the two";
    } else {
      continue;
    }
    out.push_back(std::move(problem));
  }
  return out;
}

}  // namespace dbproxy::source
