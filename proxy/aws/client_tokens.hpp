// ClientTokens: what clients send in their password's place to show who they are in AWS (auth[].iamAuth).
//
// Three kinds are taken. A token for a database (`aws rds generate-db-auth-token`), made for the proxy's own endpoint,
// is good if it was signed with keys that this process has or has lent: its signature is made again and compared. One
// that was made for the database's own endpoint is shown to the database. A presigned call of sts:GetCallerIdentity,
// with the endpoint and the user as a signed header (`dbproxyctl token --proxy`), is sent to STS. Where `principals`
// says who may come, whoever STS says signed it has to be among them. All are good for 15 minutes at most, from when
// they say that they were made, with five minutes for clocks that differ.
//
// verify() blocks, for STS, for the database or while credentials are fetched; any thread. What STS or the database has
// said is kept by hash for as long as the token is good.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/aws/own_keys.hpp"
#include "proxy/base/secret.hpp"

namespace dbproxy::aws {

// The signed header of a call of GetCallerIdentity that is meant for a dbproxy: audience_of(subject).
inline constexpr const char* kAudienceHeader = "x-dbproxy-audience";
inline constexpr std::size_t kMaxClientToken = 8000;

struct ClientTokenSubject {
  std::string host;  // the name by which tokens know the endpoint: iam_host()
  std::uint16_t port = 0;
  std::string user;
  std::string region;   // empty: any
  std::string sts_url;  // empty: AWS's own
  std::vector<std::string> principals;
  // Has the database say whether this token lets the user in. Unset: it takes a password of this user, and no token.
  std::function<Outcome<bool>(const Secret& token)> ask_database = {};
};

// "NAME.NAMESPACE.dbproxy"
std::string iam_host(const std::string& name_space, const std::string& name);
// How AWS writes the id of a proxy: "prx-" and 17 hexadecimal digits, of which namespace and name are the source.
std::string resource_id(const std::string& name_space, const std::string& name);
std::string audience_of(const std::string& host, std::uint16_t port, const std::string& user);

// A call of GetCallerIdentity for this endpoint and user, as a URL.
Outcome<Secret> make_client_token(const Environment& environment, const ClientTokenSubject& subject,
                                  const Credentials& credentials, WallTime now);

class ClientTokens {
 public:
  ClientTokens(Environment environment, const Clock& clock);
  ClientTokens(Environment environment, std::shared_ptr<OwnKeys> keys, const Clock& clock);

  OwnKeys& own_keys() { return *keys_; }
  // Who it is, in words. The failure's words name no part of the token but what it says it is for.
  Outcome<std::string> verify(const Secret& token, const ClientTokenSubject& subject);

 private:
  struct Kept {
    std::string who;
    WallTime until;
  };
  Outcome<std::string> verify_database_token(std::string_view token, const ClientTokenSubject& subject);
  Outcome<std::string> verify_by_database(std::string_view token, const ClientTokenSubject& subject);
  std::string kept(const std::string& hash, WallTime now);
  void keep(const std::string& hash, std::string who, WallTime until);
  Outcome<std::string> verify_caller(std::string_view token, const ClientTokenSubject& subject);

  const Environment environment_;
  const Clock& clock_;
  const std::shared_ptr<OwnKeys> keys_;
  std::mutex mutex_;
  std::map<std::string, Kept> kept_;  // by hash
};

}  // namespace dbproxy::aws
