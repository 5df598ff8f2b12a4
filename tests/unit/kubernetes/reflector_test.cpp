#include "operator/kubernetes/reflector.hpp"

#include <gtest/gtest.h>
#include <set>

#include "tests/unit/kubernetes/scripted_server.hpp"

namespace dbproxy::kubernetes {
namespace {

using Peer = ScriptedServer::Peer;
using std::chrono::milliseconds;

std::string item(const std::string& name, const std::string& version) {
  return R"({"metadata":{"namespace":"a","name":")" + name + R"(","resourceVersion":")" + version +
         R"(","managedFields":[1]}})";
}
std::string list(const std::string& items, const std::string& version, const std::string& next = "") {
  return R"({"metadata":{"resourceVersion":")" + version + R"(","continue":")" + next + R"("},"items":[)" + items +
         "]}";
}
std::string event(const std::string& type, const std::string& object) {
  return R"({"type":")" + type + R"(","object":)" + object + "}";
}
const std::string kExpired =
    R"({"kind":"Status","status":"Failure","reason":"Expired","message":"too old resource version","code":410})";

ReflectorOptions options(bool streaming = false) {
  ReflectorOptions out;
  out.resource = {"", "v1", "things"};
  out.streaming = streaming;
  out.backoff_base = milliseconds(10);
  out.backoff_cap = milliseconds(50);
  return out;
}

std::set<std::string> keys(const Reflector& reflector) {
  std::set<std::string> out;
  for (const auto& [key, object] : reflector.store().all()) {
    out.insert(key + "@" + std::string(resource_version_of(*object)));
  }
  return out;
}
using Keys = std::set<std::string>;

TEST(Reflector, ListsInPagesAndWatchesOn) {
  ScriptedServer server([](const Asked& asked, Peer& peer) {
    if (asked.has("watch=true")) {
      peer.begin_stream();
      if (!asked.has("resourceVersion=10")) return peer.hold();
      peer.line(event("ADDED", item("z", "11")));
      peer.line(event("DELETED", item("x", "12")));
      peer.line(event("MODIFIED", item("y", "13")));
      peer.line(event("BOOKMARK", R"({"metadata":{"resourceVersion":"20"}})"));
      peer.end_stream();
    } else if (asked.has("continue=more")) {
      peer.answer(200, list(item("y", "2"), "10"));
    } else {
      peer.answer(200, list(item("x", "1"), "10", "more"));
    }
  });
  Client client(server.config());
  std::vector<std::string> seen;
  Reflector reflector(client, options(), [&](const Change& change) {
    seen.push_back((change.after ? change.before ? "~" : "+" : "-") + change.key);
  });
  reflector.start();
  EXPECT_TRUE(eventually([&] { return server.asked().size() >= 4; }));
  EXPECT_TRUE(server.asked()[0].has("limit=500"));
  EXPECT_TRUE(server.asked()[3].has("resourceVersion=20")) << server.asked()[3].target;  // the bookmark's
  EXPECT_TRUE(server.asked()[3].has("allowWatchBookmarks=true"));
  reflector.stop();
  EXPECT_EQ(keys(reflector), (Keys{"a/y@13", "a/z@11"}));
  EXPECT_EQ(seen, (std::vector<std::string>{"+a/x", "+a/y", "+a/z", "-a/x", "~a/y"}));
  EXPECT_FALSE(reflector.store().get("a/y")->at("metadata").as_object().contains("managedFields"));
}

TEST(Reflector, TakesAStreamingList) {
  ScriptedServer server([](const Asked& asked, Peer& peer) {
    ASSERT_TRUE(asked.has("watch=true"));
    ASSERT_TRUE(asked.has("sendInitialEvents=true&resourceVersionMatch=NotOlderThan"));
    peer.begin_stream();
    peer.line(event("ADDED", item("x", "1")));
    peer.line(event("ADDED", item("y", "2")));
    peer.line(event("BOOKMARK",
                    R"({"metadata":{"resourceVersion":"9","annotations":{"k8s.io/initial-events-end":"true"}}})"));
    peer.line(event("DELETED", item("x", "10")));
    peer.hold();
  });
  Client client(server.config());
  Reflector reflector(client, options(true), nullptr);
  reflector.start();
  EXPECT_TRUE(eventually([&] { return keys(reflector) == Keys{"a/y@2"}; }));
  EXPECT_TRUE(reflector.synced());
}

