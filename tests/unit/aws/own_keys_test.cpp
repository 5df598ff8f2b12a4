// OwnKeys: what was lent is known until it expires, whatever the process has itself by then.
#include "proxy/aws/own_keys.hpp"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <unistd.h>

#include "proxy/aws/service_error.hpp"

namespace dbproxy::aws {
namespace {

using namespace std::chrono_literals;

class OwnKeysTest : public testing::Test {
 protected:
  OwnKeysTest() : file_(std::filesystem::temp_directory_path() / ("own-keys-" + std::to_string(getpid()))) {}
  ~OwnKeysTest() override { std::filesystem::remove(file_); }

  void write(const std::string& id, const std::string& token) {
    std::ofstream(file_) << "[default]\naws_access_key_id = " << id << "\naws_secret_access_key = secret\n"
                         << (token.empty() ? "" : "aws_session_token = " + token + "\n");
  }
  Environment environment() {
    return [this](const std::string& name) {
      if (name == "AWS_SHARED_CREDENTIALS_FILE") return file_.string();
      return std::string(name == "AWS_EC2_METADATA_DISABLED" ? "true" : "");
    };
  }

  const std::filesystem::path file_;
  ManualClock clock_;
};

TEST_F(OwnKeysTest, RemembersWhatItLentUntilThatExpires) {
  write("ASIAONE", "token");
  OwnKeys keys(environment(), clock_);
  const auto first = keys.lend();
  ASSERT_TRUE(first.ok()) << first.failure.what;
  EXPECT_EQ(first.value->access_key_id, "ASIAONE");
  EXPECT_EQ(*first.value->expires, clock_.wall() + 1h);
  write("ASIATWO", "token");
  clock_.advance(10min);
  EXPECT_EQ(keys.lend().value->access_key_id, "ASIATWO");
  ASSERT_TRUE(keys.find("ASIAONE").value);
  ASSERT_TRUE(keys.find("ASIATWO").value);
  clock_.advance(51min);
  EXPECT_FALSE(keys.find("ASIAONE").value) << "it has expired";
  EXPECT_TRUE(keys.find("ASIATWO").value);
  EXPECT_FALSE(keys.find("ASIATHREE").value);
}

TEST_F(OwnKeysTest, LendsNoKeysThatLast) {
  write("AKIALASTING", "");
  OwnKeys keys(environment(), clock_);
  EXPECT_EQ(keys.own().value->access_key_id, "AKIALASTING");
  EXPECT_TRUE(keys.find("AKIALASTING").value) << "an application may have the same itself";
  Environment no_sts = [inner = environment()](const std::string& name) {
    return name == "AWS_ENDPOINT_URL_STS" ? std::string("http://127.0.0.1:1") : inner(name);
  };
  OwnKeys alone(no_sts, clock_);
  const auto lent = alone.lend();
  EXPECT_FALSE(lent.ok());
  EXPECT_EQ(lent.failure.kind, Failure::Kind::kUnreachable);
}

TEST_F(OwnKeysTest, SaysWhyThereAreNone) {
  OwnKeys keys(environment(), clock_);
  EXPECT_FALSE(keys.lend().ok());
  EXPECT_FALSE(keys.find("ASIAONE").ok());
}

TEST(XmlElements, AreCountedAndBounded) {
  const auto found = xml_elements("<A><B>1</B><B>2</B></A><B>3", "B", 5);
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[1], "2");
  EXPECT_EQ(xml_elements("<B>1</B><B>2</B>", "B", 1).size(), 1u);
  EXPECT_TRUE(xml_elements("<B>", "B", 1).empty());
}

}  // namespace
}  // namespace dbproxy::aws
