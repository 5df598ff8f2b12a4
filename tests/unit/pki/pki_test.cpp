#include "proxy/pki/pki.hpp"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/stat.h>

namespace dbproxy::pki {
namespace {

const LeafRequest kRequest{.common_name = "operator", .dns_names = {"localhost"}, .addresses = {"127.0.0.1", "::1"}};

class PkiFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/dbproxy-pki-XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    directory_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  unsigned mode(const std::string& file) const {
    struct stat status {};
    EXPECT_EQ(::stat((directory_ + "/" + file).c_str(), &status), 0) << file;
    return status.st_mode & 0777;
  }
  void overwrite(const std::string& file, const std::string& text) const {
    std::ofstream(directory_ + "/" + file, std::ios::trunc) << text;
  }

  std::string directory_;
  ManualClock clock_;
};

TEST(Pki, LeafIsSignedByItsAuthorityAndCarriesTheNames) {
  const ManualClock clock;
  const auto authority = make_authority("test", 1, clock);
  ASSERT_TRUE(authority.has_value());
  const auto leaf = issue(authority.value(), kRequest, clock);
  ASSERT_TRUE(leaf.has_value());
  EXPECT_TRUE(is_issued_by(leaf.value(), authority.value(), kRequest));
  EXPECT_FALSE(is_issued_by(leaf.value(), authority.value(), {.common_name = "x", .dns_names = {"other"}}));
  EXPECT_FALSE(is_issued_by(leaf.value(), authority.value(), {.common_name = "x", .addresses = {"10.0.0.1"}}));
  const auto stranger = make_authority("test", 1, clock);
  EXPECT_FALSE(is_issued_by(leaf.value(), stranger.value(), kRequest));
  EXPECT_TRUE(is_signed_by(leaf.value().certificate_pem, authority.value()));
  EXPECT_FALSE(is_signed_by(leaf.value().certificate_pem, stranger.value()));
  EXPECT_FALSE(is_signed_by("", authority.value()));
  EXPECT_FALSE(is_signed_by(leaf.value().certificate_pem, {}));
}

TEST(Pki, NamesThatWouldSmuggleOthersStayOneName) {
  const ManualClock clock;
  const auto authority = make_authority("test", 1, clock);
  const auto leaf = issue(authority.value(), {.common_name = "x", .dns_names = {"a,DNS:evil"}}, clock);
  ASSERT_TRUE(leaf.has_value());
  EXPECT_FALSE(is_issued_by(leaf.value(), authority.value(), {.common_name = "x", .dns_names = {"evil"}}));
  EXPECT_EQ(issue(authority.value(), {.common_name = "x", .addresses = {"not an address"}}, clock).error(),
            Error::kBadName);
  EXPECT_EQ(issue(authority.value(), {.common_name = "x"}, clock).error(), Error::kBadName);
  EXPECT_EQ(make_authority("", 1, clock).error(), Error::kBadName);
}

TEST(Pki, RenewalIsDueInTheLastThird) {
  ManualClock clock;
  const auto authority = make_authority("test", 1, clock);
  const auto leaf = issue(authority.value(), kRequest, clock);
  clock.advance(std::chrono::hours(24 * 59));
  EXPECT_FALSE(needs_renewal(leaf.value().certificate_pem, clock).value());
  clock.advance(std::chrono::hours(24 * 2));
  EXPECT_TRUE(needs_renewal(leaf.value().certificate_pem, clock).value());
  EXPECT_EQ(needs_renewal("garbage", clock).error(), Error::kBadCertificate);
}

// Until 9999, which is how some say "for ever" and later than the clock can tell.
constexpr char kForever[] = R"(-----BEGIN CERTIFICATE-----
MIIBfDCCASGgAwIBAgIUfXRjL3SWwu0lfOihoGws/ghE54UwCgYIKoZIzj0EAwIw
EjEQMA4GA1UEAwwHZm9yZXZlcjAgFw0yNjExMjYxMTM4MzNaGA85OTk5MDkwOTEx
MzgzM1owEjEQMA4GA1UEAwwHZm9yZXZlcjBZMBMGByqGSM49AgEGCCqGSM49AwEH
A0IABM7axlR0grs8LI+0nAuynKpO8O3J84eCbwirG/49bZwdKk0E/s4AtZaqP/pr
h0jSupyTqQmAap1hMh+BPhgMTuWjUzBRMB0GA1UdDgQWBBQKKozYRb8i9/rnV6fQ
ntFAt9iouDAfBgNVHSMEGDAWgBQKKozYRb8i9/rnV6fQntFAt9iouDAPBgNVHRMB
Af8EBTADAQH/MAoGCCqGSM49BAMCA0kAMEYCIQCmTyWjduFhNXA8j0t7zr3AqAPS
xg1CW2WmrZMIGBmQ9AIhAM3T5kAywXc6AEjWq9tlp1RJZCfu/87JNB/uBWcD06G6
-----END CERTIFICATE-----
)";

