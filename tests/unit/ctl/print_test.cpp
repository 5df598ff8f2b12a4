#include <boost/json.hpp>
#include <gmock/gmock.h>
#include <yaml-cpp/yaml.h>

#include "operator/ctl/document.hpp"
#include "operator/ctl/table.hpp"

namespace dbproxy::ctl {
namespace {

namespace json = boost::json;

TEST(Table, AlignsColumnsAndHidesWideOnes) {
  Table table({{"NAME"}, {"READY"}, {"REASON", true}});
  table.add({"orders", "True", ""});
  table.add({"käse", "False", "Invalid"});
  EXPECT_EQ(table.print({}), "NAME     READY\norders   True\nkäse     False\n");
  Table::Format wide;
  wide.wide = true;
  wide.indent = "  ";
  EXPECT_EQ(table.print(wide), "  NAME     READY   REASON\n  orders   True    <none>\n  käse     False   Invalid\n");
  Table::Format bare;
  bare.headers = false;
  EXPECT_EQ(table.print(bare), "orders   True\nkäse     False\n");
}

TEST(Table, MissingCellsAndControlCharactersAreHarmless) {
  Table table({{"A"}, {"B"}});
  table.add({"\x1b[31mred\n\x7f\xc2\x9b"});
  Table::Format bare;
  bare.headers = false;
  EXPECT_EQ(table.print(bare), "\\x1b[31mred\\x0a\\x7f\\x9b   <none>\n");
}

TEST(Duration, IsShort) {
  EXPECT_EQ(duration(0), "0s");
  EXPECT_EQ(duration(-1), "0s");
  EXPECT_EQ(duration(0.25), "0.25s");
  EXPECT_EQ(duration(95), "95s");
  EXPECT_EQ(duration(3719), "61m");
  EXPECT_EQ(duration(3 * 3600), "3h");
  EXPECT_EQ(duration(400 * 86400.0), "400d");
}

TEST(Document, PrintsJson) {
  const json::value value = json::parse(R"({"a":[1,{"b":"x\"y"}],"e":[],"o":{},"lag":0.25,"t":true,"n":null})");
  EXPECT_EQ(to_json(value),
            "{\n  \"a\": [\n    1,\n    {\n      \"b\": \"x\\\"y\"\n    }\n  ],\n  \"e\": [],\n  \"o\": {},\n"
            "  \"lag\": 0.25,\n  \"t\": true,\n  \"n\": null\n}\n");
  EXPECT_EQ(json::parse(to_json(value)), value);
}

TEST(Document, PrintsYaml) {
  EXPECT_EQ(to_yaml(json::parse(R"({"name":"orders","list":[{"a":1},{"a":2}],"e":[],"o":{}})")),
            "name: orders\nlist:\n  - a: 1\n  - a: 2\ne: []\no: {}\n");
}

TEST(Document, YamlKeepsStringsStrings) {
  for (const char* text : {"true", "NO", "null", "~", "",           "123", "1e3", "0x1f",        ".5", "a: b",
                           "- a",  "#x", "a\nb", "é", "2024-01-01", "*a",  "[",   "shop/orders", " a", "\x1b"}) {
    json::object object;
    object["k"] = text;
    const std::string yaml = to_yaml(object);
    EXPECT_EQ(YAML::Load(yaml)["k"].as<std::string>(), text) << yaml;
    if (std::string(text) != "shop/orders") {
      EXPECT_NE(yaml.find('"'), std::string::npos) << yaml;
    }
  }
}

TEST(Document, LookupsToleratesWhatIsMissing) {
  const json::value value = json::parse(R"({"a":{"n":3,"d":1.5,"b":false,"s":"x"},"l":[1,2]})");
  EXPECT_EQ(text_at(value, "/a/n"), "3");
  EXPECT_EQ(text_at(value, "/a/d"), "1.5");
  EXPECT_EQ(text_at(value, "/a/b"), "false");
  EXPECT_EQ(text_at(value, "/a/s"), "x");
  EXPECT_EQ(text_at(value, "/z/s"), "");
  EXPECT_EQ(text_at(json::value("bare"), "/z"), "");
  EXPECT_EQ(number_at(value, "/a/d"), 1.5);
  EXPECT_EQ(number_at(value, "/a/s"), 0);
  EXPECT_EQ(array_at(value, "/l").size(), 2U);
  EXPECT_TRUE(array_at(value, "/a").empty());
}

}  // namespace
}  // namespace dbproxy::ctl
