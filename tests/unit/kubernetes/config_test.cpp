#include "operator/kubernetes/config.hpp"

#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <unistd.h>

namespace dbproxy::kubernetes {
namespace {

class ConfigTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = "/tmp/dbproxy-kubeconfig-XXXXXX";
    directory_ = ::mkdtemp(name.data());
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }
  std::string write(const std::string& name, const std::string& text) {
    std::ofstream(directory_ + "/" + name) << text;
    return directory_ + "/" + name;
  }
  ConfigOrError load(const std::string& cluster, const std::string& user, const std::string& context = {}) {
    return load_kubeconfig(write("config",
                                 "apiVersion: v1\nkind: Config\ncurrent-context: one\n"
                                 "contexts:\n- name: one\n  context: {cluster: c, user: u, namespace: shop}\n"
                                 "clusters:\n- name: c\n  cluster: {" +
                                     cluster +
                                     "}\n"
                                     "users:\n- name: u\n  user: {" +
                                     user + "}\n"),
                           context);
  }
  std::string directory_;
};

TEST_F(ConfigTest, TakesDataAndFiles) {
  const auto data = load("server: 'https://api.example.com:6443/k8s/', certificate-authority-data: Y2E=",
                         "client-certificate-data: Y2VydA==, client-key-data: a2V5");
  ASSERT_EQ(data.error, "");
  EXPECT_EQ(data.config.host, "api.example.com");
  EXPECT_EQ(data.config.port, 6443);
  EXPECT_EQ(data.config.base_path, "/k8s");
  EXPECT_EQ(data.config.ca_pem, "ca");
  EXPECT_EQ(data.config.certificate_pem, "cert");
  EXPECT_EQ(data.config.key_pem.reveal(), "key");
  EXPECT_EQ(data.config.name_space, "shop");
  const auto files = load("server: 'https://[::1]', certificate-authority: ca.pem",
                          "client-certificate: /x/c.pem, client-key: c.key, tokenFile: t, token: unused");
  ASSERT_EQ(files.error, "");
  EXPECT_EQ(files.config.host, "::1");
  EXPECT_EQ(files.config.port, 443);
  EXPECT_EQ(files.config.ca_file, directory_ + "/ca.pem");
  EXPECT_EQ(files.config.certificate_file, "/x/c.pem");
  EXPECT_EQ(files.config.token_file, directory_ + "/t");
  EXPECT_TRUE(files.config.token.empty());
}

TEST_F(ConfigTest, RefusesInWords) {
  const std::string server = "server: 'https://a'";
  EXPECT_NE(load(server, "exec: {command: aws}").error.find("exec plugin"), std::string::npos);
  EXPECT_NE(load(server, "auth-provider: {name: x}").error.find("auth-provider"), std::string::npos);
  EXPECT_NE(load(server, "username: a, password: b").error.find("username and password"), std::string::npos);
  EXPECT_NE(load(server, "client-certificate-data: Y2E=").error.find("only one"), std::string::npos);
  EXPECT_NE(load(server, "client-key-data: '***', client-certificate-data: Y2E=").error.find("base64"),
            std::string::npos);
  EXPECT_NE(load("server: 'ftp://a'", "").error.find("https://HOST:PORT"), std::string::npos);
  EXPECT_NE(load("server: 'https://a:99999'", "").error.find("https://HOST:PORT"), std::string::npos);
  EXPECT_NE(load("server: 'https://a:'", "").error.find("https://HOST:PORT"), std::string::npos);
  EXPECT_NE(load(server, "", "two").error.find("no context \"two\""), std::string::npos);
  EXPECT_NE(load_kubeconfig(directory_ + "/none").error.find("cannot read"), std::string::npos);
  const auto broken = load_kubeconfig(write("bad", "users: [{token: *secret}"));
  EXPECT_NE(broken.error.find("line 1 is not YAML"), std::string::npos);
  EXPECT_EQ(broken.error.find("secret}"), std::string::npos);
  EXPECT_NE(load_kubeconfig(write("list", "- a\n")).error.find("not a kubeconfig"), std::string::npos);
}

TEST_F(ConfigTest, FindsItselfInAPod) {
  const auto environment = [](const char* name) {
    return std::string(name) == "KUBERNETES_SERVICE_HOST" ? "fd00::1" : "6443";
  };
  EXPECT_NE(in_cluster(environment, directory_).error.find("automountServiceAccountToken"), std::string::npos);
  write("ca.crt", "x");
  write("token", "y");
  write("namespace", "dbproxy-system\n");
  const auto found = in_cluster(environment, directory_);
  ASSERT_EQ(found.error, "");
  EXPECT_EQ(found.config.host, "fd00::1");
  EXPECT_EQ(found.config.port, 6443);
  EXPECT_EQ(found.config.name_space, "dbproxy-system");
  EXPECT_NE(in_cluster([](const char*) { return std::string(); }, directory_).error.find("not in a pod"),
            std::string::npos);
}

}  // namespace
}  // namespace dbproxy::kubernetes
