#include "proxy/net/resolver.hpp"

#include <condition_variable>
#include <gtest/gtest.h>
#include <mutex>

#include "tests/unit/net/loop_thread.hpp"

namespace dbproxy::net {
namespace {

// A name server that answers when it is told to.
class Names {
 public:
  std::vector<Address> look_up(const std::string& host, std::uint16_t port, std::string& error) {
    std::unique_lock lock(mutex_);
    ++asked_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return !host.starts_with("slow") || open_; });
    if (host.ends_with("unknown")) {
      error = "no such name";
      return {};
    }
    return {*numeric_address("192.0.2.1", port)};
  }
  void open() {
    std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void wait_for(int asked) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return asked_ >= asked; });
  }
  int asked() {
    std::lock_guard lock(mutex_);
    return asked_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
  int asked_ = 0;
};

struct ResolverTest : ::testing::Test {
  Names names;
  testing::LoopThread on;
  Resolver resolver{on.loop, [this](const std::string& host, std::uint16_t port, std::string& error) {
                      return names.look_up(host, port, error);
                    }};
  ~ResolverTest() override {
    names.open();
    on.stop();
  }
};

TEST_F(ResolverTest, ASlowNameDelaysNoOther) {
  std::promise<std::string> quick;
  on.run([&] {
    resolver.look_up("slow.example", 5432, [](const auto&, const auto&) {});
    resolver.look_up("quick.example", 5433,
                     [&](const auto& found, const auto&) { quick.set_value(to_string(found.at(0))); });
  });
  EXPECT_EQ(quick.get_future().get(), "192.0.2.1:5433");
}

TEST_F(ResolverTest, OneQuestionAnswersAllWhoAskMeanwhile) {
  std::promise<void> all;
  int answers = 0;
  auto count = [&](const auto& found, const auto&) {
    EXPECT_EQ(found.size(), 1u);
    if (++answers == 20) all.set_value();
  };
  on.run([&] {
    for (int i = 0; i < 20; ++i) resolver.look_up("slow.example", 5432, count);
  });
  names.wait_for(1);
  names.open();
  all.get_future().wait();
  EXPECT_EQ(names.asked(), 1);
  std::promise<void> again;
  on.run([&] { resolver.look_up("slow.example", 5432, [&](const auto&, const auto&) { again.set_value(); }); });
  again.get_future().wait();
  EXPECT_EQ(names.asked(), 2);  // the answer is not kept
}

TEST_F(ResolverTest, AFailureSaysWhy) {
  std::promise<std::string> said;
  on.run([&] {
    resolver.look_up("unknown", 5432, [&](const auto& found, const std::string& error) {
      EXPECT_TRUE(found.empty());
      // Whoever is answered may ask again.
      resolver.look_up("unknown", 5432, [&, error](const auto&, const auto&) { said.set_value(error); });
    });
  });
  EXPECT_EQ(said.get_future().get(), "no such name");
}

}  // namespace
}  // namespace dbproxy::net
