#include "proxy/net/address_policy.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <charconv>
#include <cstring>
#include <ifaddrs.h>

namespace dbproxy::net {
namespace {

using Bytes = std::array<std::uint8_t, 16>;

constexpr unsigned kMappedBits = 96;  // of ::ffff:0:0/96

std::optional<Bytes> bytes_of(const Address& address) {
  Bytes out{};
  if (address.storage.ss_family == AF_INET6) {
    std::memcpy(out.data(), &reinterpret_cast<const sockaddr_in6*>(&address.storage)->sin6_addr, out.size());
    return out;
  }
  if (address.storage.ss_family != AF_INET) return std::nullopt;
  out[10] = out[11] = 0xff;
  std::memcpy(out.data() + 12, &reinterpret_cast<const sockaddr_in*>(&address.storage)->sin_addr, 4);
  return out;
}

Bytes mapped(const std::uint8_t* v4) {
  Bytes out{};
  out[10] = out[11] = 0xff;
  std::memcpy(out.data() + 12, v4, 4);
  return out;
}

AddressRange range(const char* text) {
  return *AddressRange::parse(text);
}

// Where the packets of an address end that has an IPv4 address inside.
Bytes unwrapped(const Bytes& address) {
  static const AddressRange kNat64 = range("64:ff9b::/96");
  static const AddressRange kNat64Local = range("64:ff9b:1::/48");
  static const AddressRange k6to4 = range("2002::/16");
  static const AddressRange kCompatible = range("::/96");
  static const AddressRange kLow = range("::/120");  // :: and ::1 themselves
  if (kNat64.contains(address) || kNat64Local.contains(address)) return mapped(address.data() + 12);
  if (k6to4.contains(address)) return mapped(address.data() + 2);
  if (kCompatible.contains(address) && !kLow.contains(address)) return mapped(address.data() + 12);
  return address;
}

struct Special {
  AddressRange range;
  const char* what;
};

// What it is, where nobody should be sent to it.
const char* special(const Bytes& address) {
  static const std::vector<Special> kSpecial{
      {range("169.254.169.254"), "the cloud's metadata service"},
      {range("169.254.170.2"), "the cloud's metadata service"},
      {range("169.254.170.23"), "the cloud's metadata service"},
      {range("100.100.100.200"), "the cloud's metadata service"},
      {range("168.63.129.16"), "the cloud's metadata service"},
      {range("fd00:ec2::/32"), "the cloud's metadata service"},
      {range("fd20:ce::254"), "the cloud's metadata service"},
      {range("127.0.0.0/8"), "a loopback address"},
      {range("::1"), "a loopback address"},
      {range("0.0.0.0/8"), "an unspecified address"},
      {range("::"), "an unspecified address"},
      {range("169.254.0.0/16"), "a link-local address"},
      {range("fe80::/10"), "a link-local address"},
      {range("224.0.0.0/4"), "a multicast address"},
      {range("ff00::/8"), "a multicast address"},
      {range("240.0.0.0/4"), "a reserved address"},
  };
  for (const Special& each : kSpecial) {
    if (each.range.contains(address)) return each.what;
  }
  return nullptr;
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

// Those of a pod stay what they are for as long as it lives.
const std::vector<Address>& own_addresses() {
  static const std::vector<Address> kOwn = AddressPolicy::local_addresses();
  return kOwn;
}

std::string_view bare_name(std::string_view text) {
  if (text.starts_with("*.")) text.remove_prefix(2);
  if (text.starts_with(".")) text.remove_prefix(1);
  if (text.ends_with(".")) text.remove_suffix(1);
  return text;
}

}  // namespace

std::optional<AddressRange> AddressRange::parse(std::string_view text) {
  const std::size_t slash = text.find('/');
  const std::optional<Address> address = numeric_address(std::string(text.substr(0, slash)), 0);
  if (!address) return std::nullopt;
  AddressRange out;
  out.network = *bytes_of(*address);
  const unsigned before = address->storage.ss_family == AF_INET ? kMappedBits : 0;
  if (slash != std::string_view::npos) {
    const std::string_view digits = text.substr(slash + 1);
    unsigned bits = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), bits);
    if (error != std::errc() || end != digits.data() + digits.size() || bits > 128 - before) return std::nullopt;
    out.bits = before + bits;
  }
  return out;
}

bool AddressRange::contains(const Bytes& address) const {
  const unsigned whole = bits / 8;
  if (!std::equal(network.begin(), network.begin() + whole, address.begin())) return false;
  if (bits % 8 == 0) return true;
  const unsigned shift = 8 - bits % 8;
  return network[whole] >> shift == address[whole] >> shift;
}

