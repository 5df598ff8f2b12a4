// ArnSecrets: what is wrong with what AWS is asked for, in words.
#include "proxy/source/arn_secrets.hpp"

namespace dbproxy::source {
namespace {

manifest::Diagnostic problem_at(const manifest::DBProxyResource& proxy, std::string field, std::string value) {
  manifest::Diagnostic out;
  out.object = "DBProxy " + proxy.metadata.key();
  out.file = proxy.metadata.origin.file;
  out.field = std::move(field);
  out.line = proxy.metadata.origin.line_of(out.field);
  out.value = std::move(value);
  return out;
}

}  // namespace

void ArnSecrets::add_cluster_problem(const manifest::DBProxyResource& proxy,
                                     std::vector<manifest::Diagnostic>& out) const {
  const auto key = cluster_of(proxy);
  if (!key) return;
  manifest::Diagnostic problem =
      problem_at(proxy, "spec.targetGroups[0].dbCluster.identifier", manifest::in_quotes(proxy.cluster.identifier));
  // With an endpoint it is served all the same.
  if (!proxy.cluster.endpoint.empty()) problem.severity = manifest::Severity::kWarning;
  const ClusterState state = clusters_.state(*key);
  if (std::string why = cluster_refusal(proxy); !why.empty()) {
    problem.rule = std::move(why);
    problem.remedy = "have it added (--aws-grant of the operator), or write endpoint or instances";
  } else if (state.failure) {
    problem.rule =
        std::string(state.cluster ? "cannot be looked up now, the last answer stays: " : "cannot be looked up: ") +
        state.failure.what;
    problem.remedy = state.failure.remedy;
  } else if (!state.asked) {
    problem.rule = "is not looked up yet";
  } else if (!fits(state.cluster->engine, proxy.engine_family)) {
    problem.rule = "is a cluster of another engine than engineFamily says (" + state.cluster->engine + ")";
    problem.remedy = "correct one of the two";
  } else if (state.cluster->members.empty() && proxy.cluster.endpoint.empty()) {
    problem.rule = "is a cluster without any instance";
    problem.remedy = "add one to it";
  } else {
    return;
  }
  out.push_back(std::move(problem));
}

// Of all that it is used for: the database too is logged in to by it.
void ArnSecrets::add_account_problem(const manifest::DBProxyResource& proxy,
                                     std::vector<manifest::Diagnostic>& out) const {
  const std::string account = account_of(proxy);
  if (account.empty()) return;
  const aws::Failure failure = accounts_->trouble(account);
  if (!failure) return;
  manifest::Diagnostic problem =
      problem_at(proxy, "spec.aws.serviceAccountName", manifest::in_quotes(proxy.aws.service_account_name));
  problem.rule = "cannot be used: " + failure.what;
  problem.remedy = failure.remedy;
  out.push_back(std::move(problem));
}

// That the operator cannot see who the writer is where it cannot log in.
void ArnSecrets::add_iam_problem(const manifest::DBProxyResource& proxy, std::size_t entry,
                                 std::vector<manifest::Diagnostic>& out) const {
  const manifest::AuthEntry& auth = proxy.auth[entry];
  if (auth.auth_scheme != manifest::AuthScheme::kIam || may_sign(proxy)) return;
  manifest::Diagnostic problem = problem_at(proxy, "spec.auth[" + std::to_string(entry) + "].authScheme", {});
  const std::string elsewhere = override_refusal(proxy);
  problem.rule =
      (elsewhere.empty() ? "IAM is not granted to namespace " + proxy.metadata.name_space + " by this installation"
                         : elsewhere) +
      ": the operator cannot log in as " + manifest::in_quotes(auth.user_name) + " to see who the writer is";
  problem.remedy = !elsewhere.empty()
                       ? "remove aws.endpointOverrides"
                       : "have arn:aws:rds-db:*:*:dbuser:*/" + auth.user_name +
                             ", or aws.roleArn, added to aws.grants of the installation (--aws-grant of the operator)";
  out.push_back(std::move(problem));
}

std::vector<manifest::Diagnostic> ArnSecrets::problems(const manifest::DBProxyResource& proxy) const {
  std::vector<manifest::Diagnostic> out;
  add_account_problem(proxy, out);
  add_cluster_problem(proxy, out);
  std::map<std::string, std::string> users;  // and the entry that has it
  for (std::size_t i = 0; i < proxy.auth.size(); ++i) {
    const manifest::AuthEntry& auth = proxy.auth[i];
    add_iam_problem(proxy, i, out);
    if (auth.secret_arn.empty()) continue;
    manifest::Diagnostic problem =
        problem_at(proxy, "spec.auth[" + std::to_string(i) + "].secretArn", manifest::in_quotes(auth.secret_arn));
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
