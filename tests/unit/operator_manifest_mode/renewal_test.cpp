#include "operator/manifest_mode/renewal.hpp"

#include <cstdlib>
#include <filesystem>
#include <gtest/gtest.h>

namespace dbproxy::manifest_mode {
namespace {

class RenewalTest : public ::testing::Test {
 protected:
  RenewalTest() {
    std::string path = (std::filesystem::temp_directory_path() / "dbproxy-renewal-XXXXXX").string();
    directory_ = ::mkdtemp(path.data());
  }
  ~RenewalTest() override { std::filesystem::remove_all(directory_); }

  std::unique_ptr<Renewal> make() {
    return std::make_unique<Renewal>(
        directory_, request_, pki::load_or_create(directory_, request_, clock_).value(),
        [this](const pki::ServerFiles& files) { shown_.push_back(files.server.certificate_pem); }, clock_);
  }

  ManualClock clock_;
  pki::LeafRequest request_{.common_name = "operator", .dns_names = {"localhost"}, .life = std::chrono::hours(90)};
  std::string directory_;
  std::vector<std::string> shown_;
};

TEST_F(RenewalTest, IssuesAnotherInTheLastThird) {
  const auto renewal = make();
  EXPECT_FALSE(renewal->look());
  clock_.advance(std::chrono::hours(50));
  EXPECT_FALSE(renewal->look());
  clock_.advance(std::chrono::hours(20));
  EXPECT_TRUE(renewal->look());
  ASSERT_EQ(shown_.size(), 1u);
  EXPECT_EQ(pki::load_or_create(directory_, request_, clock_).value().server.certificate_pem, shown_[0]);
  EXPECT_FALSE(renewal->look());
  clock_.advance(std::chrono::hours(70));
  EXPECT_TRUE(renewal->look());
  EXPECT_EQ(shown_.size(), 2u);
}

TEST_F(RenewalTest, LeavesAnotherAuthorityToTheNextStart) {
  const auto renewal = make();
  for (const char* name : {"/ca.pem", "/ca.key"}) std::filesystem::remove(directory_ + name);
  clock_.advance(std::chrono::hours(80));
  EXPECT_FALSE(renewal->look());
  EXPECT_TRUE(shown_.empty());
}

TEST_F(RenewalTest, GoesOnWithWhatItHasWhereTheFilesAreDamaged) {
  const auto renewal = make();
  ASSERT_TRUE(pki::write_file_atomically(directory_ + "/ca.pem", "nonsense", 0644).has_value());
  clock_.advance(std::chrono::hours(80));
  EXPECT_FALSE(renewal->look());
  EXPECT_TRUE(shown_.empty());
}

TEST_F(RenewalTest, StopsAtOnce) {
  const auto renewal = make();
  renewal->start();
  renewal->stop();
}

}  // namespace
}  // namespace dbproxy::manifest_mode
