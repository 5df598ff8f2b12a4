// What AWS might answer, and what clients might show for a token of AWS: any bytes, read by the one that the first byte
// names. Values within their bounds, or a failure in words that hold no control character and none of the secrets.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <set>
#include <string>

#include "proxy/aws/client_tokens.hpp"
#include "proxy/aws/database_token.hpp"
#include "proxy/aws/grants.hpp"
#include "proxy/aws/readers.hpp"
#include "proxy/aws/service_error.hpp"
#include "proxy/aws/sts.hpp"
#include "proxy/base/clock.hpp"

using namespace dbproxy;

namespace {

void must(bool good) {
  if (!good) std::abort();
}

void shown(const aws::Failure& failure) {
  must(!failure || !failure.what.empty());
  for (const char c : failure.what + failure.remedy) must(static_cast<unsigned char>(c) >= ' ');
}

void credentials(const aws::Outcome<aws::Credentials>& read) {
  shown(read.failure);
  if (read.ok()) must(!read.value.access_key_id.empty() && !read.value.secret_access_key.empty());
}

void cluster(const std::string& text) {
  std::set<std::string> writers;
  aws::DescribedCluster out = aws::read_cluster(text, writers);
  must(out.endpoint.size() <= 253 && out.reader_endpoint.size() <= 253 && writers.size() <= aws::kMaxMembers);
  aws::read_instances(text, writers, out);
  must(out.members.size() <= aws::kMaxMembers);
  std::set<std::string> ids;
  for (const aws::ClusterMember& each : out.members) {
    must(!each.id.empty() && each.id.size() <= 63 && ids.insert(each.id).second && each.port != 0);
    must(!each.host.empty() && each.host.size() <= 253 && each.host.find_first_of("/@ \r\n\t\0") == std::string::npos);
  }
}

// No database and no STS is there to be asked: nobody is let in but by the one token that is right.
void token(const std::string& text) {
  static const ManualClock clock;
  const auto environment = [](const std::string& name) {
    if (name == "AWS_ACCESS_KEY_ID") return std::string("AKIA");
    if (name == "AWS_SECRET_ACCESS_KEY") return std::string("s");
    return name == "AWS_ENDPOINT_URL_STS" ? std::string("http://127.0.0.1:1") : std::string();
  };
  static aws::ClientTokens tokens(environment, clock);
  static const std::string good(aws::make_database_token("orders.shop.dbproxy", 5432, "app", "us-east-2",
                                                         *tokens.own_keys().own().value, clock.wall())
                                    .reveal());
  aws::ClientTokenSubject subject{"orders.shop.dbproxy", 5432, "app", "us-east-2", "", {}};
  const auto who = tokens.verify(Secret(text), subject);
  must(who.ok() == (text == good));
  shown(who.failure);
  int asked = 0;
  subject.ask_database = [&](const Secret& shown_to_it) -> aws::Outcome<bool> {
    ++asked;
    must(shown_to_it.reveal() == text && text.size() <= aws::kMaxClientToken);
    return false;
  };
  const auto by_database = tokens.verify(Secret(text), subject);
  must(by_database.ok() == (text == good));
  must(asked <= 1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  aws::Reply reply{200, text, {}};
  switch (data[0] % 8) {
    case 0:
      cluster(text);
      break;
    case 1:
      credentials(aws::read_sts_credentials(reply, "STS"));
      break;
    case 2:
      credentials(aws::read_json_credentials(reply, "instance metadata"));
      break;
    case 3: {
      bool found = false;
      const aws::Credentials read = aws::read_profile(text, "default", found);
      must(found || read.access_key_id.empty());
      break;
    }
    case 4: {
      const auto read = aws::read_secret_answer(reply, "arn");
      shown(read.failure);
      if (read.ok()) must(!read.value.username.empty() && read.value.username.size() <= 63);
      if (read.ok()) must(!read.value.password.empty() && read.value.password.reveal().size() <= 4096);
      break;
    }
    case 5:
      shown(aws::service_failure({static_cast<unsigned>(400 + size % 200), text, {}}, "it", "a:B", "c"));
      shown(aws::service_failure({403, {}, text}, "it", "a:B", "c"));
      break;
    case 6:
      token(text);
      break;
    default: {
      const auto url = aws::parse_url(text);
      if (url.ok()) must(!url.value.host.empty() && url.value.port != 0 && url.value.path.starts_with('/'));
      aws::parse_time(text);
      aws::region_of_host(text);
      const aws::Arn arn = aws::parse_arn(text);
      must(arn.resource.size() <= text.size());
      const std::size_t half = text.size() / 2;
      aws::matches(text.substr(0, half), text.substr(half));
      const aws::Grant grant = aws::parse_grant(text);
      must(grant.pattern.size() <= text.size());
    }
  }
  return 0;
}
