// The sidecar's container and volumes, as JSON for a pod. Pure.
#pragma once

#include "operator/webhook/injection.hpp"
#include "operator/webhook/pod.hpp"

namespace dbproxy::webhook {

// Volumes that belong to the sidecar; those of the sockets and of the CA are for the application. The empty one hides
// the token of the pod's service account, with which the sidecar has no business: admission mounts that token wherever
// nothing is mounted in its place.
inline constexpr std::string_view kIdentityVolume = "dbproxy-identity";
inline constexpr std::string_view kStateVolume = "dbproxy-state";
inline constexpr std::string_view kSocketVolume = "dbproxy-sockets";
inline constexpr std::string_view kNoTokenVolume = "dbproxy-no-token";
inline constexpr std::string_view kSocketDirectory = "/var/run/dbproxy";
// What applications verify the sidecar's certificate against: ca.pem there, as it is for now (sslmode=verify-full).
inline constexpr std::string_view kCaVolume = "dbproxy-ca";
inline constexpr std::string_view kCaDirectory = "/etc/dbproxy";

// Where the sidecar leaves the token that applications show it for keys of AWS.
inline constexpr std::string_view kCredentialsTokenFile = "/var/run/dbproxy/aws-credentials-token";
bool lends_credentials(const json::object& pod);

json::array sidecar_volumes(const Settings& settings);
json::object socket_mount(bool read_only);
json::object ca_mount();

// `resources` as resources_of gives them; the pod says how long it may drain.
json::object sidecar_container(const json::object& pod, const std::string& name_space, const Settings& settings,
                               const std::vector<BoundProxy>& proxies, json::object resources);

// Requests and limits: from the pod's annotations, else such that a Guaranteed pod stays one, and with a limit of
// each kind that every other container has (quotas want that). `error` says which annotation is no quantity.
json::object resources_of(const json::object& pod, const Settings& settings, std::string& error);

}  // namespace dbproxy::webhook
