// The control stream between programs of different versions, against the protocol as earlier versions had it.
//
// released/*.binpb are their descriptor sets: protoc --include_imports --descriptor_set_out of proto/dbproxy/v1 at that
// time. One is added with each release, and none is ever changed. With them messages are read and written here as a
// program of that version does it: it knows nothing of what came later.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>
#include <gtest/gtest.h>

#include "dbproxy/v1/control.pb.h"

#include "proxy/wire/control/convert.hpp"

namespace dbproxy::wire_control {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptor;
using google::protobuf::Message;

std::vector<std::string> released() {
  std::vector<std::string> out;
  for (const auto& each : std::filesystem::directory_iterator(DBPROXY_RELEASED)) out.push_back(each.path().stem());
  return out;
}

class Skew : public ::testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    std::ifstream file(DBPROXY_RELEASED "/" + GetParam() + ".binpb", std::ios::binary);
    google::protobuf::FileDescriptorSet set;
    ASSERT_TRUE(set.ParseFromIstream(&file));
    for (const auto& each : set.file()) ASSERT_NE(pool_.BuildFile(each), nullptr);
    then_ = pool_.FindFileByName("dbproxy/v1/control.proto");
    ASSERT_NE(then_, nullptr);
  }

  // `message` as a program of that time hands it on: what it did not know is gone.
  void seen_then(const Message& message, Message* out) {
    const Descriptor* const type = pool_.FindMessageTypeByName(message.GetDescriptor()->full_name());
    ASSERT_NE(type, nullptr);
    google::protobuf::DynamicMessageFactory factory(&pool_);
    const std::unique_ptr<Message> old(factory.GetPrototype(type)->New());
    ASSERT_TRUE(old->ParseFromString(message.SerializeAsString()));
    old->DiscardUnknownFields();
    ASSERT_TRUE(out->ParseFromString(old->SerializeAsString()));
  }

  google::protobuf::DescriptorPool pool_;
  const FileDescriptor* then_ = nullptr;
};

const google::protobuf::DescriptorPool& pool_now() {
  return *google::protobuf::DescriptorPool::generated_pool();
}

void expect_kept(const EnumDescriptor& then) {
  const EnumDescriptor* const now = pool_now().FindEnumTypeByName(then.full_name());
  ASSERT_NE(now, nullptr) << then.full_name();
  for (int i = 0; i < then.value_count(); ++i) {
    const auto* const value = now->FindValueByNumber(then.value(i)->number());
    ASSERT_NE(value, nullptr) << then.value(i)->full_name();
    EXPECT_EQ(value->name(), then.value(i)->name());
  }
}

// What was never sent may go, and its number never comes back.
void expect_kept(const Descriptor& then) {
  const Descriptor* const now = pool_now().FindMessageTypeByName(then.full_name());
  if (now == nullptr) return;  // then whoever had a field of it says so
  for (int i = 0; i < then.field_count(); ++i) {
    const FieldDescriptor& field = *then.field(i);
    const FieldDescriptor* const same = now->FindFieldByNumber(field.number());
    if (same == nullptr) {
      EXPECT_TRUE(now->IsReservedNumber(field.number())) << field.full_name() << " is gone and not reserved";
      continue;
    }
    EXPECT_EQ(same->name(), field.name());
    EXPECT_EQ(same->type(), field.type()) << field.full_name();
    EXPECT_EQ(same->is_repeated(), field.is_repeated()) << field.full_name();
    if (field.message_type() != nullptr) {
      EXPECT_EQ(same->message_type()->full_name(), field.message_type()->full_name());
    }
    if (field.enum_type() != nullptr) EXPECT_EQ(same->enum_type()->full_name(), field.enum_type()->full_name());
    const bool together = field.containing_oneof() != nullptr;
    EXPECT_EQ(same->containing_oneof() != nullptr, together) << field.full_name();
  }
}

TEST_P(Skew, TheProtocolHasOnlyGrown) {
  for (int i = 0; i < then_->message_type_count(); ++i) expect_kept(*then_->message_type(i));
  for (int i = 0; i < then_->enum_type_count(); ++i) expect_kept(*then_->enum_type(i));
  for (int i = 0; i < then_->service_count(); ++i) {
    const auto* const now = pool_now().FindServiceByName(then_->service(i)->full_name());
    ASSERT_NE(now, nullptr);
    for (int j = 0; j < then_->service(i)->method_count(); ++j) {
      const auto* const method = now->FindMethodByName(then_->service(i)->method(j)->name());
      ASSERT_NE(method, nullptr);
      EXPECT_EQ(method->input_type()->full_name(), then_->service(i)->method(j)->input_type()->full_name());
      EXPECT_EQ(method->output_type()->full_name(), then_->service(i)->method(j)->output_type()->full_name());
      EXPECT_EQ(method->client_streaming(), then_->service(i)->method(j)->client_streaming());
      EXPECT_EQ(method->server_streaming(), then_->service(i)->method(j)->server_streaming());
    }
  }
}

