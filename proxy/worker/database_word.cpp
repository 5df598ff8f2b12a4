#include "proxy/worker/database_word.hpp"

#include <algorithm>

#include "proxy/backend/login_check.hpp"

namespace dbproxy::worker {
namespace {

using aws::Failure;

constexpr std::chrono::milliseconds kTimeout{5'000};
constexpr std::size_t kMostNames = 256;  // characters

aws::Outcome<bool> ask(const config::Snapshot& snapshot, const std::string& user, const std::string& database,
                       const Secret& token) {
  const auto good = [](const config::Target& target) {
    return target.role == config::TargetRole::kReadWrite && target.health != config::TargetHealth::kUnavailable;
  };
  const auto target = std::find_if(snapshot.targets.begin(), snapshot.targets.end(), good);
  if (target == snapshot.targets.end())
    return Failure{Failure::Kind::kUnreachable, "the token is for the database, which has no writer now", ""};
  // Whoever has such a token is the user, for a quarter of an hour.
  const config::ServerTls& tls = snapshot.server_tls;
  if (const auto why = config::clear_text_refusal(tls.mode, tls.ca_owner, config::ClearText::kToken); !why.empty())
    return Failure{Failure::Kind::kRefused, "a token is shown " + std::string(why), ""};
  backend::ProbeAddress address;
  address.host = target->host;
  address.port = target->port;
  address.tls = snapshot.server_tls;
  address.user = user;
  address.password = token;
  address.token = true;
  address.database = database;
  address.policy = snapshot.endpoint_policy;
  const backend::ProbeOutcome outcome = backend::check_login(snapshot.engine, address, kTimeout);
  if (outcome.ok) return true;
  if (outcome.reason == config::HealthReason::kAuthFailure) return false;
  return Failure{Failure::Kind::kUnreachable, "the database cannot be asked about the token: " + outcome.detail, ""};
}

}  // namespace

aws::ClientTokenSubject token_subject(config::SnapshotPtr snapshot, const config::Endpoint& endpoint,
                                      const config::User& user, std::string database) {
  aws::ClientTokenSubject out{aws::iam_host(snapshot->name_space, snapshot->name),
                              endpoint.port,
                              user.name,
                              snapshot->aws.region,
                              snapshot->aws.sts_url,
                              user.iam_principals};
  if (user.auth_scheme != config::AuthScheme::kIam) return out;
  out.ask_database = [snapshot = std::move(snapshot), name = user.name, database = std::move(database)](
                         const Secret& token) { return ask(*snapshot, name, database, token); };
  return out;
}

std::string needs_own_keys(const config::Snapshot& snapshot) {
  if (snapshot.pod_identity.enabled) return {};  // nobody is asked for a token
  std::string out;
  for (const config::User& user : snapshot.users) {
    const bool needs = user.iam_auth == config::IamAuth::kRequired && user.iam_principals.empty() &&
                       user.auth_scheme == config::AuthScheme::kSecrets;
    if (!needs) continue;
    if (out.size() > kMostNames) return out + ", …";
    out += (out.empty() ? "user \"" : ", \"") + user.name + '"';
  }
  return out;
}

std::string iam_impossible(const std::string& users, const aws::Failure& failure) {
  using Kind = Failure::Kind;
  const bool lasting = failure.kind == Kind::kNotConfigured || failure.kind == Kind::kMalformed ||
                       failure.kind == Kind::kDenied || failure.kind == Kind::kNotFound;
  if (users.empty() || !lasting) return {};
  return users +
         ": iamAuth: REQUIRED lets nobody in, since no token can be verified: there are no iamPrincipals, the "
         "database takes a password (authScheme: SECRETS), and the sidecar has no keys of AWS (" +
         failure.what +
         "); list iamPrincipals, or give the pod's service account a role (IRSA or EKS Pod Identity) and the pod the "
         "annotation dbproxy.io/aws-credentials";
}

}  // namespace dbproxy::worker
