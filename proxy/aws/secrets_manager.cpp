#include "proxy/aws/secrets_manager.hpp"

#include <array>
#include <boost/json.hpp>
#include <openssl/crypto.h>

#include "proxy/aws/endpoint.hpp"
#include "proxy/aws/readers.hpp"
#include "proxy/aws/service_error.hpp"
#include "proxy/aws/sts.hpp"

namespace dbproxy::aws {
namespace {

namespace json = boost::json;
using Kind = Failure::Kind;

constexpr std::size_t kMaxUserName = 63;    // NAMEDATALEN − 1
constexpr std::size_t kMaxPassword = 4096;  // as of Kubernetes' Secrets

const json::string* text_at(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value != nullptr && value->is_string() ? &value->get_string() : nullptr;
}

}  // namespace

Arn parse_arn(const std::string& text) {
  std::array<std::string, 5> parts;
  std::size_t start = 0;
  for (std::string& part : parts) {
    const std::size_t colon = text.find(':', start);
    if (colon == std::string::npos) return {};
    part = text.substr(start, colon - start);
    start = colon + 1;
  }
  if (parts[0] != "arn" || start >= text.size()) return {};
  return {parts[1], parts[2], parts[3], parts[4], text.substr(start)};
}

Outcome<SecretValue> read_secret_text(std::string_view text, const std::string& name) {
  const auto wrong = [&](const std::string& what) {
    return Failure{Kind::kMalformed, name + " " + what,
                   "a secret of a DBProxy is JSON with the keys username and password"};
  };
  json::error_code error;
  const json::value document = json::parse(json::string_view(text.data(), text.size()), error);
  if (error || !document.is_object()) return wrong("is not a JSON object");
  SecretValue out;
  for (const char* key : {"username", "password"}) {
    const json::string* value = text_at(document.get_object(), key);
    const bool user = std::string_view(key) == "username";
    if (value == nullptr) return wrong("has no key " + std::string(key));
    if (value->empty()) return wrong("has an empty " + std::string(key));
    if (value->size() > (user ? kMaxUserName : kMaxPassword)) return wrong("has too long a " + std::string(key));
    if (value->find('\0') != json::string::npos) return wrong("has a zero byte in its " + std::string(key));
    if (user) {
      out.username = std::string(*value);
    } else {
      out.password = Secret(std::string(*value));
    }
  }
  return out;
}

Outcome<SecretValue> get_secret_value(const Environment& environment, const std::string& arn, const std::string& stage,
                                      const std::string& override_url, const Credentials& credentials, WallTime now) {
  const std::string who = "Secrets Manager";
  std::string region = parse_arn(arn).region;
  if (region.empty()) region = region_of(environment);
  const Outcome<Url> url = endpoint_of(environment, "secretsmanager", region, override_url);
  if (!url.ok()) return url.failure;
  json::object body{{"SecretId", arn}, {"VersionStage", stage}};
  Exchange what;
  what.method = "POST";
  what.headers = {{"Content-Type", "application/x-amz-json-1.1"}, {"X-Amz-Target", "secretsmanager.GetSecretValue"}};
  what.body = json::serialize(body);
  Outcome<Reply> reply = signed_exchange(environment, url.value, std::move(what), {region, "secretsmanager"},
                                         credentials, now, who + " in " + region);
  if (!reply.ok()) return reply.failure;
  if (reply.value.status != 200) {
    Failure failure = service_failure(reply.value, who, "secretsmanager:GetSecretValue", arn);
    if (failure.what.find(arn) == std::string::npos) failure.what += " (" + arn + ")";
    return failure;
  }
  return read_secret_answer(reply.value, arn);
}

Outcome<SecretValue> read_secret_answer(Reply& reply, const std::string& arn) {
  json::error_code error;
  json::value document = json::parse(reply.body, error);
  OPENSSL_cleanse(reply.body.data(), reply.body.size());
  const json::string* text = !error && document.is_object() ? text_at(document.get_object(), "SecretString") : nullptr;
  if (text == nullptr) {
    return Failure{Kind::kMalformed, "the secret " + arn + " has no text (SecretString)",
                   "a secret of a DBProxy is JSON with the keys username and password"};
  }
  Outcome<SecretValue> out = read_secret_text(std::string_view(text->data(), text->size()), "the secret " + arn);
  if (const json::string* version = text_at(document.get_object(), "VersionId"))
    out.value.version_id = std::string(*version);
  OPENSSL_cleanse(document.get_object().at("SecretString").get_string().data(), text->size());
  return out;
}

}  // namespace dbproxy::aws
