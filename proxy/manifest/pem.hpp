// What manifests hold in PEM, judged: "" where it is good, else the rule that is broken. Internal to proxy/manifest.
#pragma once

#include <string>
#include <string_view>

#include "proxy/base/secret.hpp"

namespace dbproxy::manifest {

// One or more certificates.
std::string check_pem_certificates(std::string_view pem);
// A certificate, perhaps with its issuers after it, and the key that belongs to it.
std::string check_pem_pair(std::string_view certificate_pem, const Secret& key_pem);

}  // namespace dbproxy::manifest