TEST(Pki, ForEverIsNotLongAgo) {
  const SystemClock clock;
  EXPECT_GT(expires_at(kForever).value(), clock.wall());
  EXPECT_FALSE(needs_renewal(kForever, clock).value());
}

TEST(Pki, ListenerIdentityNamesLoopback) {
  const SystemClock clock;
  const auto identity = self_signed_listener_identity(clock);
  ASSERT_TRUE(identity.has_value());
  EXPECT_FALSE(needs_renewal(identity.value().certificate_pem, clock).value());
  EXPECT_GT(expires_at(identity.value().certificate_pem).value(), clock.wall());
}

TEST_F(PkiFilesTest, CreatesOnceThenLoadsTheSame) {
  const auto first = load_or_create(directory_, kRequest, clock_);
  ASSERT_TRUE(first.has_value()) << first.error().message();
  EXPECT_EQ(mode("ca.key"), 0600u);
  EXPECT_EQ(mode("server.key"), 0600u);
  EXPECT_EQ(mode("ca.pem"), 0644u);
  const auto second = load_or_create(directory_, kRequest, clock_);
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(second.value().authority.certificate_pem, first.value().authority.certificate_pem);
  EXPECT_EQ(second.value().server.certificate_pem, first.value().server.certificate_pem);
  EXPECT_TRUE(second.value().server.key_pem == first.value().server.key_pem);
}

TEST_F(PkiFilesTest, LeafIsRenewedByTheSameAuthority) {
  const auto first = load_or_create(directory_, kRequest, clock_);
  clock_.advance(std::chrono::hours(24 * 61));
  const auto due = load_or_create(directory_, kRequest, clock_);
  ASSERT_TRUE(due.has_value());
  EXPECT_EQ(due.value().authority.certificate_pem, first.value().authority.certificate_pem);
  EXPECT_NE(due.value().server.certificate_pem, first.value().server.certificate_pem);

  LeafRequest more = kRequest;
  more.dns_names.push_back("operator.example");
  const auto renamed = load_or_create(directory_, more, clock_);
  EXPECT_TRUE(is_issued_by(renamed.value().server, first.value().authority, more));

  overwrite("server.pem", "damaged");
  EXPECT_TRUE(load_or_create(directory_, kRequest, clock_).has_value());
}

TEST_F(PkiFilesTest, DamagedAuthorityIsNeverReplaced) {
  const auto first = load_or_create(directory_, kRequest, clock_);
  overwrite("ca.pem", "damaged");
  EXPECT_EQ(load_or_create(directory_, kRequest, clock_).error(), Error::kBadFile);
  overwrite("ca.pem", first.value().authority.certificate_pem);
  std::filesystem::remove(directory_ + "/ca.key");
  EXPECT_TRUE(load_or_create(directory_, kRequest, clock_).has_error());
  EXPECT_TRUE(load_or_create(directory_ + "/missing", kRequest, clock_).has_error());
}

TEST_F(PkiFilesTest, SmallFilesAreBounded) {
  overwrite("file", "12345");
  EXPECT_EQ(read_small_file(directory_ + "/file", 5).value(), "12345");
  EXPECT_TRUE(read_small_file(directory_ + "/file", 4).has_error());
}

}  // namespace
}  // namespace dbproxy::pki