bool is_policy_entry(std::string_view text) {
  if (AddressRange::parse(text)) return true;
  const std::string_view name = bare_name(text);
  if (name.empty() || name.size() > 253 || name.find("..") != std::string_view::npos) return false;
  const bool digits = name.find_first_not_of("0123456789.") == std::string_view::npos;  // an address that is none
  return !digits && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '-' || c == '.' || c == '_';
  });
}

AddressPolicy::AddressPolicy(const config::EndpointPolicy& policy)
    : AddressPolicy(policy, policy.restricted ? own_addresses() : std::vector<Address>()) {}

AddressPolicy::AddressPolicy(const config::EndpointPolicy& policy, const std::vector<Address>& own)
    : restricted_(policy.restricted) {
  if (!restricted_) return;
  for (const std::string& each : policy.refused_ranges) {
    if (const auto parsed = AddressRange::parse(each)) refused_.push_back(*parsed);
  }
  for (const std::string& each : policy.allowed) {
    if (const auto parsed = AddressRange::parse(each)) {
      allowed_ranges_.push_back(*parsed);
    } else {
      allowed_names_.push_back(lower(bare_name(each)));
    }
  }
  for (const Address& each : own) {
    if (const auto bytes = bytes_of(each)) own_.push_back(*bytes);
  }
}

bool AddressPolicy::in_allowed_range(const Bytes& address) const {
  return std::any_of(allowed_ranges_.begin(), allowed_ranges_.end(),
                     [&](const AddressRange& each) { return each.contains(address); });
}

bool AddressPolicy::allowed_name(std::string_view host) const {
  const std::string name = lower(bare_name(host));
  return std::any_of(allowed_names_.begin(), allowed_names_.end(), [&](const std::string& each) {
    return name == each ||
           (name.size() > each.size() && name.ends_with(each) && name[name.size() - each.size() - 1] == '.');
  });
}

std::string AddressPolicy::refuse_host(const std::string& host) const {
  if (!restricted_) return {};
  if (host.empty() || host.front() == '/') return "is a path of this machine";
  if (const auto address = numeric_address(host, 0)) {
    std::string why = refuse_address(host, *address);
    if (why.starts_with("it ")) why.erase(0, 3);
    return why;
  }
  const std::string name = lower(bare_name(host));
  if ((name == "localhost" || name.ends_with(".localhost")) && allowed_ranges_.empty()) return "is a loopback address";
  const bool bounded = !allowed_names_.empty() || !allowed_ranges_.empty();
  if (bounded && allowed_ranges_.empty() && !allowed_name(host)) {
    return "is none of those that this installation allows (allowedEndpoints)";
  }
  return {};
}

std::string AddressPolicy::refuse_address(const std::string& host, const Address& address) const {
  if (!restricted_) return {};
  const std::optional<Bytes> bytes = bytes_of(address);
  if (!bytes) return "it is a path of this machine";
  const Bytes ends_at = unwrapped(*bytes);
  // A range that the installation names is meant, whatever it is.
  if (in_allowed_range(*bytes) && in_allowed_range(ends_at)) return {};
  if (const char* what = special(ends_at)) return std::string("it is ") + what;
  if (std::find(own_.begin(), own_.end(), ends_at) != own_.end()) return "it is an address of the pod itself";
  for (const AddressRange& each : refused_) {
    if (each.contains(ends_at)) return "it is in the cluster's range of Services";
  }
  const bool bounded = !allowed_names_.empty() || !allowed_ranges_.empty();
  if (bounded && !allowed_name(host)) return "it is none of those that this installation allows (allowedEndpoints)";
  return {};
}

std::vector<Address> AddressPolicy::admit(const std::string& host, std::vector<Address> addresses,
                                          std::string& error) const {
  if (!restricted_) return addresses;
  std::vector<Address> out;
  for (const Address& each : addresses) {
    const std::string why = refuse_address(host, each);
    if (why.empty()) {
      out.push_back(each);
    } else if (error.empty()) {
      error = "the address is refused: " + why;
    }
  }
  if (!out.empty()) error.clear();
  return out;
}

std::vector<Address> AddressPolicy::local_addresses() {
  std::vector<Address> out;
  ifaddrs* list = nullptr;
  if (::getifaddrs(&list) != 0) return out;
  for (const ifaddrs* at = list; at != nullptr; at = at->ifa_next) {
    if (at->ifa_addr == nullptr) continue;
    Address address;
    if (at->ifa_addr->sa_family == AF_INET) {
      address.size = sizeof(sockaddr_in);
    } else if (at->ifa_addr->sa_family == AF_INET6) {
      address.size = sizeof(sockaddr_in6);
    } else {
      continue;
    }
    std::memcpy(&address.storage, at->ifa_addr, address.size);
    out.push_back(address);
  }
  ::freeifaddrs(list);
  return out;
}

}  // namespace dbproxy::net
