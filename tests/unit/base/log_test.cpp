#include "proxy/base/log.hpp"

#include <gtest/gtest.h>

namespace dbproxy::log {
namespace {

std::string logged(Level level, std::string_view module) {
  testing::internal::CaptureStderr();
  write(level, module, "something");
  return testing::internal::GetCapturedStderr();
}

class LogTest : public testing::Test {
 protected:
  ~LogTest() override { configure(Format::kKeyValue, {}); }
};

TEST_F(LogTest, LevelsAreReadAndWritten) {
  Levels levels;
  EXPECT_EQ(parse_levels("warn,pool=debug,control=off", levels), "");
  EXPECT_EQ(levels.all, Level::kWarn);
  EXPECT_EQ(levels.modules.at("pool"), Level::kDebug);
  EXPECT_EQ(to_text(levels), "warn,control=off,pool=debug");
  EXPECT_EQ(parse_levels("pool=error", levels), "");
  EXPECT_EQ(to_text(levels), "warn,control=off,pool=error") << "what is not named stays";
  EXPECT_EQ(parse_levels("info", levels), "");
  EXPECT_EQ(to_text(levels), "info") << "one for all modules is for all";
}

TEST_F(LogTest, WhatIsWrongIsSaidAndChangesNothing) {
  Levels levels;
  for (const auto& [text, sentence] : std::initializer_list<std::pair<const char*, const char*>>{
           {"", "'' is no level: debug, info, warn, error or off"},
           {"loud", "'loud' is no level: debug, info, warn, error or off"},
           {"warn,pool=", "'' is no level: debug, info, warn, error or off"},
           {"pool=debug,warn", "a level for all modules stands first"},
           {"warn,", "'' is no level: debug, info, warn, error or off"}}) {
    EXPECT_EQ(parse_levels(text, levels), sentence) << text;
  }
  EXPECT_EQ(parse_levels("warn,tool=debug", levels).substr(0, 57),
            "'tool' is no module that logs; there are admin aws budget");
  EXPECT_EQ(to_text(levels), "info");
}

TEST_F(LogTest, AModuleHasItsOwnLevel) {
  Levels levels;
  ASSERT_EQ(parse_levels("warn,pool=debug,control=error", levels), "");
  set_levels(levels);
  EXPECT_TRUE(enabled(Level::kDebug));
  EXPECT_NE(logged(Level::kDebug, "pool"), "");
  EXPECT_EQ(logged(Level::kInfo, "net"), "");
  EXPECT_NE(logged(Level::kWarn, "net"), "");
  EXPECT_EQ(logged(Level::kWarn, "control"), "");
  EXPECT_NE(logged(Level::kError, "control"), "");
  set_levels({});
  EXPECT_FALSE(enabled(Level::kDebug));
  EXPECT_EQ(logged(Level::kDebug, "pool"), "");
  EXPECT_NE(logged(Level::kInfo, "control"), "");
}

}  // namespace
}  // namespace dbproxy::log
