#include "proxy/worker/pod_identity.hpp"

#include <algorithm>
#include <unistd.h>

#include "proxy/net/socket.hpp"

namespace dbproxy::worker {

session::PodIdentity pod_identity(const config::Snapshot& snapshot, bool own_user_only, bool unix_socket, int fd) {
  const auto& wanted = snapshot.pod_identity;
  if (!wanted.enabled) return session::PodIdentity::kOff;
  bool trusted = false;
  if (unix_socket) {
    const auto user = net::peer_user(fd);
    const bool listed = user && std::find(wanted.uids.begin(), wanted.uids.end(), *user) != wanted.uids.end();
    const bool anybody = own_user_only ? user && (*user == 0 || *user == ::geteuid()) : wanted.uids.empty();
    trusted = user && (listed || anybody);
  } else {
    trusted = wanted.loopback_tcp && net::peer_is_loopback(fd);
  }
  return trusted ? session::PodIdentity::kTrusted : session::PodIdentity::kElsewhere;
}

}  // namespace dbproxy::worker
