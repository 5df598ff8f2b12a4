// The cases of the table of bad manifests that are refused when a pod is made that asks for everything in them.
#include <yaml-cpp/yaml.h>

#include "support.hpp"

namespace dbproxy::webhook {
namespace {

std::string manifest_of(const YAML::Node& table, const YAML::Node& bad) {
  auto text = table["base"].as<std::string>();
  for (const auto& edit : bad["edits"]) {
    const auto from = edit["from"].as<std::string>();
    text.replace(text.find(from), from.size(), edit["to"].as<std::string>());
  }
  return text + (bad["append"] ? bad["append"].as<std::string>() : "");
}

TEST(BadManifests, AreRefusedAtThePodWhereTheTableSaysSo) {
  const YAML::Node table = YAML::LoadFile(DBPROXY_BAD_MANIFESTS);
  int cases = 0;
  for (const auto& bad : table["cases"]) {
    if (bad["where"].as<std::string>() != "pod") continue;
    ++cases;
    const auto loaded = manifest::load_sources({{"bad.yaml", manifest_of(table, bad)}});
    std::string names;
    for (const auto& proxy : loaded.proxies) names += (names.empty() ? "" : ",") + proxy.metadata.name;
    json::object pod = plain_pod("true");
    pod.at("metadata").as_object()["annotations"] = json::object{{"dbproxy.io/proxies", std::string_view(names)}};
    const Decision decision =
        inject(pod, "shop", {}, [&](const std::string& name_space, const std::string& name, std::string&) {
          return find_in(loaded, name_space, name);
        });
    EXPECT_EQ(decision.kind, Decision::Kind::kRefuse) << bad["name"];
    EXPECT_THAT(decision.reason, testing::HasSubstr("one sidecar listens on all of them"));
  }
  EXPECT_GE(cases, 2);
}

}  // namespace
}  // namespace dbproxy::webhook
