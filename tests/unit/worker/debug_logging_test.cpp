#include <atomic>

#include "tests/unit/worker/bench.hpp"

namespace dbproxy::worker::testing {
namespace {

// The system's clock, moved ahead at will; any thread.
class SkippingClock final : public Clock {
 public:
  TimePoint now() const override { return system_.now() + Duration(ahead_.load()); }
  WallTime wall() const override { return system_.wall(); }
  void skip(Duration by) { ahead_ += by.count(); }

 private:
  SystemClock system_;
  std::atomic<std::int64_t> ahead_{0};
};

struct DebugLogging : Bench {
  SkippingClock skipping_;
  DebugLogging() {
    service_ = std::make_unique<Service>(engines(), options(), registry_, skipping_);
    snapshot_.debug_logging = true;
  }
  ~DebugLogging() override { service_.reset(); }

  // What the log says while `work` is done.
  template <class Work>
  static std::string logged(Work work) {
    ::testing::internal::CaptureStderr();
    work();
    return ::testing::internal::GetCapturedStderr();
  }
};

TEST_F(DebugLogging, ShowsStatementsAndTurnsItselfOffAfterADay) {
  ASSERT_EQ(apply(), "");
  auto one = client();
  ASSERT_TRUE(one.in());
  auto before = logged([&] { one.ask("SELECT 'seen in the log'"); });
  EXPECT_NE(before.find("SELECT 'seen in the log'"), std::string::npos) << before;

  std::string after = logged([&] {
    skipping_.skip(std::chrono::hours(24) + std::chrono::seconds(1));
    // The first client has been idle for a day, too: when it is gone, the worker has seen what time it is.
    ASSERT_TRUE(eventually([&] { return row().clients == 0; }));
    auto two = client();
    ASSERT_TRUE(two.in());
    two.ask("SELECT 'not any more'");
  });
  EXPECT_NE(after.find("debug logging turned itself off after 24 h"), std::string::npos) << after;
  EXPECT_EQ(after.find("not any more"), std::string::npos) << after;

  // It stays off with the same manifest, and comes back when it is switched off and on.
  std::string again = logged([&] {
    ASSERT_EQ(apply(), "");
    snapshot_.debug_logging = false;
    ASSERT_EQ(apply(), "");
    snapshot_.debug_logging = true;
    ASSERT_EQ(apply(), "");
    auto three = client();
    three.ask("SELECT 'once more'");
  });
  EXPECT_NE(again.find("once more"), std::string::npos) << again;
}

}  // namespace
}  // namespace dbproxy::worker::testing
