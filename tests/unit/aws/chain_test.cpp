// Each source of credentials on a stand-in of its service on loopback; the order of them, and what is said when one
// fails.
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <map>
#include <unistd.h>

#include "proxy/aws/credential_chain.hpp"
#include "proxy/http/server.hpp"

namespace dbproxy::aws {
namespace {

using testing::HasSubstr;
using testing::Not;
using Kind = Failure::Kind;

constexpr const char* kKeys =
    R"({"AccessKeyId":"ASIAPOD","SecretAccessKey":"pod-secret","Token":"pod-token","Expiration":"2030-01-02T03:04:05Z"})";
constexpr const char* kStsAnswer =
    "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>ASIAWEB</"
    "AccessKeyId>"
    "<SecretAccessKey>web-secret</SecretAccessKey><SessionToken>web&amp;token</SessionToken>"
    "<Expiration>2030-01-02T03:04:05.123Z</Expiration></Credentials></AssumeRoleWithWebIdentityResult>"
    "</AssumeRoleWithWebIdentityResponse>";

class ChainTest : public testing::Test {
 protected:
  ChainTest() : directory_(std::filesystem::temp_directory_path() / ("aws-chain-" + std::to_string(getpid()))) {
    std::filesystem::create_directories(directory_);
    set("AWS_EC2_METADATA_DISABLED", "true");
  }
  ~ChainTest() override {
    server_.reset();
    std::filesystem::remove_all(directory_);
  }

  void set(const std::string& name, const std::string& value) { variables_[name] = value; }
  std::string file(const std::string& name, const std::string& text) {
    const auto path = directory_ / name;
    std::ofstream(path) << text;
    return path;
  }
  Environment environment() {
    return [this](const std::string& name) {
      const auto it = variables_.find(name);
      return it == variables_.end() ? std::string() : it->second;
    };
  }
  Outcome<Credentials> find() { return find_credentials(environment()); }

  // `answer` sees every request for the path.
  std::string serve(const std::string& method, const std::string& path, const http::Handler& answer) {
    if (!server_) server_ = std::make_unique<http::Server>(http::ServerOptions{});
    server_->route(method, path, answer);
    return path;
  }
  std::string start() {
    EXPECT_EQ(server_->start(), "");
    return "http://127.0.0.1:" + std::to_string(server_->port());
  }
  static http::Handler always(unsigned status, const std::string& body) {
    return [=](const http::Request&) { return http::Response{status, "text/plain", body}; };
  }

