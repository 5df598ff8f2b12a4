#include "proxy/aws/service_error.hpp"

#include <algorithm>
#include <boost/json.hpp>

namespace dbproxy::aws {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxWords = 512;

struct Said {
  std::string type, words;
};

// What a service says goes into conditions and logs: bounded, and one line of plain characters.
std::string tidy(std::string text) {
  if (text.size() > kMaxWords) text.resize(kMaxWords);
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < ' ' || c > '~'; }, ' ');
  return text;
}

Said read(const Reply& reply) {
  Said out;
  out.type = reply.error_type;
  json::error_code error;
  const json::value document = json::parse(reply.body, error);
  if (!error && document.is_object()) {
    const json::object& object = document.get_object();
    for (const char* key : {"__type", "code", "Code"}) {
      const json::value* value = object.if_contains(key);
      if (out.type.empty() && value != nullptr && value->is_string()) out.type = value->get_string().c_str();
    }
    for (const char* key : {"message", "Message"}) {
      const json::value* value = object.if_contains(key);
      if (out.words.empty() && value != nullptr && value->is_string()) out.words = value->get_string().c_str();
    }
  } else {
    if (out.type.empty()) out.type = xml_text(reply.body, "Code");
    out.words = xml_text(reply.body, "Message");
  }
  // com.amazonaws.secretsmanager#Name, Name:http://…
  if (const std::size_t hash = out.type.find('#'); hash != std::string::npos) out.type.erase(0, hash + 1);
  if (const std::size_t colon = out.type.find(':'); colon != std::string::npos) out.type.erase(colon);
  out.type = tidy(out.type);
  out.words = tidy(out.words);
  return out;
}

bool any_of(const std::string& type, std::initializer_list<std::string_view> names) {
  return std::find(names.begin(), names.end(), type) != names.end();
}

}  // namespace

std::string xml_text(std::string_view document, std::string_view tag) {
  const std::string open = "<" + std::string(tag) + ">";
  const std::string close = "</" + std::string(tag) + ">";
  const std::size_t start = document.find(open);
  if (start == std::string_view::npos) return {};
  const std::size_t end = document.find(close, start);
  if (end == std::string_view::npos) return {};
  const std::string_view raw = document.substr(start + open.size(), end - start - open.size());
  std::string out;
  for (std::size_t i = 0; i < raw.size(); ++i) {
    constexpr std::pair<std::string_view, char> kEntities[] = {
        {"&lt;", '<'}, {"&gt;", '>'}, {"&amp;", '&'}, {"&quot;", '"'}, {"&apos;", '\''}};
    bool found = false;
    for (const auto& [name, character] : kEntities) {
      if (!raw.substr(i).starts_with(name)) continue;
      out += character;
      i += name.size() - 1;
      found = true;
      break;
    }
    if (!found) out += raw[i];
  }
  return out;
}

std::vector<std::string_view> xml_elements(std::string_view document, std::string_view tag, std::size_t most) {
  const std::string open = "<" + std::string(tag) + ">";
  const std::string close = "</" + std::string(tag) + ">";
  std::vector<std::string_view> out;
  for (std::size_t at = 0; out.size() < most;) {
    const std::size_t start = document.find(open, at);
    if (start == std::string_view::npos) break;
    const std::size_t end = document.find(close, start);
    if (end == std::string_view::npos) break;
    out.push_back(document.substr(start + open.size(), end - start - open.size()));
    at = end + close.size();
  }
  return out;
}

Failure service_failure(const Reply& reply, const std::string& who, const std::string& action, const std::string& on) {
  using Kind = Failure::Kind;
  const Said said = read(reply);
  std::string what = who + ": " + (said.type.empty() ? "status " + std::to_string(reply.status) : said.type);
  if (!said.words.empty()) what += ": " + said.words;
  if (reply.status == 429 || any_of(said.type, {"ThrottlingException", "Throttling", "TooManyRequestsException",
                                                "RequestLimitExceeded", "SlowDown"})) {
    return {Kind::kThrottled, what, "it is asked again more slowly"};
  }
  if (any_of(said.type, {"ResourceNotFoundException", "NoSuchEntity"}))
    return {Kind::kNotFound, what, "check the ARN, its region and its account"};
  if (any_of(said.type, {"ExpiredTokenException", "ExpiredToken", "RequestExpired", "RequestTimeTooSkewed",
                         "InvalidSignatureException", "SignatureDoesNotMatch"})) {
    return {Kind::kDenied, what, "check the keys, and the clock of this machine"};
  }
  if (any_of(said.type, {"UnrecognizedClientException", "InvalidClientTokenId", "IncompleteSignature",
                         "MissingAuthenticationToken"})) {
    return {Kind::kDenied, what, "AWS does not know these keys: check where they come from"};
  }
  if (any_of(said.type, {"DecryptionFailure", "KMSAccessDeniedException"}) ||
      (said.type.starts_with("AccessDenied") && said.words.find("KMS") != std::string::npos)) {
    return {Kind::kDenied, what, "allow kms:Decrypt on the key of " + on + " (dbproxyctl iam-policy prints it)"};
  }
  if (said.type.starts_with("AccessDenied") || reply.status == 403)
    return {Kind::kDenied, what, "allow " + action + " on " + on + " (dbproxyctl iam-policy prints it)"};
  if (any_of(said.type, {"InvalidIdentityToken", "IDPRejectedClaim", "InvalidIdentityTokenException"}))
    return {Kind::kDenied, what, "check the OIDC provider and the trust policy of " + on};
  if (reply.status >= 500) return {Kind::kUnreachable, what, "it is asked again"};
  return {Kind::kRefused, what, ""};
}

}  // namespace dbproxy::aws
