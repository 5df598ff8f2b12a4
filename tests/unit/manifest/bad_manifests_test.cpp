// Every case of bad_manifests.yaml, word for word. With DBPROXY_PRINT_CASES set, what each case gives is printed.
#include <cstdlib>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <iostream>
#include <yaml-cpp/yaml.h>

#include "proxy/manifest/loader.hpp"

namespace dbproxy::manifest {
namespace {

struct Case {
  std::string name;
  std::string manifest;
  std::vector<std::string> expect;
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.name;
}

std::string with_edits(std::string text, const YAML::Node& edits) {
  for (const auto& edit : edits) {
    auto from = edit["from"].as<std::string>();
    std::size_t at = text.find(from);
    if (at == std::string::npos) return "an edit does not apply: " + from;
    text.replace(at, from.size(), edit["to"].as<std::string>());
  }
  return text;
}

const YAML::Node& table() {
  static const YAML::Node kTable = YAML::LoadFile(DBPROXY_BAD_MANIFESTS);
  return kTable;
}

std::vector<Case> cases() {
  std::vector<Case> out;
  auto base = table()["base"].as<std::string>();
  for (const auto& node : table()["cases"]) {
    std::string text = with_edits(base, node["edits"]);
    if (node["append"]) text += node["append"].as<std::string>();
    out.push_back({node["name"].as<std::string>(), text, node["expect"].as<std::vector<std::string>>()});
  }
  return out;
}

std::string test_name(const testing::TestParamInfo<Case>& info) {
  std::string out;
  for (unsigned char c : info.param.name) out += std::isalnum(c) != 0 ? static_cast<char>(c) : '_';
  return out;
}

class BadManifest : public testing::TestWithParam<Case> {};

TEST_P(BadManifest, IsRefusedInTheseWords) {
  Manifests loaded = load_sources({{"bad.yaml", GetParam().manifest}});
  std::vector<std::string> texts;
  for (const auto& diagnostic : loaded.diagnostics) texts.push_back(to_text(diagnostic));
  if (std::getenv("DBPROXY_PRINT_CASES") != nullptr) {
    for (const auto& text : texts) std::cout << "CASE\t" << GetParam().name << "\t" << text << "\n";
  }
  EXPECT_THAT(texts, testing::ElementsAreArray(GetParam().expect));
  for (const auto& text : texts) EXPECT_EQ(text.find("hunter2"), std::string::npos) << text;
}

INSTANTIATE_TEST_SUITE_P(Table, BadManifest, testing::ValuesIn(cases()), test_name);

TEST(BadManifests, TheirBaseIsGood) {
  Manifests loaded = load_sources({{"good.yaml", table()["base"].as<std::string>()}});
  for (const auto& diagnostic : loaded.diagnostics) ADD_FAILURE() << to_text(diagnostic);
  EXPECT_EQ(loaded.proxies.size(), 1u);
  EXPECT_EQ(loaded.endpoints.size(), 1u);
}

}  // namespace
}  // namespace dbproxy::manifest
