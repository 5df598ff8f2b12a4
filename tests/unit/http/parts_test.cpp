#include <gtest/gtest.h>

#include "proxy/http/address.hpp"
#include "proxy/http/message.hpp"
#include "proxy/http/router.hpp"

namespace dbproxy::http {
namespace {

TEST(Address, ReadsWhatPeopleWrite) {
  EXPECT_EQ(parse_address("127.0.0.1:9930"), (Address{"127.0.0.1", 9930}));
  EXPECT_EQ(parse_address("[::1]:9930"), (Address{"::1", 9930}));
  EXPECT_EQ(parse_address(":9930"), (Address{"", 9930}));
  EXPECT_EQ(parse_address("operator.ns.svc:9932"), (Address{"operator.ns.svc", 9932}));
  for (const char* wrong :
       {"", "host", "host:", "host:x", "host:70000", "host:-1", "::1:80", "http://host:80", "a b:1"}) {
    EXPECT_FALSE(parse_address(wrong)) << wrong;
  }
  EXPECT_EQ(to_string({"::1", 80}), "[::1]:80");
  EXPECT_EQ(to_string({"h", 80}), "h:80");
}

TEST(Request, FindsHeadersAndParameters) {
  Request request;
  request.headers = {{"X-One", "1"}};
  request.query = "a=1&b&c=x=y";
  EXPECT_EQ(request.header("x-one"), "1");
  EXPECT_EQ(request.header("x-two"), "");
  EXPECT_EQ(request.parameter("a"), "1");
  EXPECT_EQ(request.parameter("b"), "");
  EXPECT_EQ(request.parameter("c"), "x=y");
  EXPECT_EQ(request.parameter("d"), "");
}

TEST(Router, KnowsNamesThatMeanThisMachine) {
  for (const char* direct : {"", "localhost", "localhost:9930", "127.0.0.1:1", "10.0.0.1", "[::1]:80", "[::1]"}) {
    EXPECT_TRUE(host_is_direct(direct)) << direct;
  }
  for (const char* foreign : {"evil.example", "evil.example:80", "127.0.0.1.evil.example", "[", "[evil]", "[::1"}) {
    EXPECT_FALSE(host_is_direct(foreign)) << foreign;
  }
}

}  // namespace
}  // namespace dbproxy::http
