#include "proxy/source/versions.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/stat.h>

namespace dbproxy::source {
namespace {

config::Snapshot snapshot(std::uint32_t clients) {
  config::Snapshot s;
  s.name_space = "shop";
  s.name = "orders";
  s.max_clients = clients;
  s.users = {{"app", Secret("plain-password"), {}, {}, ""}};
  return s;
}

TEST(Versions, GrowWithContentAlsoOverARestart) {
  char name[] = "/tmp/dbproxy-versions-XXXXXX";
  ASSERT_NE(::mkdtemp(name), nullptr);
  const std::string path = std::string(name) + "/versions";
  {
    Versions versions(path);
    EXPECT_EQ(versions.assign(snapshot(1)), 1u);
    EXPECT_EQ(versions.assign(snapshot(1)), 1u);
    EXPECT_EQ(versions.assign(snapshot(2)), 2u);
    EXPECT_EQ(versions.assign(snapshot(1)), 3u);
    versions.save();
  }
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  Versions again(path);
  EXPECT_EQ(again.assign(snapshot(1)), 3u);
  EXPECT_EQ(again.assign(snapshot(2)), 4u);
  std::ofstream(path) << "garbage";
  EXPECT_EQ(Versions(path).assign(snapshot(1)), 1u);
  EXPECT_EQ(Versions("").assign(snapshot(1)), 1u);
  std::filesystem::remove_all(name);
}

}  // namespace
}  // namespace dbproxy::source
