// AddressPolicy: which addresses a target may have, so that a DBProxy cannot make operator and sidecars talk to what
// only they can reach: themselves, their node, the cloud's metadata service, the cluster's Services.
//
// Asked twice: about the host as it is written, and about every address that its name has at the moment of each
// connect, since a name's owner can change those at any time. An address inside of another (IPv4-mapped, NAT64, 6to4)
// counts as what it leads to. Immutable; any thread. Special ranges: RFC 6890; metadata services: the clouds' manuals.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/config/snapshot.hpp"
#include "proxy/net/socket.hpp"

namespace dbproxy::net {

// "10.96.0.0/16", "fd00::/8", or a single address. IPv4 ranges hold IPv4-mapped addresses too.
struct AddressRange {
  std::array<std::uint8_t, 16> network{};  // IPv4 as ::ffff:a.b.c.d
  unsigned bits = 128;                     // of the 128

  static std::optional<AddressRange> parse(std::string_view text);
  bool contains(const std::array<std::uint8_t, 16>& address) const;
};

class AddressPolicy {
 public:
  AddressPolicy() = default;  // everything goes
  // Entries that are neither name nor range are left out: whoever reads them from people checks them first.
  // The pod's own addresses are those that local_addresses() gave when it was first needed, or `own`.
  explicit AddressPolicy(const config::EndpointPolicy& policy);
  AddressPolicy(const config::EndpointPolicy& policy, const std::vector<Address>& own);

  // "" or why no target may have that host, whatever its name means: "is …". A name that only its addresses can
  // decide about is let through.
  std::string refuse_host(const std::string& host) const;
  // "" or why not: "it is …". `host` is the name that led to it.
  std::string refuse_address(const std::string& host, const Address& address) const;
  // Those that may be connected to; when none is left, `error` says what the first one is.
  std::vector<Address> admit(const std::string& host, std::vector<Address> addresses, std::string& error) const;

  // Of the interfaces of this machine or pod, without loopback.
  static std::vector<Address> local_addresses();

 private:
  using Bytes = std::array<std::uint8_t, 16>;
  bool in_allowed_range(const Bytes& address) const;
  bool allowed_name(std::string_view host) const;

  bool restricted_ = false;
  std::vector<AddressRange> refused_, allowed_ranges_;
  std::vector<std::string> allowed_names_;  // lower case
  std::vector<Bytes> own_;
};

// Whether it is a name (with or without "*." or "." before it) or a range, as allowedEndpoints has them.
bool is_policy_entry(std::string_view text);

}  // namespace dbproxy::net
