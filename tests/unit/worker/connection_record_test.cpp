#include "proxy/worker/connection_record.hpp"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace dbproxy::worker {
namespace {

class ConnectionRecordTest : public ::testing::Test {
 protected:
  ConnectionRecordTest() {
    std::string name = std::filesystem::temp_directory_path() / "dbproxy-record-XXXXXX";
    directory_ = ::mkdtemp(name.data());
    path_ = directory_ + "/shop.orders.open";
  }
  ~ConnectionRecordTest() override { std::filesystem::remove_all(directory_); }
  static RecordedConnection connection(std::uint32_t id) {
    return {.target = "db one:5432",
            .user = "app \n1",
            .id = id,
            .port = 40'000,
            .address = *net::numeric_address("::1", 5432),
            .cancel_key = std::string("\0\1\2\xff", 4)};
  }

  std::string directory_, path_;
};

TEST_F(ConnectionRecordTest, ASuccessorFindsWhatWasOpen) {
  {
    const auto record = ConnectionRecord::open(path_);
    ASSERT_TRUE(record);
    EXPECT_TRUE(record->take_left().empty());
    const auto closed = record->add(connection(0));
    const auto kept = record->add(connection(0));
    record->add(connection(0));
    record->update(kept, connection(77));
    record->gone(closed);
  }
  const auto next = ConnectionRecord::open(path_);
  ASSERT_TRUE(next);
  const auto left = next->take_left();
  ASSERT_EQ(left.size(), 2U);
  EXPECT_TRUE(next->take_left().empty());
  const auto& found = left[0].connection;
  EXPECT_EQ(found.id, 77U);
  EXPECT_EQ(found.port, 40'000);
  EXPECT_EQ(found.target, connection(0).target);
  EXPECT_EQ(found.user, connection(0).user);
  EXPECT_EQ(found.cancel_key, connection(0).cancel_key);
  EXPECT_EQ(net::to_string(found.address), net::to_string(connection(0).address));
  EXPECT_EQ(left[1].connection.id, 0U);
  // Its own take other places.
  const auto own = next->add(connection(5));
  EXPECT_NE(own, left[0].place);
  EXPECT_NE(own, left[1].place);
}

TEST_F(ConnectionRecordTest, GrowsAndTakesPlacesAgain) {
  {
    const auto record = ConnectionRecord::open(path_);
    std::vector<ConnectionRecord::Place> places;
    for (std::uint32_t i = 1; i <= 100; ++i) places.push_back(record->add(connection(i)));
    const auto size = std::filesystem::file_size(path_);
    for (const auto place : places) record->gone(place);
    for (std::uint32_t i = 1; i <= 100; ++i) ASSERT_NE(record->add(connection(i)), ConnectionRecord::kNowhere);
    EXPECT_EQ(std::filesystem::file_size(path_), size);
  }
  EXPECT_EQ(ConnectionRecord::open(path_)->take_left().size(), 100U);
}

TEST_F(ConnectionRecordTest, IsForOneProcessAtATimeAndForNobodyElse) {
  const auto record = ConnectionRecord::open(path_);
  ASSERT_TRUE(record);
  EXPECT_FALSE(ConnectionRecord::open(path_));
  struct stat status {};
  ASSERT_EQ(::stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
}

TEST_F(ConnectionRecordTest, WhatCannotBeKeptIsNotBegun) {
  const auto record = ConnectionRecord::open(path_);
  auto too_long = connection(1);
  too_long.user.assign(300, 'x');
  EXPECT_EQ(record->add(too_long), ConnectionRecord::kNowhere);
  EXPECT_FALSE(ConnectionRecord::open(directory_ + "/nowhere/file"));
}

TEST_F(ConnectionRecordTest, RubbishAndOtherBootsMeanNothing) {
  { ConnectionRecord::open(path_)->add(connection(1)); }
  std::fstream file(path_, std::ios::in | std::ios::out);
  file.seekp(25);
  file << "0000";  // in the boot's name
  file.close();
  EXPECT_TRUE(ConnectionRecord::open(path_)->take_left().empty());
  std::ofstream(path_, std::ios::trunc) << std::string(1000, '+');
  const auto record = ConnectionRecord::open(path_);
  ASSERT_TRUE(record);
  EXPECT_TRUE(record->take_left().empty());
  EXPECT_NE(record->add(connection(1)), ConnectionRecord::kNowhere);
}

}  // namespace
}  // namespace dbproxy::worker
