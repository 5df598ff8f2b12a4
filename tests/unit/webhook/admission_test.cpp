#include "operator/webhook/admission.hpp"

#include "support.hpp"

namespace dbproxy::webhook {
namespace {

using testing::HasSubstr;

std::string request_for(const json::object& pod, const char* operation = "CREATE") {
  return json::serialize(json::object{{"apiVersion", "admission.k8s.io/v1"},
                                      {"kind", "AdmissionReview"},
                                      {"request",
                                       {{"uid", "u-1"},
                                        {"kind", {{"group", ""}, {"version", "v1"}, {"kind", "Pod"}}},
                                        {"operation", operation},
                                        {"namespace", "shop"},
                                        {"object", pod}}}});
}

Review answer(const std::string& body) {
  static const manifest::Manifests kManifests = manifests();
  return review(body, {}, [](const std::string& name_space, const std::string& name, std::string&) {
    return find_in(kManifests, name_space, name);
  });
}

TEST(Admission, AnswersWithAPatch) {
  const Review out = answer(request_for(plain_pod()));
  ASSERT_EQ(out.status, 200u);
  const json::value response = json::parse(out.body).at("response");
  EXPECT_EQ(response.at("uid"), "u-1");
  EXPECT_EQ(response.at("allowed"), true);
  EXPECT_EQ(response.at("patchType"), "JSONPatch");
  EXPECT_THAT(std::string(response.at("patch").as_string()), testing::StartsWith("W3si"));  // [{"
  EXPECT_EQ(out.pod, "web");
}

TEST(Admission, RefusesInWords) {
  const Review out = answer(request_for(plain_pod("nothing")));
  const json::value response = json::parse(out.body).at("response");
  EXPECT_EQ(response.at("allowed"), false);
  EXPECT_THAT(std::string(response.at("status").at("message").as_string()), HasSubstr("there is no DBProxy"));
}

TEST(Admission, LetsOtherPodsPass) {
  const json::value response = json::parse(answer(request_for(plain_pod("false"))).body).at("response");
  EXPECT_EQ(response.at("allowed"), true);
  EXPECT_FALSE(response.as_object().contains("patch"));
}

TEST(Admission, TakesNothingElse) {
  EXPECT_EQ(answer("{").status, 400u);
  EXPECT_EQ(answer("[]").status, 400u);
  EXPECT_EQ(answer("{}").status, 400u);
  EXPECT_EQ(answer(request_for(plain_pod(), "UPDATE")).status, 400u);
  EXPECT_EQ(answer(std::string(10000, '[')).status, 400u);
}

TEST(Admission, SurvivesPodsOfAnyShape) {
  for (
      const char* text :
      {R"({"metadata": {"labels": {"dbproxy.io/inject": "orders", "app": "shop"}}})",
       R"({"metadata": {"labels": {"dbproxy.io/inject": "orders", "app": "shop"}}, "spec": {"containers": 7}})",
       R"({"metadata": {"labels": {"dbproxy.io/inject": "orders", "app": "shop"}}, "spec": {"containers": [7, null, {}],
            "volumes": [1], "initContainers": {"a": 1}}})",
       R"({"metadata": {"labels": {"dbproxy.io/inject": "orders", "app": "shop"}}, "spec": {"containers":
            [{"name": 3, "env": [1, {"name": 2}], "volumeMounts": ["x"], "ports": [0]}]}})",
       R"({"metadata": {"labels": 5}, "spec": []})"}) {
    EXPECT_EQ(answer(request_for(pod_of(text))).status, 200u) << text;
  }
}

}  // namespace
}  // namespace dbproxy::webhook