// Whatever way a server has to say that it cannot: as a status, or with 200 and an error inside.
TEST(Reflector, FallsBackToAList) {
  for (const bool inside : {false, true}) {
    ScriptedServer server([inside](const Asked& asked, Peer& peer) {
      if (asked.has("sendInitialEvents")) {
        const std::string status = R"({"kind":"Status","reason":"Invalid","message":"no","code":422})";
        if (!inside) return peer.answer(422, status);
        peer.begin_stream();
        peer.line(event("ERROR", R"({"kind":"Status","reason":"InternalError","message":"etcd","code":500})"));
        peer.end_stream();
      } else if (asked.has("watch=true")) {
        peer.begin_stream();
        peer.hold();
      } else {
        peer.answer(200, list(item("x", "1"), "10"));
      }
    });
    Client client(server.config());
    Reflector reflector(client, options(true), nullptr);
    reflector.start();
    EXPECT_TRUE(eventually([&] { return reflector.synced() && server.asked().size() == 3; }));
    EXPECT_EQ(keys(reflector), (Keys{"a/x@1"}));
    EXPECT_EQ(reflector.counts().failures, 0U);
  }
}

TEST(Reflector, ListsAgainAfter410InBothShapes) {
  for (const bool inside : {false, true}) {
    std::atomic<int> lists{0};
    ScriptedServer server([&](const Asked& asked, Peer& peer) {
      if (!asked.has("watch=true")) {
        return ++lists == 1 ? peer.answer(200, list(item("x", "1"), "10"))
                            : peer.answer(200, list(item("y", "2"), "30"));
      }
      if (asked.has("resourceVersion=10") && !inside) return peer.answer(410, kExpired);
      peer.begin_stream();
      if (asked.has("resourceVersion=10")) {
        peer.line(event("ERROR", kExpired));
        return peer.end_stream();
      }
      peer.hold();
    });
    Client client(server.config());
    Reflector reflector(client, options(), nullptr);
    reflector.start();
    EXPECT_TRUE(eventually([&] { return keys(reflector) == Keys{"a/y@2"}; })) << inside;
    EXPECT_EQ(reflector.counts().expired, 1U);
  }
}

TEST(Reflector, ListsFromTheStartWhereAContinueTokenExpires) {
  std::atomic<int> firsts{0};
  ScriptedServer server([&](const Asked& asked, Peer& peer) {
    if (asked.has("watch=true")) {
      peer.begin_stream();
      peer.hold();
    } else if (asked.has("continue=")) {
      peer.answer(410, kExpired);
    } else if (asked.has("limit=")) {
      ++firsts;
      peer.answer(200, list(item("x", "1"), "10", "more"));
    } else {
      peer.answer(200, list(item("x", "1") + "," + item("y", "2"), "11"));
    }
  });
  Client client(server.config());
  Reflector reflector(client, options(), nullptr);
  reflector.start();
  EXPECT_TRUE(eventually([&] { return keys(reflector) == (Keys{"a/x@1", "a/y@2"}); }));
  EXPECT_EQ(firsts, 3);
}

TEST(Reflector, AsksForSmallerPages) {
  ScriptedServer server([&](const Asked& asked, Peer& peer) {
    if (asked.has("watch=true")) {
      peer.begin_stream();
      return peer.hold();
    }
    const bool small = asked.has("limit=125");
    peer.answer(200, small ? list(item("x", "1"), "10") : list(item(std::string(3000, 'x'), "1"), "10"));
  });
  Client client(server.config());
  ReflectorOptions small = options();
  small.max_page_bytes = 2000;
  Reflector reflector(client, small, nullptr);
  reflector.start();
  EXPECT_TRUE(eventually([&] { return keys(reflector) == Keys{"a/x@1"}; }));
}

