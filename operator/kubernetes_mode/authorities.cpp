#include "operator/kubernetes_mode/authorities.hpp"

#include "operator/webhook/base64.hpp"
#include "operator/webhook/ca_bundle.hpp"

namespace dbproxy::kubernetes_mode {
namespace {

namespace json = boost::json;

constexpr const char* kName = "dbproxy-operator";
constexpr const char* kNextSince = "next-since";
constexpr const char* kPromotedAt = "promoted-at";

std::string field(const json::object& secret, const char* key) {
  return webhook::decode_base64(kubernetes::text_at(secret, {"data", key})).value_or("");
}

bool ended(const pki::Authority& authority, const Clock& clock) {
  const Result<WallTime> end = pki::expires_at(authority.certificate_pem);
  return end.has_error() || end.value() <= clock.wall();
}

}  // namespace

Authorities authorities_of(const json::object& secret) {
  Authorities out;
  out.active = {field(secret, webhook::kCaCertificate), Secret(field(secret, webhook::kCaKey))};
  out.next = {field(secret, webhook::kNextCertificate), Secret(field(secret, webhook::kNextKey))};
  if (!out.next.certificate_pem.empty()) out.next_since = kubernetes::parse_time(field(secret, kNextSince));
  out.previous_pem = field(secret, webhook::kPreviousCertificate);
  if (!out.previous_pem.empty()) out.promoted_at = kubernetes::parse_time(field(secret, kPromotedAt));
  return out;
}

json::object to_data(const Authorities& from) {
  json::object out;
  const auto put = [&](const char* key, std::string_view text) {
    if (!text.empty()) out[key] = webhook::encode_base64(text);
  };
  put(webhook::kCaCertificate, from.active.certificate_pem);
  put(webhook::kCaKey, from.active.key_pem.reveal());
  put(webhook::kNextCertificate, from.next.certificate_pem);
  put(webhook::kNextKey, from.next.key_pem.reveal());
  if (from.next_since) put(kNextSince, kubernetes::second_time(*from.next_since));
  put(webhook::kPreviousCertificate, from.previous_pem);
  if (from.promoted_at) put(kPromotedAt, kubernetes::second_time(*from.promoted_at));
  return out;
}

Result<std::optional<Authorities>> advance(const Authorities& from, bool asked, const AuthorityPolicy& policy,
                                           const Clock& clock) {
  Authorities to = from;
  const WallTime now = clock.wall();
  // One step at a time: each is seen by everybody before the next.
  if (!to.previous_pem.empty()) {
    if (!to.promoted_at) {
      to.promoted_at = now;
      return std::optional<Authorities>(to);
    }
    if (now - *to.promoted_at < policy.overlap) return std::optional<Authorities>();
    to.previous_pem.clear();
    to.promoted_at.reset();
    return std::optional<Authorities>(to);
  }
  if (!to.next.certificate_pem.empty()) {
    if (!to.next_since) {
      to.next_since = now;
      return std::optional<Authorities>(to);
    }
    if (now - *to.next_since < policy.overlap && !ended(to.active, clock)) return std::optional<Authorities>();
    to.previous_pem = to.active.certificate_pem;
    to.active = to.next;
    to.next = {};
    to.next_since.reset();
    to.promoted_at = now;
    return std::optional<Authorities>(to);
  }
  const Result<bool> due = pki::needs_renewal(to.active.certificate_pem, clock);
  if (due.has_error()) return due.error();
  if (!due.value() && !asked) return std::optional<Authorities>();
  Result<pki::Authority> made = pki::make_authority(kName, policy.life, clock);
  if (made.has_error()) return made.error();
  to.next = std::move(made.value());
  to.next_since = now;
  return std::optional<Authorities>(to);
}

bool follows(const Authorities& before, const Authorities& after) {
  const std::string& pem = after.active.certificate_pem;
  return pem == before.active.certificate_pem || pem == before.next.certificate_pem ||
         after.previous_pem == before.active.certificate_pem;
}

}  // namespace dbproxy::kubernetes_mode
