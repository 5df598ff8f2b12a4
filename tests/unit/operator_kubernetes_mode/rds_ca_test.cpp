#include "operator/kubernetes_mode/rds_ca.hpp"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <unistd.h>

#include "proxy/pki/pki.hpp"

namespace dbproxy::kubernetes_mode {
namespace {

using std::chrono::hours;

class RdsCaTest : public ::testing::Test {
 protected:
  RdsCaTest() {
    std::string name = "/tmp/rds-ca-XXXXXX";
    directory_ = ::mkdtemp(name.data());
  }
  ~RdsCaTest() override { std::filesystem::remove_all(directory_); }

  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(directory_ + "/" + name) << text;
    return directory_ + "/" + name;
  }
  std::string root(hours life) const {
    return pki::make_authority("root", std::chrono::seconds(life), clock_).value().certificate_pem;
  }

  SystemClock clock_;
  std::string directory_;
};

TEST_F(RdsCaTest, SeveralRootsAndTheFirstThatEnds) {
  const std::string both = root(hours(48)) + root(hours(24));
  const RdsCa one = load_rds_ca(write("bundle", both), clock_.wall());
  EXPECT_EQ(one.error, "");
  EXPECT_EQ(one.pem, both);
  EXPECT_LT(one.expires, clock_.wall() + hours(25));
  EXPECT_GT(one.expires, clock_.wall() + hours(23));
  // One that is over is no news.
  const RdsCa later = load_rds_ca(directory_ + "/bundle", clock_.wall() + hours(30));
  EXPECT_GT(later.expires, clock_.wall() + hours(40));
}

TEST_F(RdsCaTest, ADirectoryIsAllItsPemFiles) {
  write("b.pem", root(hours(24)));
  write("a.pem", root(hours(48)));
  write("README", "not a certificate");
  std::filesystem::create_directory(directory_ + "/..2026_01_01");
  const RdsCa all = load_rds_ca(directory_, clock_.wall());
  EXPECT_EQ(all.error, "");
  EXPECT_EQ(std::count(all.pem.begin(), all.pem.end(), '-'), 4 * 10);
}

TEST_F(RdsCaTest, WhatCannotBeUsedIsSaid) {
  EXPECT_NE(load_rds_ca(directory_, clock_.wall()).error.find("no *.pem file"), std::string::npos);
  EXPECT_NE(load_rds_ca(directory_ + "/none", clock_.wall()).error, "");
  EXPECT_NE(load_rds_ca(write("empty", ""), clock_.wall()).error.find("no certificate"), std::string::npos);
  const std::string broken = root(hours(24)) + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  const RdsCa second = load_rds_ca(write("broken", broken), clock_.wall());
  EXPECT_NE(second.error.find("certificate 2 is not readable"), std::string::npos) << second.error;
  EXPECT_EQ(second.pem, "");
  const std::string one = root(hours(24));
  std::string large;
  while (large.size() < 1024 * 1024) large += one;
  EXPECT_NE(load_rds_ca(write("large", large), clock_.wall()).error, "");
}

}  // namespace
}  // namespace dbproxy::kubernetes_mode
