#include "proxy/session/postgres/listens.hpp"

#include <gtest/gtest.h>

#include "script.hpp"

namespace dbproxy::session::postgres {
namespace {

using Names = std::vector<std::string>;

TEST(Listens, UnlistenedNames) {
  EXPECT_EQ(unlistened("UNLISTEN *", true), Names{""});
  EXPECT_EQ(unlistened("unlisten Abc ; UNLISTEN \"A\"\"b\";", true), (Names{"abc", "A\"b"}));
  EXPECT_EQ(unlistened("SELECT 'x; UNLISTEN a'; /* UNLISTEN b */ UNLISTEN c", true), Names{"c"});
  EXPECT_EQ(unlistened("SELECT unlisten FROM unlisten", true), Names{});
  EXPECT_EQ(unlistened("UNLISTEN", true), Names{});
  EXPECT_EQ(unlistened("UNLISTEN ;UNLISTEN a", true), Names{"a"});
}

TEST(Listens, Sql) {
  EXPECT_EQ(listen_sql({"a", "b\"c"}), "LISTEN \"a\"; LISTEN \"b\"\"c\"");
}

struct ListenScript : Script {
  ListenScript() {
    settings = interner.with(settings, "client_encoding", "UTF8");
    options.share_listen = true;
  }
  std::string row(std::string_view name) {
    std::string out;
    wire::MessageWriter(out, 'D').u16(1).u32(static_cast<std::uint32_t>(name.size())).bytes(name);
    return out;
  }
  std::string message(char type, std::string_view text) {
    std::string out;
    wire::MessageWriter(out, type).cstring(text);
    return out;
  }
  std::string ready(char status = 'I') {
    std::string out;
    wire::ready_for_query(out, status);
    return out;
  }
  std::string query(std::string_view sql) {
    std::string out;
    wire::query(out, sql);
    return out;
  }
  std::string notification(std::uint32_t process_id, std::string_view channel) {
    std::string out;
    wire::MessageWriter(out, 'A').u32(process_id).cstring(channel).cstring("");
    return out;
  }
};

TEST_F(ListenScript, ReadyWaitsUntilTheChannelsAreRead) {
  ClientSession listener{cache, settings};
  ServerSession with{interner, settings};
  server = std::move(with);
  listener.set_process_id(7);
  server.set_process_id(99);
  Output out, told_out;
  listener.attached(server, out, told_out);
  EXPECT_EQ(sent(listener, query("LISTEN a")), "Q(LISTEN a)");
  EXPECT_EQ(listener.pins(), 0u);
  // Ready is kept back; its own notification of that transaction is not.
  EXPECT_EQ(got(listener, message('C', "LISTEN") + notification(99, "a") + notification(5, "a") + ready()),
            "C(LISTEN) A");
  EXPECT_TRUE(server.owes_ready());
  EXPECT_FALSE(listener.can_release(server));
  EXPECT_EQ(sent(listener, query("SELECT 1")), "");
  EXPECT_EQ(verdict, ClientVerdict::kWait);
  server.read_channels(out);
  EXPECT_EQ(got(listener, row("a") + message('C', "SELECT 1") + message('C', "UNLISTEN") + ready()), "");
  EXPECT_TRUE(server.take_events().channels_ready);
  EXPECT_TRUE(listener.channels_read(server));
  EXPECT_EQ(listener.channels(), ClientSession::Channels{"a"});
  listener.channels_are_listened_to();
  server.release_ready(told_out);
  EXPECT_TRUE(listener.can_release(server));
}

TEST_F(ListenScript, OtherEncodingsPin) {
  ClientSession latin{cache, interner.with(settings, "client_encoding", "LATIN1")};
  Output out, told_out;
  latin.attached(server, out, told_out);
  sent(latin, query("LISTEN a"));
  EXPECT_EQ(latin.pins(), bit(PinReason::kListen));
}

}  // namespace
}  // namespace dbproxy::session::postgres