  std::map<std::string, std::string> variables_;
  std::filesystem::path directory_;
  std::unique_ptr<http::Server> server_;
};

TEST_F(ChainTest, SaysWhatWasTriedWhereNothingIsThere) {
  const auto found = find();
  EXPECT_EQ(found.failure.kind, Kind::kNotConfigured);
  EXPECT_THAT(to_text(found.failure), HasSubstr("no AWS credentials"));
  EXPECT_THAT(to_text(found.failure), HasSubstr("IRSA"));
}

TEST_F(ChainTest, TakesTheEnvironmentFirst) {
  set("AWS_ACCESS_KEY_ID", "AKIAENV");
  set("AWS_SECRET_ACCESS_KEY", "s");
  set("AWS_SESSION_TOKEN", "t");
  set("AWS_WEB_IDENTITY_TOKEN_FILE", "/nonexistent");
  const auto found = find();
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found.value.access_key_id, "AKIAENV");
  EXPECT_EQ(found.value.session_token.reveal(), "t");
  EXPECT_EQ(found.value.source, "environment");
}

TEST_F(ChainTest, NamesTheHalfThatIsMissing) {
  set("AWS_ACCESS_KEY_ID", "AKIAENV");
  EXPECT_THAT(find().failure.what, HasSubstr("AWS_SECRET_ACCESS_KEY is not set"));
}

TEST_F(ChainTest, ExchangesAWebIdentityForCredentials) {
  std::string body;
  serve("POST", "/", [&](const http::Request& request) {
    body = request.body;
    return http::Response{200, "text/xml", kStsAnswer};
  });
  set("AWS_ENDPOINT_URL_STS", start());
  set("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/app");
  set("AWS_WEB_IDENTITY_TOKEN_FILE", file("token", "header.payload.signature\n"));
  const auto found = find();
  ASSERT_TRUE(found.ok()) << to_text(found.failure);
  EXPECT_EQ(found.value.access_key_id, "ASIAWEB");
  EXPECT_EQ(found.value.session_token.reveal(), "web&token");
  EXPECT_EQ(*found.value.expires, *parse_time("2030-01-02T03:04:05Z"));
  EXPECT_EQ(body,
            "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fapp"
            "&RoleSessionName=dbproxy&WebIdentityToken=header.payload.signature");
}

TEST_F(ChainTest, StopsAtAWebIdentityThatIsRefused) {
  serve("POST", "/",
        always(403,
               "<ErrorResponse><Error><Code>AccessDenied</Code><Message>Not authorized to perform "
               "sts:AssumeRoleWithWebIdentity</Message></Error></ErrorResponse>"));
  set("AWS_ENDPOINT_URL_STS", start());
  set("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/app");
  set("AWS_WEB_IDENTITY_TOKEN_FILE", file("token", "t"));
  set("AWS_SHARED_CREDENTIALS_FILE", file("credentials", "[default]\naws_access_key_id=A\naws_secret_access_key=B\n"));
  const auto found = find();
  EXPECT_EQ(found.failure.kind, Kind::kDenied);
  EXPECT_THAT(to_text(found.failure), HasSubstr("web identity for arn:aws:iam::123456789012:role/app"));
  EXPECT_THAT(to_text(found.failure), HasSubstr("trust policy"));
}

TEST_F(ChainTest, NamesTheTokenFileThatIsMissing) {
  set("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/app");
  set("AWS_WEB_IDENTITY_TOKEN_FILE", "/nonexistent/token");
  EXPECT_THAT(find().failure.what, HasSubstr("/nonexistent/token"));
  set("AWS_ROLE_ARN", "");
  EXPECT_THAT(find().failure.what, HasSubstr("AWS_ROLE_ARN is not"));
}

TEST_F(ChainTest, ReadsAProfileOfTheCredentialsFile) {
  const std::string path = file("credentials",
                                "# two of them\n[default]\naws_access_key_id = AKIADEFAULT\n"
                                "aws_secret_access_key = one\n\n[ other ]\naws_access_key_id=AKIAOTHER\n"
                                "aws_secret_access_key=a=b\naws_session_token=tok\n");
  set("AWS_SHARED_CREDENTIALS_FILE", path);
  EXPECT_EQ(find().value.access_key_id, "AKIADEFAULT");
  set("AWS_PROFILE", "other");
  EXPECT_EQ(find().value.access_key_id, "AKIAOTHER");
  EXPECT_EQ(find().value.secret_access_key.reveal(), "a=b");
  set("AWS_PROFILE", "third");
  EXPECT_THAT(find().failure.what, HasSubstr("no keys in profile third"));
  EXPECT_THAT(to_text(find().failure), Not(HasSubstr("one")));
}

TEST_F(ChainTest, AsksTheContainersAgentWithTheTokenFromItsFile) {
  std::string token;
  serve("GET", "/v1/credentials", [&](const http::Request& request) {
    token = request.header("authorization");
    return http::Response{200, "application/json", kKeys};
  });
  set("AWS_CONTAINER_CREDENTIALS_FULL_URI", start() + "/v1/credentials");
  set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", file("pod-token", "first\n"));
  ASSERT_TRUE(find().ok());
  EXPECT_EQ(token, "first");
  file("pod-token", "second");
  const auto found = find();
  EXPECT_EQ(token, "second");
  EXPECT_EQ(found.value.access_key_id, "ASIAPOD");
  EXPECT_EQ(found.value.secret_access_key.reveal(), "pod-secret");
  EXPECT_TRUE(found.value.expires);
}

TEST_F(ChainTest, SendsNoTokenToStrangers) {
  set("AWS_CONTAINER_AUTHORIZATION_TOKEN", "x");
  for (const char* url : {"http://203.0.113.1/c", "http://agent.example/c", "http://169.254.169.254/c"}) {
    set("AWS_CONTAINER_CREDENTIALS_FULL_URI", url);
    EXPECT_EQ(find().failure.kind, Kind::kMalformed) << url;
    EXPECT_THAT(find().failure.what, HasSubstr("neither this machine")) << url;
  }
}

TEST_F(ChainTest, SaysWhatIsWrongWithTheContainersAnswer) {
  serve("GET", "/garbage", always(200, "<html>"));
  serve("GET", "/none", always(404, "no association"));
  const std::string base = start();
  set("AWS_CONTAINER_CREDENTIALS_FULL_URI", base + "/garbage");
  EXPECT_THAT(find().failure.what, HasSubstr("holds no credentials"));
  set("AWS_CONTAINER_CREDENTIALS_FULL_URI", base + "/none");
  EXPECT_THAT(to_text(find().failure), HasSubstr("Pod Identity association"));
  set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/c");
  EXPECT_EQ(find().failure.kind, Kind::kUnreachable);
}

TEST_F(ChainTest, AsksTheInstanceByVersionTwo) {
  serve("PUT", "/latest/api/token", [](const http::Request& request) {
    EXPECT_EQ(request.header("x-aws-ec2-metadata-token-ttl-seconds"), "21600");
    return http::Response{200, "text/plain", "session"};
  });
  serve("GET", "/latest/meta-data/iam/security-credentials/", [](const http::Request& request) {
    EXPECT_EQ(request.header("x-aws-ec2-metadata-token"), "session");
    return http::Response{200, "text/plain", "node-role"};
  });
  serve("GET", "/latest/meta-data/iam/security-credentials/node-role", [](const http::Request& request) {
    EXPECT_EQ(request.header("x-aws-ec2-metadata-token"), "session");
    return http::Response{200, "application/json", kKeys};
  });
  set("AWS_EC2_METADATA_SERVICE_ENDPOINT", start() + "/");
  set("AWS_EC2_METADATA_DISABLED", "");
  ASSERT_TRUE(find().ok()) << to_text(find().failure);
  EXPECT_EQ(find().value.source, "instance metadata");
}

TEST_F(ChainTest, NeverFallsBackToVersionOne) {
  bool asked = false;
  serve("PUT", "/latest/api/token", always(403, "hop limit"));
  serve("GET", "/latest/meta-data/iam/security-credentials/", [&](const http::Request&) {
    asked = true;
    return http::Response{200, "text/plain", "node-role"};
  });
  set("AWS_EC2_METADATA_SERVICE_ENDPOINT", start());
  set("AWS_EC2_METADATA_DISABLED", "");
  EXPECT_THAT(to_text(find().failure), HasSubstr("hop limit of 2"));
  EXPECT_FALSE(asked);
}

TEST_F(ChainTest, AssumesARole) {
  std::string body, authorization;
  serve("POST", "/", [&](const http::Request& request) {
    body = request.body;
    authorization = request.header("authorization");
    return http::Response{200, "text/xml", kStsAnswer};
  });
  set("AWS_ENDPOINT_URL", start());
  Credentials mine;
  mine.access_key_id = "AKIA";
  mine.secret_access_key = Secret("s");
  const auto role = assume_role(environment(), {"us-east-2", ""}, "arn:aws:iam::1:role/r", "dbproxy", mine, WallTime{});
  ASSERT_TRUE(role.ok()) << to_text(role.failure);
  EXPECT_EQ(role.value.access_key_id, "ASIAWEB");
  EXPECT_EQ(body,
            "Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr&RoleSessionName=dbproxy");
  EXPECT_THAT(authorization, HasSubstr("Credential=AKIA/19700101/us-east-2/sts/aws4_request"));
}

TEST_F(ChainTest, SaysWhichPermissionAnAssumedRoleNeeds) {
  serve("POST", "/",
        always(403, "<ErrorResponse><Error><Code>AccessDenied</Code><Message>no</Message></Error></ErrorResponse>"));
  set("AWS_ENDPOINT_URL_STS", start());
  const auto role = assume_role(environment(), {}, "arn:aws:iam::1:role/r", "dbproxy", {}, WallTime{});
  EXPECT_EQ(role.failure.kind, Kind::kDenied);
  EXPECT_THAT(to_text(role.failure), HasSubstr("allow sts:AssumeRole on arn:aws:iam::1:role/r"));
}

}  // namespace
}  // namespace dbproxy::aws