TEST(Reflector, SurvivesRefusalsAndCutsAndWhatIsNotTheApi) {
  std::atomic<int> lists{0};
  std::atomic<int> watches{0};
  ScriptedServer server([&](const Asked& asked, Peer& peer) {
    if (!asked.has("watch=true")) {
      switch (++lists) {
        case 1:
          return peer.answer(503, "starting");
        case 2:
          return peer.answer(200, "<html>");
        case 3:
          return peer.answer(200, R"({"metadata":{"resourceVersion":"1"},"items":[{"metadata":{}}]})");
        case 4:
          return peer.close();
        default:
          return peer.answer(200, list(item("x", "1"), "10"));
      }
    }
    switch (++watches) {
      case 1:
        return peer.close();
      case 2:
        peer.begin_stream();
        peer.line(event("ADDED", item("y", "11")));
        return peer.close();
      case 3:
        peer.begin_stream();
        peer.line("nonsense");
        return peer.hold();
      case 4:
        peer.begin_stream();
        return peer.end_stream();
      default:
        peer.begin_stream();
        if (asked.has("resourceVersion=11")) peer.line(event("ADDED", item("z", "12")));
        return peer.hold();
    }
  });
  Client client(server.config());
  Reflector reflector(client, options(), nullptr);
  reflector.start();
  EXPECT_TRUE(eventually([&] { return keys(reflector) == (Keys{"a/x@1", "a/y@11", "a/z@12"}); }));
}

// A server whose storage was put back knows nothing of our version, and may say anything but 410.
TEST(Reflector, DoesNotInsistOnAVersionThatIsRefused) {
  std::atomic<int> lists{0};
  ScriptedServer server([&](const Asked& asked, Peer& peer) {
    if (!asked.has("watch=true")) {
      return ++lists == 1 ? peer.answer(200, list(item("x", "900"), "900")) : peer.answer(200, list("", "3"));
    }
    if (asked.has("resourceVersion=900")) {
      return peer.answer(504,
                         R"({"kind":"Status","reason":"Timeout","message":"Too large resource version","code":504})");
    }
    peer.begin_stream();
    peer.hold();
  });
  Client client(server.config());
  Reflector reflector(client, options(), nullptr);
  reflector.start();
  EXPECT_TRUE(eventually([&] { return lists == 2 && reflector.store().size() == 0; }));
}

TEST(Reflector, NoticesAWatchThatHasGoneSilent) {
  std::atomic<int> watches{0};
  ScriptedServer server([&](const Asked& asked, Peer& peer) {
    if (!asked.has("watch=true")) return peer.answer(200, list("", "10"));
    peer.begin_stream();
    if (++watches == 1) peer.line(event("BOOKMARK", R"({"metadata":{"resourceVersion":"12"}})"));
    if (watches == 2 && asked.has("resourceVersion=12")) peer.line(event("ADDED", item("x", "13")));
    peer.hold();
  });
  Client client(server.config());
  ReflectorOptions quiet = options();
  quiet.quiet_limit = milliseconds(50);
  Reflector reflector(client, quiet, nullptr);
  reflector.start();
  EXPECT_TRUE(eventually([&] { return keys(reflector) == Keys{"a/x@13"}; }));
}

TEST(Reflector, HonoursRetryAfter) {
  ScriptedServer server([&](const Asked& asked, Peer& peer) {
    if (!asked.has("watch=true")) return peer.answer(200, list("", "10"));
    peer.answer(429, "", "Retry-After: 3600\r\n");
  });
  Client client(server.config());
  Reflector reflector(client, options(), nullptr);
  reflector.start();
  EXPECT_TRUE(eventually([&] { return reflector.counts().failures == 1; }));
  EXPECT_EQ(server.asked().size(), 2U);
  reflector.stop();  // does not wait an hour
}

TEST(Reflector, AsksForMetadataOnlyAndTrims) {
  ScriptedServer server([&](const Asked& asked, Peer& peer) {
    if (!asked.has("watch=true")) return peer.answer(200, list(item("x", "1"), "10"));
    peer.begin_stream();
    peer.hold();
  });
  Client client(server.config());
  ReflectorOptions partial = options();
  partial.metadata_only = true;
  partial.label_selector = "a=b";
  partial.trim = [](json::object object) {
    object["own"] = true;
    return object;
  };
  Reflector reflector(client, partial, nullptr);
  reflector.start();
  EXPECT_TRUE(eventually([&] { return server.asked().size() == 2; }));
  EXPECT_NE(server.asked()[0].header("Accept").find("PartialObjectMetadataList"), std::string::npos);
  EXPECT_NE(server.asked()[1].header("Accept").find("as=PartialObjectMetadata;"), std::string::npos);
  EXPECT_TRUE(server.asked()[1].has("labelSelector=a%3Db"));
  EXPECT_TRUE(reflector.store().get("a/x")->contains("own"));
}

}  // namespace
}  // namespace dbproxy::kubernetes