config::Snapshot example() {
  config::Snapshot out;
  out.name_space = "shop";
  out.name = "orders";
  out.version = 7;
  out.require_tls = true;
  out.credential_grace = std::chrono::hours(24);
  out.maintenance = {1, std::chrono::seconds(300), 2};
  out.limits.max_connections_per_user = 5;
  out.endpoints = {{"default", 5432, config::TargetRole::kReadWrite, false},
                   {"readers", 5433, config::TargetRole::kReadOnly, true}};
  config::User& user = out.users.emplace_back();
  user.name = "app";
  user.password = Secret("new");
  user.previous_password = Secret("old");
  user.previous_name = "app_old";
  user.previous_until = WallTime(std::chrono::seconds(1'764'000'000));
  config::Target& target = out.targets.emplace_back();
  target.id = "orders-1";
  target.host = "db.example";
  target.port = 5432;
  target.health = config::TargetHealth::kAvailable;
  target.max_connections = 100;
  target.server_version = "8.0.36";
  target.server_capabilities = 0x81bff7df;
  out.server_tls.mode = config::TlsMode::kRequire;
  out.pool = {90, 40, std::chrono::seconds(5), true, "SET a = b"};
  out.tags = {{"team", "shop"}};
  return out;
}

// An operator of then sends no more than it knows: it is put in force as it stands, and what is not said is off.
TEST_P(Skew, TheSnapshotOfAnOperatorOfThenIsTaken) {
  v1::Snapshot sent;
  seen_then(to_proto(example()), &sent);
  config::Snapshot taken;
  EXPECT_EQ(from_proto(sent, taken), "");
  EXPECT_EQ(taken.endpoints, example().endpoints);
  EXPECT_EQ(taken.pool, example().pool);
  ASSERT_EQ(taken.users.size(), 1u);
  EXPECT_EQ(taken.users[0].password.reveal(), "new");
  EXPECT_EQ(taken.users[0].previous_until, WallTime{}) << "no client may use what it does not speak of";
  EXPECT_EQ(taken.server_tls.ca_owner, config::CaOwner::kUnsaid) << "no password in clear text goes by such a CA";
  EXPECT_EQ(taken.targets.at(0).host, "db.example");
  EXPECT_EQ(taken.targets.at(0).max_connections, 100u);
}

// A sidecar of then finds in ours all that it knows, with the values that it knows.
TEST_P(Skew, ASidecarOfThenFindsWhatItKnowsInOurs) {
  v1::Snapshot seen;
  const v1::Snapshot ours = to_proto(example());
  seen_then(ours, &seen);
  EXPECT_EQ(seen.name(), "orders");
  EXPECT_EQ(seen.version(), 7u);
  EXPECT_EQ(seen.users(0).password(), "new");
  EXPECT_EQ(seen.endpoints_size(), 2);
  EXPECT_EQ(seen.server_tls_mode(), ours.server_tls_mode());
  EXPECT_EQ(seen.pool().init_query(), "SET a = b");
  // And it can hold it against what it has: its digest is of the bytes as it got them, unknown ones and all.
  v1::OperatorMessage update;
  update.mutable_config()->set_nonce("1");
  *update.mutable_config()->mutable_snapshot() = ours;
  v1::OperatorMessage read;
  seen_then(update, &read);
  EXPECT_EQ(read.config().nonce(), "1");
  EXPECT_EQ(read.config().snapshot().name(), "orders");
}

// What a sidecar of then says of itself is understood: that it counts by itself unless it says otherwise, most of all.
TEST_P(Skew, AHelloOfThenIsUnderstood) {
  v1::SidecarMessage message;
  v1::Hello& hello = *message.mutable_hello();
  hello.set_identity("shop/web-1");
  hello.set_software_version("0.1.0");
  hello.add_proxies("shop/orders");
  hello.add_held()->set_proxy("shop/orders");
  hello.mutable_held(0)->set_version(6);
  hello.set_incarnation(99);
  v1::SidecarMessage read;
  seen_then(message, &read);
  EXPECT_EQ(read.hello().identity(), "shop/web-1");
  EXPECT_EQ(read.hello().held(0).version(), 6u);
  const Descriptor* const type = then_->FindMessageTypeByName("Hello");
  const bool knows = type->FindFieldByName("incarnation") != nullptr;
  EXPECT_EQ(read.hello().incarnation(), knows ? 99u : 0u);
}

INSTANTIATE_TEST_SUITE_P(Released, Skew, ::testing::ValuesIn(released()), [](const auto& of) {
  std::string out = of.param;
  std::replace_if(
      out.begin(), out.end(), [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0; }, '_');
  return out;
});

}  // namespace
}  // namespace dbproxy::wire_control
