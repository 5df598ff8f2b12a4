#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>

#include "operator/control/ceiling_store.hpp"

namespace dbproxy::operator_control {
namespace {

using Saved = CeilingStore::Saved;

class Ceilings : public ::testing::Test {
 protected:
  Ceilings() {
    std::string name = (std::filesystem::temp_directory_path() / "dbproxy-ceilings-XXXXXX").string();
    directory_ = ::mkdtemp(name.data());
  }
  ~Ceilings() override { std::filesystem::remove_all(directory_); }

  std::string directory_;
  ManualClock clock_;
};

const operator_budget::Ceilings kSome{{"shop/a", {{"", 3}, {"reader", 2}}}, {"shop/b", {{"", 1}}}};

TEST_F(Ceilings, AreFoundByTheNextOneUnderAHigherEpoch) {
  CeilingFiles first(directory_, clock_);
  const auto nothing = first.load("shop/orders");
  ASSERT_TRUE(nothing.has_value());
  EXPECT_TRUE(nothing->ceilings.empty());
  EXPECT_EQ(first.save("shop/orders", nothing->epoch, kSome), Saved::kInForce);
  EXPECT_EQ(first.save("shop/orders", nothing->epoch, kSome), Saved::kInForce);
  CeilingFiles second(directory_, clock_);
  const auto kept = second.load("shop/orders");
  ASSERT_TRUE(kept.has_value());
  EXPECT_EQ(kept->ceilings, kSome);
  EXPECT_GT(kept->epoch, nothing->epoch);
  EXPECT_TRUE(second.load("shop/other")->ceilings.empty());
}

TEST_F(Ceilings, WhoeverIsLateChangesNothing) {
  CeilingFiles old(directory_, clock_);
  const auto kept = old.load("shop/orders");
  ASSERT_TRUE(kept.has_value());
  CeilingFiles young(directory_, clock_);
  const auto seen = young.load("shop/orders");
  ASSERT_TRUE(seen.has_value());
  EXPECT_EQ(young.save("shop/orders", seen->epoch, kSome), Saved::kInForce);
  EXPECT_EQ(old.save("shop/orders", kept->epoch, {}), Saved::kSuperseded);
  EXPECT_EQ(CeilingFiles(directory_, clock_).load("shop/orders")->ceilings, kSome);
}

TEST_F(Ceilings, PartOfAFileIsNotTakenForTheWhole) {
  const std::string whole = write_ceilings(7, kSome);
  ASSERT_TRUE(read_ceilings(whole).has_value());
  EXPECT_EQ(read_ceilings(whole)->epoch, 7u);
  for (std::size_t size = 0; size + 1 < whole.size(); ++size) {
    EXPECT_FALSE(read_ceilings(whole.substr(0, size)).has_value()) << size;
  }
  CeilingFiles files(directory_, clock_);
  std::filesystem::create_directories(directory_ + "/ceilings");
  std::ofstream(directory_ + "/ceilings/shop.orders") << whole.substr(0, whole.size() / 2);
  EXPECT_FALSE(files.load("shop/orders").has_value());
}

}  // namespace
}  // namespace dbproxy::operator_control
