#include "operator/kubernetes_mode/binding.hpp"

#include <gtest/gtest.h>

namespace dbproxy::kubernetes_mode {
namespace {

kubernetes::json::object pod(const std::string& spec, const std::string& more = "") {
  return kubernetes::parse_json(R"({"metadata":{"namespace":"shop","name":"web","uid":"u","resourceVersion":"1",
                                   "labels":{"app":"x"})" +
                                more + R"(},"spec":)" + spec + R"(,"status":{"phase":"Running","podIP":"10.0.0.1"}})")
      ->as_object();
}

using Names = std::vector<std::string>;

TEST(Binding, IsReadFromTheSidecarsArguments) {
  const auto both = pod(R"({"initContainers":[{"name":"migrate","args":["--proxy","shop/wrong"]},
      {"name":"dbproxy","args":["--proxy","shop/a","--identity","--proxy=x","--proxy=shop/b","--proxy"]}],
      "containers":[{"name":"dbproxy","args":["--proxy","shop/late"]}]})");
  EXPECT_EQ(facts_of(both).proxies, (Names{"shop/a", "x", "shop/b"}));
  EXPECT_EQ(facts_of(pod(R"({"containers":[{"name":"dbproxy","command":["dbproxy","--proxy","shop/c"]}]})")).proxies,
            Names{"shop/c"});
  EXPECT_FALSE(facts_of(pod(R"({"containers":[{"name":"app"}]})")).sidecar);
  EXPECT_TRUE(facts_of(pod(R"({"containers":[{"name":"dbproxy"}]})")).sidecar);
}

TEST(Binding, SurvivesTrimming) {
  const auto whole = pod(R"({"initContainers":[{"name":"dbproxy","args":["--proxy","shop/a"]}]})",
                         R"(,"deletionTimestamp":"2026-01-01T00:00:00Z","annotations":{"big":"x"})");
  const auto trimmed = trim_pod(whole);
  EXPECT_FALSE(trimmed.contains("spec"));
  const PodFacts facts = facts_of(trimmed);
  EXPECT_EQ(facts.proxies, Names{"shop/a"});
  EXPECT_TRUE(facts.sidecar);
  EXPECT_TRUE(facts.terminating);
  EXPECT_FALSE(facts.ended);
  EXPECT_EQ(facts.uid, "u");
  EXPECT_EQ(facts.labels.at("app"), "x");
  EXPECT_FALSE(facts_of(trim_pod(pod(R"({"containers":[{"name":"app"}]})"))).sidecar);
}

TEST(Binding, TakesNothingForGranted) {
  for (const char* text : {"{}", R"({"metadata":[],"spec":1})", R"({"spec":{"containers":{"name":"dbproxy"}}})",
                           R"({"spec":{"containers":[1,null,{"name":"dbproxy","args":[1,["--proxy"],"--proxy"]}]}})",
                           R"({"metadata":{"labels":[1]},"status":{"phase":1}})"}) {
    EXPECT_TRUE(facts_of(trim_pod(kubernetes::parse_json(text)->as_object())).proxies.empty()) << text;
  }
}

// Only the kubelet has seen it: the phase may be what somebody else concluded of a node that is lost.
TEST(Binding, TellsThatTheSidecarHasEnded) {
  const auto make = [](const char* phase, const char* deleted, const char* state) {
    return boost::json::parse(
               std::string(R"({"metadata": {"namespace": "shop", "name": "web", "deletionTimestamp": ")") + deleted +
               R"("}, "spec": {"initContainers": [{"name": "dbproxy"}]}, "status": {"phase": ")" + phase +
               R"(", "initContainerStatuses": [{"name": "other", "state": {"terminated": {}}},
                       {"name": "dbproxy", "state": {")" +
               state + R"(": {}}}]}})")
        .get_object();
  };
  const std::string when = "2026-01-02T03:04:05Z";
  for (const bool trimmed : {false, true}) {
    const auto facts = [&](kubernetes::json::object each) {
      return facts_of(trimmed ? trim_pod(std::move(each)) : each);
    };
    EXPECT_TRUE(facts(make("Failed", "", "terminated")).sidecar_ended);
    EXPECT_TRUE(facts(make("Running", when.c_str(), "terminated")).sidecar_ended);
    EXPECT_FALSE(facts(make("Running", "", "terminated")).sidecar_ended);  // it is started again
    EXPECT_FALSE(facts(make("Failed", when.c_str(), "running")).sidecar_ended);
    EXPECT_EQ(facts(make("Running", when.c_str(), "running")).deadline, when);
  }
}

}  // namespace
}  // namespace dbproxy::kubernetes_mode
