// What the server says to a peer that is not a well-behaved sidecar. The raw stub, over TLS on loopback.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>
#include <thread>

#include "dbproxy/v1/control.grpc.pb.h"

#include "operator/control/server.hpp"

namespace dbproxy::operator_control {
namespace {

using namespace std::chrono_literals;

class RefusalTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/dbproxy-refusal-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
    const auto files = pki::load_or_create(directory_, {.common_name = "operator", .addresses = {"127.0.0.1"}}, clock_);
    tokens_ = std::make_unique<FileTokenStore>(directory_);
    std::ifstream(tokens_->ensure("one").value()) >> token_;
    ServerOptions options;
    options.listen = "127.0.0.1:0";
    options.identity = files.value().server;
    options.hello_timeout = 100ms;
    options.messages_per_second = 1;
    options.message_burst = 5;
    server_ = std::make_unique<Server>(options, *tokens_, registry_, clock_);
    ASSERT_EQ(server_->start(), "");
    grpc::SslCredentialsOptions tls;
    tls.pem_root_certs = files.value().authority.certificate_pem;
    channel_ = grpc::CreateChannel("127.0.0.1:" + std::to_string(server_->port()), grpc::SslCredentials(tls));
  }
  void TearDown() override {
    server_.reset();
    std::filesystem::remove_all(directory_);
  }

  // Sends these, reads to the end, and returns how it ended.
  grpc::Status talk(const std::string& authorization, const std::vector<v1::SidecarMessage>& messages) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + 10s);
    if (!authorization.empty()) context.AddMetadata("authorization", authorization);
    const auto stub = v1::Control::NewStub(channel_);
    const auto stream = stub->Connect(&context);
    for (const v1::SidecarMessage& message : messages) stream->Write(message);
    v1::OperatorMessage received;
    while (stream->Read(&received)) ADD_FAILURE() << "something was served";
    return stream->Finish();
  }
  static v1::SidecarMessage hello(const std::string& identity) {
    v1::SidecarMessage message;
    message.mutable_hello()->set_identity(identity);
    return message;
  }

  SystemClock clock_;
  metrics::Registry registry_;
  std::string directory_, token_;
  std::unique_ptr<FileTokenStore> tokens_;
  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(RefusalTest, AReplicaThatDoesNotLeadNamesTheOneThatDoes) {
  server_->publish({});
  server_->lead(false);
  EXPECT_EQ(talk("Bearer " + token_, {hello("one")}).error_code(), grpc::StatusCode::UNAVAILABLE);
  server_->lead(false, [] { return std::string("10.0.0.7:9931"); });
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + 10s);
  context.AddMetadata("authorization", "Bearer " + token_);
  const auto stub = v1::Control::NewStub(channel_);
  const auto stream = stub->Connect(&context);
  stream->Write(hello("one"));
  v1::OperatorMessage received;
  ASSERT_TRUE(stream->Read(&received));
  EXPECT_EQ(received.redirect().address(), "10.0.0.7:9931");
  EXPECT_TRUE(context.GetServerInitialMetadata().contains("dbproxy-operator-version"));
  EXPECT_FALSE(stream->Read(&received));
  EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(RefusalTest, ByCode) {
  server_->publish({});
  const std::string good = "Bearer " + token_;
  EXPECT_EQ(talk("", {hello("one")}).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(talk("Basic " + token_, {hello("one")}).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(talk("Bearer wrong", {hello("one")}).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(talk(good, {hello("two")}).error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(talk(good, {hello("../one")}).error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(talk(good, {v1::SidecarMessage()}).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(talk(good, {hello("one"), hello("one")}).error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

// What it says beyond this version is passed over, and it is served.
TEST_F(RefusalTest, ANewerSidecarIsNotRefused) {
  auto snapshot = std::make_shared<config::Snapshot>();
  snapshot->name_space = "shop";
  snapshot->name = "orders";
  snapshot->version = 7;
  server_->publish({{"shop/orders", snapshot}});
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + 10s);
  context.AddMetadata("authorization", "Bearer " + token_);
  const auto stub = v1::Control::NewStub(channel_);
  const auto stream = stub->Connect(&context);
  v1::SidecarMessage greeting = hello("one");
  v1::Hello& fields = *greeting.mutable_hello();
  fields.add_features("what-is-to-come");
  fields.GetReflection()->MutableUnknownFields(&fields)->AddVarint(900, 1);
  stream->Write(greeting);
  v1::SidecarMessage unknown;
  unknown.GetReflection()->MutableUnknownFields(&unknown)->AddLengthDelimited(901, "a kind of message that is to come");
  stream->Write(unknown);
  v1::OperatorMessage received;
  ASSERT_TRUE(stream->Read(&received));
  EXPECT_EQ(received.config().snapshot().version(), 7u);
  v1::SidecarMessage reply;
  reply.mutable_config_reply()->set_proxy("shop/orders");
  reply.mutable_config_reply()->set_nonce(received.config().nonce());
  reply.mutable_config_reply()->set_version(7);
  stream->Write(reply);
  const auto end = std::chrono::steady_clock::now() + 10s;
  while (server_->counts("shop/orders").updated == 0 && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(2ms);
  }
  EXPECT_EQ(server_->counts("shop/orders").updated, 1u);
  context.TryCancel();
  stream->Finish();
}

TEST_F(RefusalTest, NoHelloInTime) {
  EXPECT_EQ(talk("Bearer " + token_, {}).error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
}

TEST_F(RefusalTest, TooManyMessages) {
  std::vector<v1::SidecarMessage> flood{hello("one")};
  v1::SidecarMessage status;
  status.mutable_status()->set_proxy("a/b");
  for (int i = 0; i < 10; ++i) flood.push_back(status);
  EXPECT_EQ(talk("Bearer " + token_, flood).error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(RefusalTest, TooLargeAMessage) {
  v1::SidecarMessage message = hello("one");
  message.mutable_hello()->set_software_version(std::string(5 * 1024 * 1024, 'x'));
  EXPECT_FALSE(talk("Bearer " + token_, {message}).ok());
}

}  // namespace
}  // namespace dbproxy::operator_control
