// The client with an operator that takes its time: gRPC's own synchronous server, over TLS on loopback.
#include "proxy/control/client.hpp"

#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>
#include <mutex>
#include <thread>

#include "dbproxy/v1/control.grpc.pb.h"

#include "proxy/base/clock.hpp"
#include "proxy/pki/pki.hpp"

namespace dbproxy::control {
namespace {

using namespace std::chrono_literals;

// Takes the Hello, and reads no further until the sidecar has left, or for as long as its patience lasts.
class SlowOperator final : public v1::Control::Service {
 public:
  grpc::Status Connect(grpc::ServerContext* context,
                       grpc::ServerReaderWriter<v1::OperatorMessage, v1::SidecarMessage>* stream) override {
    v1::SidecarMessage message;
    if (!stream->Read(&message)) return grpc::Status::CANCELLED;
    context->AddInitialMetadata("dbproxy-operator-version", "test");
    stream->SendInitialMetadata();
    for (const auto until = std::chrono::steady_clock::now() + patience.load();
         !context->IsCancelled() && std::chrono::steady_clock::now() < until;) {
      std::this_thread::sleep_for(1ms);
    }
    while (stream->Read(&message)) {
      if (message.has_budget_report() && message.budget_report().leaving()) ++left;
    }
    ++streams;
    return grpc::Status::OK;
  }
  std::atomic<std::chrono::milliseconds> patience{300ms};
  std::atomic<int> left{0}, streams{0};
};

class ClientTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/dbproxy-client-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
    const pki::LeafRequest request{.common_name = "operator", .dns_names = {"localhost"}, .addresses = {"127.0.0.1"}};
    const pki::ServerFiles files = pki::load_or_create(directory_, request, clock_).value();
    std::ofstream(directory_ + "/token") << "a-token\n";
    grpc::SslServerCredentialsOptions tls;
    tls.pem_key_cert_pairs = {{std::string(files.server.key_pem.reveal()), files.server.certificate_pem}};
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::SslServerCredentials(tls), &port_);
    builder.RegisterService(&operator_);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    ClientOptions options;
    options.operator_address = "127.0.0.1:" + std::to_string(port_);
    options.ca_file = directory_ + "/ca.pem";
    options.token_file = directory_ + "/token";
    options.identity = "one";
    options.backoff_base = options.backoff_cap = 1ms;
    ClientCallbacks callbacks;
    callbacks.connected = [this](bool up) {
      const std::lock_guard lock(mutex_);
      up_ = up;
      changed_.notify_all();
    };
    client_ = std::make_unique<Client>(options, callbacks, registry_, clock_);
    client_->start();
    std::unique_lock lock(mutex_);
    ASSERT_TRUE(changed_.wait_for(lock, 10s, [this] { return up_; }));
  }
  void TearDown() override {
    client_.reset();
    server_->Shutdown(std::chrono::system_clock::now());
    std::filesystem::remove_all(directory_);
  }

  SystemClock clock_;
  metrics::Registry registry_;
  std::string directory_;
  int port_ = 0;
  SlowOperator operator_;
  std::unique_ptr<grpc::Server> server_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool up_ = false;
  std::unique_ptr<Client> client_;
};

TEST_F(ClientTest, WhatIsReportedLastIsReadBeforeTheStreamEnds) {
  budget::Report report;
  report.leaving = true;
  constexpr int kProxies = 60;  // more than are written in one burst
  for (int i = 0; i < kProxies; ++i) client_->report("shop/orders-" + std::to_string(i), report);
  client_->part(10s);
  client_->stop();
  server_->Shutdown();
  EXPECT_EQ(operator_.left, kProxies);
  EXPECT_EQ(operator_.streams, 1);  // and no other one was begun
}

TEST_F(ClientTest, AnOperatorThatDoesNotReadIsNotWaitedForLonger) {
  operator_.patience = 60s;
  budget::Report report;
  report.leaving = true;
  client_->report("shop/orders", report);
  client_->part(1ms);
  client_->stop();
  server_->Shutdown();
  EXPECT_EQ(operator_.left, 0);
  EXPECT_EQ(operator_.streams, 1);
}

}  // namespace
}  // namespace dbproxy::control
