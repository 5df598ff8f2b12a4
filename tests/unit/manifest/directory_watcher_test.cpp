// The watcher on a real directory: each step waits for the call that it causes.
#include "proxy/manifest/directory_watcher.hpp"

#include <condition_variable>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <mutex>
#include <vector>

namespace dbproxy::manifest {
namespace {

namespace fs = std::filesystem;

std::string secret(const std::string& name) {
  return "apiVersion: v1\nkind: Secret\nmetadata: {name: " + name + "}\n";
}

class Watched : public testing::Test {
 protected:
  Watched() {
    std::string pattern = (fs::temp_directory_path() / "dbproxy-watch-XXXXXX").string();
    root_ = mkdtemp(pattern.data());
    directory_ = root_ / "manifests";
    fs::create_directory(directory_);
  }
  ~Watched() override {
    watcher_.reset();
    fs::remove_all(root_);
  }

  // In one step, so that no rescan finds half a file.
  void write(const fs::path& path, const std::string& text) const {
    std::ofstream(root_ / "new") << text;
    fs::rename(root_ / "new", path);
  }

  void start(std::chrono::milliseconds rescan = std::chrono::hours(1)) {
    DirectoryWatcher::Timing timing;
    timing.rescan = rescan;
    watcher_ = std::make_unique<DirectoryWatcher>(
        directory_, digest_directory(directory_),
        [this](Manifests manifests) {
          std::lock_guard lock(mutex_);
          seen_.push_back(std::move(manifests));
          changed_.notify_all();
        },
        timing);
  }

  // The names of the secrets of the `count`th load, from 1; "none" if it never came.
  std::string wait_for(std::size_t count) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, std::chrono::seconds(20), [&] { return seen_.size() >= count; })) return "none";
    std::string out;
    for (const auto& found : seen_[count - 1].secrets) out += found.metadata.name + " ";
    return seen_[count - 1].ok() ? out : "errors";
  }
  std::size_t count() {
    std::lock_guard lock(mutex_);
    return seen_.size();
  }

  fs::path root_;
  fs::path directory_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Manifests> seen_;
  std::unique_ptr<DirectoryWatcher> watcher_;
};

TEST_F(Watched, TellsOfFilesThatComeChangeMoveAndGo) {
  start();
  write(directory_ / "a.yaml", secret("one"));
  EXPECT_EQ(wait_for(1), "one ");
  write(directory_ / "a.yaml", secret("two"));
  EXPECT_EQ(wait_for(2), "two ");
  write(root_ / "b.yaml", secret("three"));
  fs::rename(root_ / "b.yaml", directory_ / "b.yaml");
  EXPECT_EQ(wait_for(3), "two three ");
  fs::remove(directory_ / "a.yaml");
  EXPECT_EQ(wait_for(4), "three ");
  write(directory_ / "b.yaml", "{");
  EXPECT_EQ(wait_for(5), "errors");
}

TEST_F(Watched, IsSilentWhereTheContentIsTheSame) {
  write(directory_ / "a.yaml", secret("one"));
  start(std::chrono::milliseconds(20));
  write(directory_ / "a.yaml", secret("one"));
  write(directory_ / "notes.txt", "x");
  write(directory_ / "b.yaml", secret("two"));
  EXPECT_EQ(wait_for(1), "one two ");
  EXPECT_EQ(count(), 1u);
}

TEST_F(Watched, SeveralChangesAreLoadedAsOne) {
  start();
  // Once it has told of a change, it waits for events, and its first look at the directory is behind it.
  write(directory_ / "first.yaml", secret("first"));
  EXPECT_EQ(wait_for(1), "first ");
  for (int i = 0; i < 5; ++i) {
    write(directory_ / (std::to_string(i) + ".yaml"), secret("s" + std::to_string(i)));
  }
  EXPECT_EQ(wait_for(2), "s0 s1 s2 s3 s4 first ");
  EXPECT_EQ(count(), 2u);
}

TEST_F(Watched, AFileThatIsBeingWrittenIsNotTakenForEmpty) {
  write(directory_ / "a.yaml", secret("one"));
  start(std::chrono::milliseconds(1));
  std::ofstream(directory_ / "a.yaml") << secret("two");  // truncates first
  EXPECT_EQ(wait_for(1), "two ");
}

TEST_F(Watched, FollowsKubeletsSwapOfALink) {
  fs::create_directory(directory_ / "..1");
  fs::create_directory(directory_ / "..2");
  write(directory_ / "..1" / "a.yaml", secret("one"));
  write(directory_ / "..2" / "a.yaml", secret("two"));
  fs::create_symlink("..1", directory_ / "..data");
  fs::create_symlink("..data/a.yaml", directory_ / "a.yaml");
  start();
  fs::create_symlink("..2", directory_ / "..data_tmp");
  fs::rename(directory_ / "..data_tmp", directory_ / "..data");
  EXPECT_EQ(wait_for(1), "two ");
}

TEST_F(Watched, TheRescanFindsWhatHappensBehindALink) {
  write(root_ / "far.yaml", secret("one"));
  fs::create_symlink(root_ / "far.yaml", directory_ / "a.yaml");
  start(std::chrono::milliseconds(20));
  write(root_ / "far.new", secret("two"));
  fs::rename(root_ / "far.new", root_ / "far.yaml");
  EXPECT_EQ(wait_for(1), "two ");
}

TEST_F(Watched, SurvivesThatTheDirectoryGoesAndComesBack) {
  write(directory_ / "a.yaml", secret("one"));
  start(std::chrono::milliseconds(20));
  fs::rename(directory_, root_ / "away");
  EXPECT_EQ(wait_for(1), "errors");
  fs::rename(root_ / "away", directory_);
  EXPECT_EQ(wait_for(2), "one ");
  write(directory_ / "a.yaml", secret("two"));
  EXPECT_EQ(wait_for(3), "two ");
}

TEST_F(Watched, StopsAtOnce) {
  start();
  watcher_.reset();
  EXPECT_EQ(count(), 0u);
}

}  // namespace
}  // namespace dbproxy::manifest
