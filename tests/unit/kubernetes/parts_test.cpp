#include <gtest/gtest.h>

#include "operator/kubernetes/backoff.hpp"
#include "operator/kubernetes/resource.hpp"
#include "operator/kubernetes/store.hpp"
#include "operator/kubernetes/watch_event.hpp"
#include "operator/kubernetes/work_queue.hpp"

namespace dbproxy::kubernetes {
namespace {

ObjectPtr object(const std::string& name, const std::string& version, const std::string& uid = "u") {
  return std::make_shared<const json::object>(parse_json(R"({"metadata":{"namespace":"a","name":")" + name +
                                                         R"(","uid":")" + uid + R"(","resourceVersion":")" + version +
                                                         R"("}})")
                                                  ->as_object());
}

TEST(Resource, PathsAndQueries) {
  const Resource pods{"", "v1", "pods"};
  const Resource proxies{"dbproxy.io", "v1alpha1", "dbproxies"};
  EXPECT_EQ(path_of(pods, ""), "/api/v1/pods");
  EXPECT_EQ(path_of(proxies, "shop", "orders", "status"),
            "/apis/dbproxy.io/v1alpha1/namespaces/shop/dbproxies/orders/status");
  EXPECT_EQ(path_of(pods, "a/../b", "?"), "/api/v1/namespaces/a%2F..%2Fb/pods/%3F");
  EXPECT_EQ(query_text({{"a", ""}, {"labelSelector", "x=y,z"}, {"continue", "+/="}}),
            "?labelSelector=x%3Dy%2Cz&continue=%2B%2F%3D");
  EXPECT_EQ(query_text({{"a", ""}}), "");
  EXPECT_EQ(proxies.name(), "dbproxies.dbproxy.io");
}

