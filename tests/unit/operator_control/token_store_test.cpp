// Tokens in files: a stream may go on for as long as its file says so, whatever is remembered of it.
#include "operator/control/token_store.hpp"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/stat.h>

namespace dbproxy::operator_control {
namespace {

class TokenStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/dbproxy-tokens-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
    store_ = std::make_unique<FileTokenStore>(directory_, std::chrono::seconds(0));  // all is remembered
    file_ = store_->ensure("shop/one").value();
    token_ = Secret(first_line());
    ASSERT_TRUE(store_->still_good(token_, "shop/one"));
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string first_line() const {
    std::string line;
    std::ifstream(file_) >> line;
    return line;
  }

  std::pair<std::int64_t, std::int64_t> changed() const {
    struct ::stat file {};
    ::stat(file_.c_str(), &file);
    return {file.st_ctim.tv_sec, file.st_ctim.tv_nsec};
  }

  std::string directory_, file_;
  std::unique_ptr<FileTokenStore> store_;
  Secret token_;
};

TEST_F(TokenStoreTest, AnUnchangedFileIsGoodForItsTokenAndIdentityOnly) {
  EXPECT_TRUE(store_->still_good(token_, "shop/one"));
  EXPECT_FALSE(store_->still_good(Secret(std::string(64, 'a')), "shop/one"));
  EXPECT_FALSE(store_->still_good(Secret(), "shop/one"));
  EXPECT_FALSE(store_->still_good(token_, "shop/two"));
  EXPECT_FALSE(store_->still_good(token_, "../tokens/shop/one"));
  EXPECT_TRUE(store_->still_good(token_, "shop/one"));
}

TEST_F(TokenStoreTest, AFileThatIsDeletedIsGoodNoMoreAndOneThatComesBackIs) {
  std::filesystem::rename(file_, directory_ + "/aside");
  EXPECT_FALSE(store_->still_good(token_, "shop/one"));
  std::filesystem::rename(directory_ + "/aside", file_);
  EXPECT_TRUE(store_->still_good(token_, "shop/one"));
}

TEST_F(TokenStoreTest, OneThatWasWrittenJustNowIsReadAgain) {
  FileTokenStore careful(directory_, std::chrono::hours(1));
  EXPECT_TRUE(careful.still_good(token_, "shop/one"));
  std::fstream(file_, std::ios::in | std::ios::out) << (token_.reveal().front() == '0' ? '1' : '0');
  EXPECT_FALSE(careful.still_good(token_, "shop/one"));
}

TEST_F(TokenStoreTest, AnotherTokenOfTheSameLengthInTheSameFileIsSeen) {
  std::string other = first_line();
  other.front() = other.front() == '0' ? '1' : '0';
  const auto before = changed();
  while (changed() == before) std::fstream(file_, std::ios::in | std::ios::out) << other.front();  // in place
  EXPECT_FALSE(store_->still_good(token_, "shop/one"));
  EXPECT_TRUE(store_->still_good(Secret(other), "shop/one"));
}

}  // namespace
}  // namespace dbproxy::operator_control
