// The loader knows every field of the CRDs, with the same type. (tests/kubernetes has the other direction.)
#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include "proxy/manifest/loader.hpp"

namespace dbproxy::manifest {
namespace {

// A value of the schema's type; a list has one item, a map one key.
YAML::Node sample(const YAML::Node& schema) {
  const auto type = schema["type"].as<std::string>();
  YAML::Node out;
  if (type == "object" && schema["properties"]) {
    for (const auto& field : schema["properties"]) {
      if (field.first.as<std::string>() == "namespace") continue;  // there only to be refused
      out[field.first.as<std::string>()] = sample(field.second);
    }
  } else if (type == "object") {
    out["key"] = "x";
  } else if (type == "array") {
    out.push_back(sample(schema["items"]));
  } else if (type == "boolean") {
    out = true;
  } else if (type == "string") {
    out = "x";
  } else {
    out = 1;
  }
  return out;
}

TEST(Schema, HasNoFieldThatTheLoaderDoesNotKnow) {
  for (const char* file : {"dbproxies.yaml", "dbproxyendpoints.yaml"}) {
    const YAML::Node crd = YAML::LoadFile(std::string(DBPROXY_CRDS) + "/" + file);
    YAML::Node object;
    object["apiVersion"] = "dbproxy.io/v1alpha1";
    object["kind"] = crd["spec"]["names"]["kind"];
    object["metadata"]["name"] = "x";
    object["spec"] = sample(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]);
    const Manifests loaded = load_sources({{file, YAML::Dump(object)}});
    EXPECT_FALSE(loaded.diagnostics.empty()) << "\"x\" is no value for most fields";
    for (const auto& diagnostic : loaded.diagnostics) {
      EXPECT_NE(diagnostic.rule, "is not a known field") << to_text(diagnostic);
      EXPECT_EQ(diagnostic.rule.find(", not a "), std::string::npos) << to_text(diagnostic);
    }
  }
}

}  // namespace
}  // namespace dbproxy::manifest
