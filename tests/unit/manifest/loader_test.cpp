#include "proxy/manifest/loader.hpp"

#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

namespace dbproxy::manifest {
namespace {

std::vector<std::string> texts(const Manifests& manifests) {
  std::vector<std::string> out;
  for (const auto& diagnostic : manifests.diagnostics) out.push_back(to_text(diagnostic));
  return out;
}

const std::string kSecret =
    "apiVersion: v1\nkind: Secret\nmetadata: {name: app}\nstringData: {username: app, password: p}\n";

std::string minimal(const std::string& engine) {
  return "apiVersion: dbproxy.io/v1alpha1\nkind: DBProxy\nmetadata: {name: orders}\nspec:\n  engineFamily: " + engine +
         "\n  auth: [{secretRef: {name: app}}]\n  targetGroups: [{dbCluster: {endpoint: db.example, tls: {mode: "
         "require}}}]\n";
}

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    std::string pattern = (std::filesystem::temp_directory_path() / "dbproxy-manifest-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~TemporaryDirectory() { std::filesystem::remove_all(path_); }
  void write(const std::string& name, const std::string& text) const { std::ofstream(path_ / name) << text; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

TEST(Loader, AppliesDefaults) {
  Manifests loaded = load_sources({{"m.yaml", minimal("POSTGRESQL") + "---\n" + kSecret}});
  EXPECT_THAT(texts(loaded), testing::IsEmpty());
  ASSERT_EQ(loaded.proxies.size(), 1u);
  const DBProxyResource& proxy = loaded.proxies[0];
  EXPECT_EQ(proxy.metadata.key(), "default/orders");
  EXPECT_EQ(proxy.port, 5432);
  EXPECT_EQ(proxy.cluster.port, 5432);
  EXPECT_FALSE(proxy.require_tls);
  EXPECT_EQ(proxy.idle_client_timeout, std::chrono::seconds(1800));
  EXPECT_EQ(proxy.max_client_age, std::chrono::hours(24));
  EXPECT_EQ(proxy.credential_grace, std::chrono::hours(24));
  EXPECT_EQ(proxy.pool.max_connections_percent, 100u);
  EXPECT_EQ(proxy.pool.max_idle_connections_percent, 50u);
  EXPECT_EQ(proxy.pool.connection_borrow_timeout, std::chrono::seconds(120));
  EXPECT_EQ(proxy.pool.give_back_timeout, std::chrono::seconds(60));
  EXPECT_EQ(proxy.auth[0].client_password_auth_type, config::PasswordAuthType::kPostgresScramSha256);
  EXPECT_EQ(proxy.auth[0].iam_auth, config::IamAuth::kDisabled);
}

TEST(Loader, DefaultsFollowTheEngine) {
  Manifests loaded = load_sources({{"m.yaml", minimal("MYSQL") + "---\n" + kSecret}});
  EXPECT_THAT(texts(loaded), testing::IsEmpty());
  EXPECT_EQ(loaded.proxies[0].port, 3306);
  EXPECT_EQ(loaded.proxies[0].cluster.port, 3306);
  EXPECT_EQ(loaded.proxies[0].auth[0].client_password_auth_type, config::PasswordAuthType::kMysqlCachingSha2Password);
  EXPECT_FALSE(loaded.proxies[0].auth[0].auth_type_chosen);
}

TEST(Loader, DecodesSecretsAndStringDataWins) {
  Manifests loaded =
      load_sources({{"m.yaml",
                     "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n"
                     "data: {username: YXBw, password: b2xk, other: AAE=}\nstringData: {password: new}\n"}});
  ASSERT_TRUE(loaded.ok());
  const SecretResource* secret = loaded.find_secret("default", "s");
  ASSERT_NE(secret, nullptr);
  EXPECT_EQ(secret->username, "app");
  EXPECT_EQ(secret->password.reveal(), "new");
  EXPECT_EQ(secret->data.at("other").reveal(), std::string("\0\1", 2));
}

TEST(Loader, AnErrorInOneDocumentLeavesTheOthersReadable) {
  Manifests loaded = load_sources({{"m.yaml", kSecret + "---\na: [\n---\n" + minimal("SQLSERVER")}});
  EXPECT_THAT(texts(loaded),
              testing::ElementsAre(testing::StartsWith("m.yaml:"),
                                   testing::HasSubstr("m.yaml:12: DBProxy default/orders: spec.engineFamily")));
  EXPECT_EQ(loaded.secrets.size(), 1u);
}

TEST(Loader, SkipsWhatIsEmpty) {
  Manifests loaded = load_sources(
      {{"a.yaml", ""}, {"b.yaml", "# only a comment\n---\n---\n\n...\n"}, {"c.yaml", "\xEF\xBB\xBF---\r\n# x\r\n"}});
  EXPECT_THAT(texts(loaded), testing::IsEmpty());
}

TEST(Loader, ReadsLists) {
  Manifests loaded =
      load_sources({{"m.yaml",
                     "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Secret\n  metadata: {name: s}\n"
                     "- apiVersion: v1\n  kind: Secret\n  metadata: {name: t}\n  dta: {}\n"}});
  EXPECT_EQ(loaded.secrets.size(), 2u);
  EXPECT_THAT(texts(loaded),
              testing::ElementsAre("m.yaml:10: Secret default/t: dta: is not a known field; did you mean data?"));
}

TEST(Loader, RefusesWhatIsNotUtf8) {
  Manifests loaded = load_sources({{"m.yaml", "a: \xC0\xAF\n"}});
  EXPECT_THAT(texts(loaded), testing::ElementsAre("m.yaml: is not UTF-8; save it as UTF-8"));
}

TEST(Loader, RefusesHugeFiles) {
  Manifests loaded = load_sources({{"m.yaml", std::string(kMaxFileBytes + 1, '#')}});
  EXPECT_THAT(texts(loaded), testing::ElementsAre("m.yaml: is larger than 4 MiB; split it"));
}

TEST(Loader, SurvivesDeepNestingAndAliases) {
  EXPECT_FALSE(load_sources({{"m.yaml", "a: " + std::string(100000, '[')}}).ok());
  std::string bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n";
  for (char c = 'b'; c <= 'z'; ++c) {
    std::string before(1, static_cast<char>(c - 1));
    bomb += std::string(1, c) + ": &" + c + " [*" + before + ", *" + before + ", *" + before + ", *" + before + "]\n";
  }
  EXPECT_FALSE(load_sources({{"m.yaml", bomb}}).ok());
}

TEST(Loader, ReadsADirectoryInOrderOfNames) {
  TemporaryDirectory directory;
  directory.write("b.yml", kSecret);
  directory.write("a.yaml", minimal("SQLSERVER"));
  directory.write("c.txt", "{{{");
  directory.write(".hidden.yaml", "{{{");
  std::filesystem::create_directory(directory.path() / "d.yaml");
  Manifests loaded = load_directory(directory.path());
  EXPECT_THAT(texts(loaded),
              testing::ElementsAre(testing::StartsWith("a.yaml:5: DBProxy default/orders: spec.engineFamily")));
  EXPECT_EQ(loaded.secrets.size(), 1u);
  EXPECT_EQ(loaded.digest, digest_directory(directory.path()));
}

TEST(Loader, WarnsOfFieldsThatMeanSomethingOnKubernetesOnly) {
  TemporaryDirectory directory;
  auto manifest =
      minimal("POSTGRESQL") + "  podSelector: {matchLabels: {app: shop}}\n  aws: {serviceAccountName: shop}\n";
  directory.write("a.yaml", manifest);
  directory.write("b.yaml", kSecret);
  Manifests loaded = load_directory(directory.path());
  EXPECT_TRUE(loaded.ok());
  EXPECT_THAT(texts(loaded),
              testing::ElementsAre(testing::HasSubstr("spec.podSelector: has no effect where manifests are read from"),
                                   testing::HasSubstr("spec.aws.serviceAccountName: has no effect where manifests")));
  EXPECT_EQ(load_sources({{"a.yaml", manifest}, {"b.yaml", std::string(kSecret)}}).diagnostics.size(), 0u);
}

TEST(Loader, SaysWhatCannotBeRead) {
  TemporaryDirectory directory;
  mkfifo((directory.path() / "pipe.yaml").c_str(), 0600);
  std::filesystem::create_symlink("nowhere", directory.path() / "dangling.yaml");
  EXPECT_THAT(texts(load_directory(directory.path())),
              testing::ElementsAre("dangling.yaml: cannot be read: No such file or directory",
                                   "pipe.yaml: is not a regular file"));
  EXPECT_THAT(texts(load_directory("/nonexistent/manifests")),
              testing::ElementsAre("/nonexistent/manifests: cannot be read as a directory: No such file or directory"));
}

TEST(Diagnostic, FindsTheNearestName) {
  EXPECT_EQ(nearest("maxConectionsPercent", {"maxConnectionsPercent", "maxIdleConnectionsPercent"}),
            "maxConnectionsPercent");
  EXPECT_EQ(nearest("max_connections_percent", {"maxConnectionsPercent"}), "maxConnectionsPercent");
  EXPECT_EQ(nearest("colour", {"port", "auth"}), "");
  EXPECT_EQ(nearest("", {"port"}), "");
}

TEST(Diagnostic, QuotesWhatPeopleWrote) {
  EXPECT_EQ(in_quotes("a\"b\\c\n\x01"), "\"a\\\"b\\\\c\\n\\x01\"");
  EXPECT_EQ(in_quotes(std::string(63, 'x') + "é"), "\"" + std::string(63, 'x') + "\"…");
}

}  // namespace
}  // namespace dbproxy::manifest
