#include "support.hpp"

namespace dbproxy::webhook {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(Injection, PutsANativeSidecarInFront) {
  const json::object pod = injected(plain_pod("orders", R"("initContainers": [{"name": "migrate"}])"));
  const json::object& sidecar = sidecar_in(pod);
  EXPECT_EQ(sidecar.at("name"), "dbproxy");
  EXPECT_EQ(sidecar.at("restartPolicy"), "Always");
  EXPECT_EQ(pod.at("spec").at("initContainers").at(1).at("name"), "migrate");
  EXPECT_EQ(pod.at("spec").at("containers").as_array().size(), 1u);
  EXPECT_EQ(env_of(pod.at("spec").at("initContainers").at(1).as_object(), "PGHOST"), "127.0.0.1");
}

TEST(Injection, BindsThePodByItsArguments) {
  const json::object pod = injected(plain_pod());
  EXPECT_THAT(
      args_of(sidecar_in(pod)),
      ElementsAre("--operator=dbproxy-operator.dbproxy.svc:9931", "--operator-ca=/var/run/secrets/dbproxy/ca.pem",
                  "--token-file=/var/run/secrets/dbproxy/token", "--identity=$(POD_NAMESPACE)/$(POD_NAME)",
                  "--proxy=shop/orders", "--port=5432", "--port=5433", "--state-dir=/var/lib/dbproxy/state",
                  "--socket-dir=/var/run/dbproxy", "--admin=[$(POD_IP)]:9930",
                  "--admin-socket=/var/lib/dbproxy/admin.sock", "--drain-timeout=25", "--log-format=json"));
}

// By the environment: a sidecar of an older version does not know it as a flag, and would end.
TEST(Injection, TellsTheSidecarThePodsServiceAccount) {
  const json::object pod = injected(plain_pod());
  const auto& env = sidecar_in(pod).at("env").as_array();
  const auto found = std::find_if(env.begin(), env.end(),
                                  [](const json::value& each) { return each.at("name") == "DBPROXY_SERVICE_ACCOUNT"; });
  ASSERT_NE(found, env.end());
  EXPECT_EQ(found->at("valueFrom").at("fieldRef").at("fieldPath"), "spec.serviceAccountName");
}

TEST(Injection, DrainsForLessThanTheGracePeriod) {
  EXPECT_THAT(args_of(sidecar_in(injected(plain_pod("orders", R"("terminationGracePeriodSeconds": 3600)")))),
              Contains("--drain-timeout=3595"));
  EXPECT_THAT(args_of(sidecar_in(injected(plain_pod("orders", R"("terminationGracePeriodSeconds": 2)")))),
              Contains("--drain-timeout=0"));
}

TEST(Injection, PassesTheRestrictedPodSecurityStandard) {
  const json::object pod = injected(plain_pod());
  const json::value& context = sidecar_in(pod).at("securityContext");
  EXPECT_EQ(context.at("allowPrivilegeEscalation"), false);
  EXPECT_EQ(context.at("runAsNonRoot"), true);
  EXPECT_EQ(context.at("readOnlyRootFilesystem"), true);
  EXPECT_EQ(context.at("capabilities").at("drop").at(0), "ALL");
  EXPECT_EQ(context.at("seccompProfile").at("type"), "RuntimeDefault");
  for (const json::value& volume : pod.at("spec").at("volumes").as_array()) {
    EXPECT_TRUE(volume.as_object().contains("emptyDir") || volume.as_object().contains("projected"));
  }
}

TEST(Injection, KeepsItsVolumesInMemoryAndBounded) {
  const json::object pod = injected(plain_pod());
  const auto& volumes = pod.at("spec").at("volumes").as_array();
  ASSERT_EQ(volumes.size(), 5u);
  const json::value& token = volumes[0].at("projected").at("sources").at(0).at("serviceAccountToken");
  EXPECT_EQ(token.at("audience"), "dbproxy-operator");
  const json::value& bundle = volumes[0].at("projected").at("sources").at(1).at("configMap");
  EXPECT_EQ(bundle.at("name"), "dbproxy-operator-ca");
  EXPECT_EQ(bundle.at("optional"), true);
  for (std::size_t i : {2u, 3u, 4u}) {
    EXPECT_EQ(volumes[i].at("emptyDir").at("medium"), "Memory");
    EXPECT_TRUE(volumes[i].at("emptyDir").as_object().contains("sizeLimit"));
  }
}

TEST(Injection, SharesTheSocketDirectoryReadOnly) {
  const json::object pod = injected(plain_pod());
  const json::value& mount = pod.at("spec").at("containers").at(0).at("volumeMounts").at(0);
  EXPECT_EQ(mount.at("name"), "dbproxy-sockets");
  EXPECT_EQ(mount.at("mountPath"), "/var/run/dbproxy");
  EXPECT_EQ(mount.at("readOnly"), true);
  EXPECT_EQ(pod.at("spec").at("containers").at(0).at("volumeMounts").as_array().size(), 2u);
}

// Without the token of the pod, which is beside it in the sidecar's own volume.
TEST(Injection, GivesTheApplicationTheCaToVerifyTheSidecarWith) {
  const json::object pod = injected(plain_pod("orders", R"("initContainers": [{"name": "migrate"}])"));
  for (const json::value* container :
       {&pod.at("spec").at("containers").at(0), &pod.at("spec").at("initContainers").at(1)}) {
    const json::value& mount = container->at("volumeMounts").at(1);
    EXPECT_EQ(mount.at("name"), "dbproxy-ca");
    EXPECT_EQ(mount.at("mountPath"), "/etc/dbproxy");
    EXPECT_EQ(mount.at("readOnly"), true);
  }
  const json::value& volume = pod.at("spec").at("volumes").at(1);
  EXPECT_EQ(volume.at("name"), "dbproxy-ca");
  ASSERT_EQ(volume.at("projected").at("sources").as_array().size(), 1u);
  EXPECT_EQ(volume.at("projected").at("sources").at(0).at("configMap").at("name"), "dbproxy-operator-ca");
}

TEST(Injection, NamesWhereKeysOfAwsAreLentWhereThePodAsksForIt) {
  json::object pod = plain_pod();
  pod.at("metadata").as_object()["annotations"] = json::object{{"dbproxy.io/aws-credentials", "true"}};
  const json::object with = injected(pod);
  const json::object& app = with.at("spec").at("containers").at(0).as_object();
  EXPECT_EQ(env_of(app, "AWS_CONTAINER_CREDENTIALS_FULL_URI"), "http://127.0.0.1:9934/credentials");
  EXPECT_EQ(env_of(app, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"), "/var/run/dbproxy/aws-credentials-token");
  EXPECT_THAT(args_of(sidecar_in(with)), Contains("--aws-credentials-port=9934"));
  EXPECT_THAT(args_of(sidecar_in(with)),
              Contains("--aws-credentials-token-file=/var/run/dbproxy/aws-credentials-token"));

  pod.at("spec").at("containers").at(0).as_object()["env"] =
      json::parse(R"([{"name": "AWS_WEB_IDENTITY_TOKEN_FILE", "value": "/token"}])");
  const json::object own = injected(pod);
  EXPECT_EQ(own.at("spec").at("containers").at(0).at("env").as_array().size(), 3u) << "an SDK would not ask for others";

  EXPECT_THAT(args_of(sidecar_in(injected(plain_pod()))), testing::Not(Contains(HasSubstr("aws-credentials"))));
  pod.at("spec").as_object()["hostNetwork"] = true;
  EXPECT_THAT(refusal(pod), HasSubstr("keys of AWS to others"));
  pod.at("metadata").at("annotations").as_object()["dbproxy.io/aws-credentials"] = "yes";
  EXPECT_THAT(refusal(pod), HasSubstr("write \"true\" or \"false\""));
}

TEST(Injection, SetsWhereTheDatabaseIsUnlessTheApplicationDoes) {
  json::object pod = plain_pod();
  pod.at("spec").at("containers").at(0).as_object()["env"] =
      json::parse(R"([{"name": "PGHOST", "value": "elsewhere"}, {"name": "X", "value": "1"}])");
  pod = injected(pod);
  const json::object& app = pod.at("spec").at("containers").at(0).as_object();
  EXPECT_EQ(env_of(app, "PGHOST"), "elsewhere");
  EXPECT_EQ(env_of(app, "PGPORT"), "5432");
  EXPECT_EQ(env_of(app, "X"), "1");
  EXPECT_EQ(app.at("env").as_array().size(), 3u);
}

TEST(Injection, SpeaksBothEnginesInOnePod) {
  json::object pod = plain_pod("true");
  pod.at("metadata").as_object()["annotations"] = json::object{{"dbproxy.io/proxies", "stock, orders"}};
  pod = injected(pod);
  const json::object& app = pod.at("spec").at("containers").at(0).as_object();
  EXPECT_EQ(env_of(app, "MYSQL_HOST"), "127.0.0.1");
  EXPECT_EQ(env_of(app, "MYSQL_TCP_PORT"), "3306");
  EXPECT_EQ(env_of(app, "PGPORT"), "5432");
  EXPECT_THAT(args_of(sidecar_in(pod)), Contains("--proxy=shop/stock"));
}

TEST(Injection, LeadsToTheSocketWhereThePodItselfIsTheIdentity) {
  const json::object pod = plain_pod();
  const Decision decision = decide(pod, {}, [](BoundProxy& proxy) { proxy.pod_identity = true; });
  EXPECT_EQ(env_of(patched(pod, decision).at("spec").at("containers").at(0).as_object(), "PGHOST"), "/var/run/dbproxy");
}

TEST(Injection, AddsOnlyAndTwiceIsOnce) {
  json::object pod = plain_pod("orders", R"("initContainers": [{"name": "migrate", "env": []}])");
  pod.at("metadata").as_object()["annotations"] = json::object{{"linkerd.io/inject", "enabled"}};
  const Decision decision = decide(pod);
  for (const json::value& operation : decision.patch) EXPECT_EQ(operation.at("op"), "add");
  const json::object once = patched(pod, decision);
  const Decision again = decide(once);
  EXPECT_EQ(again.kind, Decision::Kind::kNothing) << json::serialize(again.patch);
  EXPECT_THAT(again.reason, HasSubstr("already"));
}

TEST(Injection, CompletesAPodThatAnotherWebhookChanged) {
  json::object pod = injected(plain_pod());
  pod.at("spec").at("containers").as_array().push_back(json::object{{"name", "late"}});
  const json::object more = patched(pod, decide(pod));
  EXPECT_EQ(env_of(more.at("spec").at("containers").at(1).as_object(), "PGHOST"), "127.0.0.1");
  EXPECT_EQ(more.at("spec").at("initContainers").as_array().size(), 1u);
  EXPECT_EQ(more.at("spec").at("volumes").as_array().size(), 5u);
}

TEST(Injection, LeavesPodsWithoutTheLabelAlone) {
  EXPECT_EQ(decide(pod_of(R"({"spec": {"containers": []}})")).kind, Decision::Kind::kNothing);
  EXPECT_EQ(decide(plain_pod("false")).kind, Decision::Kind::kNothing);
}

TEST(Injection, FallsBackToAnOrdinaryContainer) {
  Settings settings;
  settings.native = false;
  const json::object pod =
      injected(plain_pod("orders", R"("restartPolicy": "Always", "initContainers": [{"name": "migrate"}])"), settings);
  const json::object& sidecar = sidecar_in(pod, "containers");
  EXPECT_EQ(sidecar.at("name"), "dbproxy");
  EXPECT_FALSE(sidecar.contains("restartPolicy"));
  EXPECT_EQ(env_of(pod.at("spec").at("initContainers").at(0).as_object(), "PGHOST"), "(no env)");
  EXPECT_EQ(annotation_of(pod, "kubectl.kubernetes.io/default-container"), "app");
}

TEST(Injection, KeepsMeshesOutOfTheWay) {
  json::object pod = plain_pod();
  pod.at("metadata").as_object()["annotations"] =
      json::object{{"sidecar.istio.io/status", "{}"}, {"traffic.sidecar.istio.io/excludeOutboundPorts", "443"}};
  pod = injected(pod);
  EXPECT_EQ(annotation_of(pod, "traffic.sidecar.istio.io/excludeOutboundPorts"), "443,6543,9931");
  EXPECT_EQ(annotation_of(pod, "traffic.sidecar.istio.io/excludeInboundPorts"), "9930");
  EXPECT_EQ(annotation_of(pod, "config.linkerd.io/skip-outbound-ports"), "");
}

TEST(Injection, WarnsAboutWhatWeakensIt) {
  json::object pod = plain_pod("orders", R"("shareProcessNamespace": true, "hostNetwork": true)");
  pod.at("spec").at("containers").at(0).as_object()["envFrom"] = json::array{json::object{}};
  pod.at("spec").at("containers").at(0).as_object()["ports"] = json::array{json::object{{"containerPort", 5432}}};
  const Decision decision = decide(pod);
  ASSERT_EQ(decision.warnings.size(), 4u);
  EXPECT_THAT(decision.warnings[0], HasSubstr("shareProcessNamespace"));
  EXPECT_THAT(decision.warnings[1], HasSubstr("hostNetwork"));
  EXPECT_THAT(decision.warnings[2], HasSubstr("envFrom"));
  EXPECT_THAT(decision.warnings[3], HasSubstr("5432"));
  EXPECT_FALSE(sidecar_in(patched(pod, decision)).contains("ports"));
}

TEST(Refusals, SayWhatToDo) {
  EXPECT_THAT(refusal(plain_pod("nothing")), HasSubstr("there is no DBProxy \"nothing\" in namespace shop: make it"));
  EXPECT_THAT(refusal(plain_pod("other/orders")), HasSubstr("write the name alone"));
  EXPECT_THAT(refusal(plain_pod("true")), HasSubstr("annotation dbproxy.io/proxies names no DBProxy"));
  EXPECT_THAT(refusal(plain_pod("orders", R"("os": {"name": "windows"})")), HasSubstr("Windows"));
  EXPECT_THAT(refusal(plain_pod("orders", R"("nodeSelector": {"kubernetes.io/os": "windows"})")), HasSubstr("Windows"));
  EXPECT_THAT(refusal(plain_pod("orders", R"("volumes": [{"name": "dbproxy-state"}])")), HasSubstr("reserved"));
  EXPECT_THAT(refusal(plain_pod("orders", R"("hostNetwork": true)"), {}, [](BoundProxy& p) { p.pod_identity = true; }),
              HasSubstr("PodIdentity"));
  Settings fallback;
  fallback.native = false;
  EXPECT_THAT(refusal(plain_pod("orders", R"("restartPolicy": "OnFailure")"), fallback), HasSubstr("restartPolicy"));

  json::object pod = plain_pod();
  pod.at("metadata").at("labels").as_object()["app"] = "other";
  EXPECT_THAT(refusal(pod), HasSubstr("podSelector"));
  pod = plain_pod();
  pod.at("spec").at("containers").as_array().push_back(json::object{{"name", "dbproxy"}});
  EXPECT_THAT(refusal(pod), HasSubstr("rename it"));
  pod = plain_pod();
  pod.at("spec").at("containers").at(0).as_object()["volumeMounts"] =
      json::array{json::object{{"name", "dbproxy-identity"}}};
  EXPECT_THAT(refusal(pod), HasSubstr("remove the mount"));
}

TEST(Refusals, OfOnePortTwice) {
  json::object pod = plain_pod("true");
  pod.at("metadata").as_object()["annotations"] = json::object{{"dbproxy.io/proxies", "orders,billing"}};
  EXPECT_EQ(
      refusal(pod),
      "DBProxy \"billing\" has the port 5432, which is the port of DBProxy \"orders\" too: give one of them another "
      "port: one sidecar listens on all of them");
}

TEST(Refusals, OfASidecarThatIsBoundElsewhere) {
  json::object pod = injected(plain_pod("billing"));
  pod.at("metadata").at("labels").as_object()["dbproxy.io/inject"] = "orders";
  EXPECT_THAT(refusal(pod), HasSubstr("bound to other DBProxies"));
}

TEST(Refusals, OfTheSidecarsSecretsForOthersAfterInjection) {
  json::object pod = injected(plain_pod());
  pod.at("spec")
      .at("containers")
      .at(0)
      .at("volumeMounts")
      .as_array()
      .push_back(json::object{{"name", "dbproxy-state"}, {"mountPath", "/x"}});
  EXPECT_THAT(refusal(pod), HasSubstr("sidecar's own"));
}

}  // namespace
}  // namespace dbproxy::webhook
