#include "support.hpp"

#include "operator/webhook/quantity.hpp"

namespace dbproxy::webhook {
namespace {

using testing::HasSubstr;

json::object with_resources(const std::string& resources, const std::string& annotations = "{}") {
  json::object pod = plain_pod();
  pod.at("spec").at("containers").at(0).as_object()["resources"] = json::parse(resources);
  pod.at("metadata").as_object()["annotations"] = json::parse(annotations);
  return pod;
}

json::value resources(const json::object& pod) {
  return sidecar_in(injected(pod)).at("resources");
}

TEST(Resources, AreSmallByDefault) {
  const json::value out = resources(plain_pod());
  EXPECT_EQ(json::serialize(out), R"({"requests":{"cpu":"20m","memory":"48Mi"},"limits":{"memory":"256Mi"}})");
}

TEST(Resources, KeepAGuaranteedPodGuaranteed) {
  for (const char* text :
       {R"({"limits": {"cpu": "1", "memory": "1Gi"}})",
        R"({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1024Mi"}})"}) {
    const json::value out = resources(with_resources(text));
    EXPECT_EQ(out.at("requests"), out.at("limits")) << text;
    EXPECT_EQ(out.at("limits").at("cpu"), "250m");
  }
  const json::value asked =
      resources(with_resources(R"({"limits": {"cpu": "1", "memory": "1Gi"}})", R"({"dbproxy.io/cpu-limit": "2"})"));
  EXPECT_EQ(asked.at("requests").at("cpu"), "2");
}

TEST(Resources, HaveTheLimitsThatAQuotaWantsOfEveryContainer) {
  const json::value out = resources(with_resources(R"({"limits": {"cpu": "1"}, "requests": {"cpu": "100m"}})"));
  EXPECT_EQ(out.at("limits").at("cpu"), "250m");
  EXPECT_EQ(out.at("requests").at("cpu"), "20m");
}

TEST(Resources, FollowAnnotations) {
  const json::value out = resources(with_resources("{}", R"({"dbproxy.io/cpu-request": "50m", "dbproxy.io/cpu-limit":
      "0.5", "dbproxy.io/memory-request": "512Mi"})"));
  EXPECT_EQ(json::serialize(out),
            R"({"requests":{"cpu":"50m","memory":"512Mi"},"limits":{"cpu":"0.5","memory":"512Mi"}})");
  EXPECT_THAT(refusal(with_resources("{}", R"({"dbproxy.io/memory-limit": "lots"})")),
              HasSubstr("annotation dbproxy.io/memory-limit: \"lots\" is not a quantity"));
}

TEST(Quantity, IsReadAsKubernetesDoes) {
  EXPECT_DOUBLE_EQ(*parse_quantity("250m"), 0.25);
  EXPECT_DOUBLE_EQ(*parse_quantity("1Gi"), 1073741824.0);
  EXPECT_DOUBLE_EQ(*parse_quantity("1e3"), 1000.0);
  EXPECT_DOUBLE_EQ(*parse_quantity("0.5"), 0.5);
  EXPECT_DOUBLE_EQ(*parse_quantity("2E"), 2e18);
  for (const char* bad : {"", "m", "-1", "1 Gi", "1Gib", "1e", "1e99", ".", "1.2.3", "0x10"}) {
    EXPECT_FALSE(parse_quantity(bad)) << bad;
  }
}

}  // namespace
}  // namespace dbproxy::webhook
