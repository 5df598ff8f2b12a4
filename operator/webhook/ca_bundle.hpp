// The CA's Secret, as far as everybody has to trust what is in it. Pure.
#pragma once

#include <string>

#include "operator/kubernetes/json.hpp"

namespace dbproxy::webhook {

// Keys of the Secret's data: the authority that signs; one that will, with its key; and one that did, which are trusted
// as well.
inline constexpr const char* kCaCertificate = "tls.crt";
inline constexpr const char* kCaKey = "tls.key";
inline constexpr const char* kNextCertificate = "next.crt";
inline constexpr const char* kNextKey = "next.key";
inline constexpr const char* kPreviousCertificate = "previous.crt";

// All of these certificates in PEM, the one that signs first; "" where the Secret has none.
std::string ca_bundle(const kubernetes::json::object& secret);

}  // namespace dbproxy::webhook
