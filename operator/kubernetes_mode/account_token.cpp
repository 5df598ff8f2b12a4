#include "operator/kubernetes_mode/account_token.hpp"

#include "operator/kubernetes/json.hpp"
#include "operator/kubernetes/resource.hpp"
#include "operator/kubernetes/reviews.hpp"
#include "proxy/aws/secrets_manager.hpp"

namespace dbproxy::kubernetes_mode {
namespace {

using Kind = aws::Failure::Kind;

constexpr const char* kRole = "eks.amazonaws.com/role-arn";
constexpr const char* kAudience = "sts.amazonaws.com";
constexpr std::chrono::seconds kLifetime{600};  // the least that there is; it is used at once
constexpr std::size_t kMaxRole = 2048;

aws::Failure failure_of(const kubernetes::Failure& failure, const std::string& account) {
  const std::string who = "service account " + account;
  if (failure.status(403)) {
    return {Kind::kDenied, who + ": the operator may not use it",
            "have it added to aws.serviceAccounts of the installation"};
  }
  if (failure.not_found()) return {Kind::kNotFound, who + " does not exist", "create it, or correct the name"};
  return {Kind::kUnreachable, who + ": " + failure.text(), ""};
}

bool is_role(const std::string& text) {
  const aws::Arn arn = aws::parse_arn(text);
  return text.size() <= kMaxRole && text.find(":iam::") != std::string::npos &&
         text.find(":role/") != std::string::npos && text.rfind("arn:", 0) == 0 && !arn.account.empty();
}

}  // namespace

aws::Outcome<aws::AccountToken> account_token(kubernetes::Client& client, const std::string& account) {
  const std::size_t slash = account.find('/');
  const std::string name_space = account.substr(0, slash);
  const std::string name = account.substr(slash + 1);
  kubernetes::Request request;
  request.target = kubernetes::path_of({"", "v1", "serviceaccounts"}, name_space, name);
  request.timeout = std::chrono::seconds(10);
  const auto found = client.send_json(request);
  if (found.has_error()) return failure_of(found.error(), account);
  const std::string role(kubernetes::text_at(*found, {"metadata", "annotations", kRole}));
  if (!is_role(role)) {
    return aws::Failure{
        Kind::kMalformed,
        "service account " + account + (role.empty() ? " names no role" : " names a role that is no ARN of one"),
        "annotate it: kubectl -n " + name_space + " annotate serviceaccount " + name + " --overwrite " + kRole +
            "=arn:aws:iam::ACCOUNT:role/NAME"};
  }
  auto token = kubernetes::request_token(client, name_space, name, kAudience, kLifetime);
  if (token.has_error()) return failure_of(token.error(), account);
  return aws::AccountToken{role, std::move(token->token)};
}

}  // namespace dbproxy::kubernetes_mode