TEST(Backoff, DoublesUpToItsCapAndStartsOver) {
  using std::chrono::milliseconds;
  Backoff backoff;
  Backoff::Time now{};
  EXPECT_EQ(backoff.next(now, 0), milliseconds(800));
  EXPECT_EQ(backoff.next(now, 0), milliseconds(1600));
  EXPECT_EQ(backoff.next(now, 0.5), milliseconds(4800));
  for (int i = 0; i < 100; ++i) EXPECT_LE(backoff.next(now, 0.999), milliseconds(30'000));
  EXPECT_EQ(backoff.next(now, 0), milliseconds(30'000));
  now += std::chrono::minutes(3);
  EXPECT_EQ(backoff.next(now, 0), milliseconds(800));
}

TEST(WatchEvent, Decodes) {
  const auto added = decode_watch_event(R"({"type":"ADDED","object":{"metadata":{"name":"x","resourceVersion":"7"}}})");
  ASSERT_TRUE(added.has_value());
  EXPECT_EQ(added->type, WatchEvent::Type::kAdded);
  const auto end = decode_watch_event(
      R"({"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9","annotations":{"k8s.io/initial-events-end":"true"}}}})");
  ASSERT_TRUE(end.has_value());
  EXPECT_TRUE(end->initial_end);
}

TEST(WatchEvent, ErrorsAreFailures) {
  const auto gone = decode_watch_event(
      R"({"type":"ERROR","object":{"kind":"Status","status":"Failure","reason":"Expired","message":"too old","code":410}})");
  ASSERT_TRUE(gone.has_error());
  EXPECT_TRUE(gone.error().expired());
  const auto busy =
      decode_watch_event(R"({"type":"ERROR","object":{"kind":"Status","code":429,"details":{"retryAfterSeconds":7}}})");
  EXPECT_EQ(busy.error().retry_after, std::chrono::milliseconds(7000));
}

TEST(WatchEvent, RefusesWhatIsNotAnEvent) {
  for (const char* line :
       {"", "{", "[]", "null", R"({"type":"ADDED"})", R"({"type":"ADDED","object":[]})",
        R"({"type":"ADDED","object":{"metadata":{"name":"x"}}})",
        R"({"type":"ADDED","object":{"metadata":{"resourceVersion":"1"}}})",
        R"({"type":"NEWS","object":{"metadata":{"name":"x","resourceVersion":"1"}}})", "{\"type\":\"\xff\"}"}) {
    const auto event = decode_watch_event(line);
    ASSERT_TRUE(event.has_error()) << line;
    EXPECT_EQ(event.error().kind, Failure::Kind::kMalformed) << line;
  }
  std::string deep = R"({"type":"ADDED","object":)";
  for (int i = 0; i < 5000; ++i) deep += "[";
  EXPECT_TRUE(decode_watch_event(deep).has_error());
}

TEST(Store, TellsWhatChanged) {
  Store store;
  EXPECT_EQ(store.put(object("x", "1")).size(), 1U);
  EXPECT_EQ(store.put(object("x", "1")).size(), 0U);
  EXPECT_EQ(store.put(object("y", "2")).size(), 1U);
  // x is as it was, y was made anew under its name, z is new.
  const auto changes =
      store.replace({{"a/x", object("x", "1")}, {"a/y", object("y", "2", "other")}, {"a/z", object("z", "5")}});
  ASSERT_EQ(changes.size(), 2U);
  EXPECT_EQ(changes[0].key, "a/y");
  EXPECT_TRUE(changes[0].before);
  EXPECT_EQ(changes[1].key, "a/z");
  EXPECT_EQ(store.remove("a/x").size(), 1U);
  EXPECT_EQ(store.remove("a/x").size(), 0U);
  const auto rest = store.replace({});
  EXPECT_EQ(rest.size(), 2U);
  EXPECT_FALSE(rest[0].after);
  EXPECT_EQ(store.size(), 0U);
}

TEST(Times, AreAsTheApiWritesThem) {
  const auto when = std::chrono::system_clock::time_point(std::chrono::microseconds(1'767'225'600'000'042));
  EXPECT_EQ(micro_time(when), "2026-01-01T00:00:00.000042Z");
  EXPECT_EQ(parse_time("2026-01-01T00:00:00.000042Z"), when);
  EXPECT_GT(parse_time("9999-12-31T23:59:59.9Z"), when);  // later than the clock can tell
  EXPECT_LT(parse_time("0001-01-01T00:00:00Z"), when);
  EXPECT_EQ(second_time(*parse_time("2026-01-01T00:00:00Z")), "2026-01-01T00:00:00Z");
  for (const char* bad : {"", "2026-01-01", "2026-01-01T00:00:00", "2026-01-01T00:00:00+01:00", "now"}) {
    EXPECT_FALSE(parse_time(bad)) << bad;
  }
  EXPECT_EQ(second_time(when), "2026-01-01T00:00:00Z");
}

TEST(WorkQueue, TakesEachKeyOnce) {
  WorkQueue queue;
  queue.add("a");
  queue.add("b");
  queue.add("a");
  EXPECT_EQ(queue.size(), 2U);
  EXPECT_EQ(queue.take(), "a");
  queue.add("a");  // while it is in work: comes again, but not now
  EXPECT_EQ(queue.take(), "b");
  EXPECT_EQ(queue.size(), 0U);
  queue.done("a");
  EXPECT_EQ(queue.take(), "a");
  queue.done("a");
  queue.done("b");
  EXPECT_TRUE(queue.idle());
  queue.close();
  EXPECT_EQ(queue.take(), std::nullopt);
}

TEST(WorkQueue, BringsBackWhatFailed) {
  WorkQueue queue(std::chrono::milliseconds(20), std::chrono::milliseconds(40));
  const auto began = std::chrono::steady_clock::now();
  queue.add_failed("a");
  EXPECT_EQ(queue.take(), "a");
  queue.done("a");
  queue.add_failed("a");
  queue.add_after("a", std::chrono::hours(1));  // the sooner time counts
  EXPECT_EQ(queue.take(), "a");
  EXPECT_GE(std::chrono::steady_clock::now() - began, std::chrono::milliseconds(60));
}

TEST(Failure, ReadsAStatus) {
  const Failure failure =
      failure_of(409, R"({"kind":"Status","reason":"Conflict","message":"the object\nhas changed","code":409})");
  EXPECT_TRUE(failure.conflict());
  EXPECT_EQ(failure.text(), "409 Conflict: the object has changed");
  EXPECT_EQ(failure_of(502, "<html>").text(), "502: <html>");
  EXPECT_EQ(failure_of(500, std::string(100000, 'x')).message.size(), 1024U);
}

}  // namespace
}  // namespace dbproxy::kubernetes
