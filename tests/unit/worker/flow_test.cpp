// Bytes: slow ends, large messages, messages cut anywhere, words at odd times, TLS.
#include <algorithm>

#include "proxy/net/tls.hpp"
#include "proxy/pki/pki.hpp"
#include "proxy/wire/postgres/messages.hpp"
#include "tests/unit/worker/bench.hpp"

namespace dbproxy::worker::testing {
namespace {

class Flow : public Bench {
 protected:
  void pool_of(std::uint32_t connections) {
    snapshot_.targets[0].max_connections = connections + 1;
    ASSERT_EQ(apply(), "");
  }
};

TEST_F(Flow, AClientThatDoesNotReadStopsItsServerAndNobodyElse) {
  pool_of(5);
  auto slow = client({}, 16 * 1024);
  slow.wire.send(query("BIG 50"));
  auto other = client();
  std::uint64_t seen = 1;
  ASSERT_TRUE(eventually([&] {  // until it stands still
    for (int i = 0; i < 50; ++i) {
      if (types(other.ask("SELECT 1")) != "TDCZ") return false;
    }
    return std::exchange(seen, server_.row_bytes.load()) == server_.row_bytes && seen > 0;
  }));
  EXPECT_LT(server_.row_bytes, 25u << 20);  // what two sockets' buffers hold
  auto result = slow.wire.read_until('Z');
  EXPECT_EQ(result.size(), 1u + 800 + 2);
  EXPECT_TRUE(std::all_of(result.begin() + 1, result.begin() + 801,
                          [](const auto& m) { return m.type == 'D' && m.body.size() == 65536 + 6; }));
}

TEST_F(Flow, AServerThatDoesNotReadStopsItsClientAndNobodyElse) {
  pool_of(2);
  server_.script();
  auto slow = client();
  auto server = server_.next();
  ASSERT_TRUE(server);
  server_.echo();
  slow.wire.send(query("COPY t FROM STDIN"));
  ASSERT_TRUE(server->read());
  server->send(message('G', std::string(3, '\0')));
  ASSERT_EQ(slow.wire.read()->type, 'G');
  auto other = client();
  auto chunk = message('d', std::string(60 * 1024, 'x'));
  std::uint64_t sent = 0;
  std::string left;
  auto push = [&] {
    while (sent < 800) {
      if (left.empty()) left = chunk;
      auto before = slow.wire.sent;
      bool all = slow.wire.send_some(left);
      left.erase(0, slow.wire.sent - before);
      if (!all) return;
      ++sent;
    }
  };
  std::uint64_t seen = 1;
  ASSERT_TRUE(eventually([&] {
    push();
    for (int i = 0; i < 50; ++i) {
      if (types(other.ask("SELECT 1")) != "TDCZ") return false;
    }
    return std::exchange(seen, slow.wire.sent) == slow.wire.sent;
  }));
  EXPECT_LT(slow.wire.sent, 25u << 20);
  std::jthread reader([&] {
    std::uint64_t bytes = 0;
    while (auto got = server->read()) {
      if (got->type == 'c') break;
      bytes += got->body.size();
    }
    EXPECT_EQ(bytes, 800u * 60 * 1024);
    server->send(complete("COPY 800") + ready());
  });
  slow.wire.send(left);
  for (auto i = sent + (left.empty() ? 0 : 1); i < 800; ++i) slow.wire.send(chunk);
  slow.wire.send(message('c'));
  EXPECT_EQ(types(slow.wire.read_until('Z')), "CZ");
  reader.join();
}

TEST_F(Flow, AClientThatLeavesWhileItsServerDoesNotRead) {
  pool_of(1);
  server_.script();
  auto c = client();
  auto server = server_.next();
  ASSERT_TRUE(server);
  c.wire.send(query("COPY t FROM STDIN"));
  ASSERT_TRUE(server->read());
  server->send(message('G', std::string(3, '\0')));
  ASSERT_EQ(c.wire.read()->type, 'G');
  std::string much = message('d', std::string(1 << 20, 'x'));
  while (c.wire.send_some(much)) {
  }
  c.wire.reset();  // an orderly end would stand behind what nobody takes
  auto start = clock_.now();
  EXPECT_TRUE(eventually([&] { return row().clients == 0; }));
  EXPECT_LT(clock_.now() - start, std::chrono::seconds(10));
}

// COPY into a table that somebody has locked, for example.
TEST_F(Flow, AServerMayReadNothingForLong) {
  notice_silence_after(std::chrono::seconds(1));
  pool_of(1);
  server_.script();
  auto c = client();
  auto server = server_.next();
  ASSERT_TRUE(server);
  c.wire.send(query("COPY t FROM STDIN"));
  ASSERT_TRUE(server->read());
  server->send(message('G', std::string(3, '\0')));
  ASSERT_EQ(c.wire.read()->type, 'G');
  std::string much = message('d', std::string(32 << 20, 'x'));
  std::jthread sender([&] { c.wire.send(much + message('c')); });
  EXPECT_TRUE(c.wire.quiet_for(std::chrono::seconds(3)));  // longer than a vanished server is given
  auto data = server->read();
  ASSERT_TRUE(data && data->type == 'd');
  EXPECT_EQ(data->body.size(), 32u << 20);
  ASSERT_TRUE(server->read());
  server->send(complete("COPY 1") + ready());
  sender.join();
  EXPECT_EQ(types(c.wire.read_until('Z')), "CZ");
}

TEST_F(Flow, ASlowClientThatIsRetiredGetsItsWholeResult) {
  pool_of(1);
  auto c = client({}, 16 * 1024);
  c.wire.send(query("BIG 3"));
  ASSERT_TRUE(eventually([&] { return server_.row_bytes > 0; }));
  service_->drain(std::chrono::milliseconds(1));
  ASSERT_TRUE(eventually([&] { return row().draining; }));
  EXPECT_EQ(c.wire.read_until('Z').size(), 1u + 48 + 2);
  EXPECT_EQ(first_error(c.wire.read_until('E')), "57P01");
}

TEST_F(Flow, ASlowClientsLastWordsArrive) {
  pool_of(1);
  server_.script();
  auto c = client({}, 16 * 1024);
  auto server = server_.next();
  ASSERT_TRUE(server);
  c.wire.send(query("SELECT 1"));
  ASSERT_TRUE(server->read());
  // More than the client's socket takes, then the end.
  std::string row = message('D', std::string(3 << 20, 'x'));
  std::jthread sender([&] {
    server->send(row + error("FATAL", "25P03"));
    server->close();
  });
  auto got = c.wire.read_until('E');
  sender.join();
  ASSERT_EQ(types(got), "DE");
  EXPECT_EQ(got[1].field('C'), "25P03");
}

TEST_F(Flow, LargeMessages) {
  pool_of(1);
  auto c = client();
  auto reply = c.ask(std::string(1 << 20, 'q'));
  EXPECT_EQ(types(reply), "TDCZ");
  std::string big;
  {
    wire::postgres::MessageWriter writer(big, 'B');
    writer.cstring("").cstring("s").u16(0).u16(1).u32(5 << 20).bytes(std::string(5 << 20, 'v')).u16(0);
  }
  c.wire.send(parse("s", "SELECT $1") + big + execute() + message('S'));
  EXPECT_EQ(types(c.wire.read_until('Z')), "12CZ");
  EXPECT_EQ(types(c.ask("SELECT 1")), "TDCZ");
}

TEST_F(Flow, TenThousandSmallMessagesInOneGo) {
  pool_of(1);
  auto c = client();
  std::string all = parse("s", "SELECT 1");
  for (int i = 0; i < 2500; ++i) all += bind("", "s") + execute() + message('S') + query("SELECT 1");
  std::jthread sender([&] { c.wire.send(all); });
  std::map<char, int> count;
  while (count['Z'] < 5000) {
    auto got = c.wire.read();
    if (!got) break;
    ++count[got->type];
  }
  sender.join();
  EXPECT_EQ(count['Z'], 5000);
  EXPECT_EQ(count['2'], 2500);
  EXPECT_EQ(count['D'], 2500);
}

TEST_F(Flow, QueriesAreSentDuringLogin) {
  pool_of(1);
  for (int i = 0; i < 2; ++i) {
    Client c;
    c.wire = Wire::connect(port_);
    log_in(c, {}, query("SELECT 1") + query("SELECT 2"));
    ASSERT_TRUE(c.in());
    EXPECT_EQ(types(c.wire.read_until('Z')), "TDCZ");
    EXPECT_EQ(types(c.wire.read_until('Z')), "TDCZ");
  }
}

TEST_F(Flow, EveryByteByItself) {
  pool_of(1);
  server_.script();
  std::jthread script([&] {
    auto server = server_.next();
    ASSERT_TRUE(server);
    server->drip = true;
    ASSERT_EQ(server->read()->type, 'Q');
    server->send(message('N', std::string("SNOTICE\0C00000\0Mhi\0\0", 20)) + message('T', std::string(2, '\0')) +
                 message('D', "abc") + complete("SELECT 1") + ready());
    for (char type : {'P', 'D', 'B', 'E', 'S'}) ASSERT_EQ(server->read()->type, type);
    server->send(message('1') + message('t', std::string(2, '\0')) + message('n') + message('2') +
                 complete("SELECT 0") + ready());
    ASSERT_EQ(server->read()->type, 'Q');
    server->send(message('G', std::string(3, '\0')));
    ASSERT_EQ(server->read()->body, "line\n");
    ASSERT_EQ(server->read()->type, 'c');
    server->send(complete("COPY 1") + ready());
  });
  Client c;
  c.wire = Wire::connect(port_);
  c.wire.drip = true;
  log_in(c);
  ASSERT_TRUE(c.in());
  EXPECT_EQ(types(c.ask("SELECT 1")), "NTDCZ");
  c.wire.send(parse("s", "SELECT 2") + describe("s") + bind("", "s") + execute() + message('S'));
  EXPECT_EQ(types(c.wire.read_until('Z')), "1tn2CZ");
  c.wire.send(query("COPY t FROM STDIN"));
  EXPECT_EQ(c.wire.read()->type, 'G');
  c.wire.send(message('d', "line\n") + message('c'));
  EXPECT_EQ(types(c.wire.read_until('Z')), "CZ");
  script.join();
}

TEST_F(Flow, WordsAtOddTimes) {
  pool_of(1);
  server_.script();
  auto notice = message('N', std::string("SNOTICE\0C00000\0Mhi\0\0", 20));
  auto notify = message('A', std::string("\0\0\0\1chan\0\0", 10));
  auto c = client();
  auto server = server_.next();
  ASSERT_TRUE(server);
  // While nobody has it.
  server->send(notice + notify + parameter("TimeZone", "Europe/Paris"));
  std::jthread script([&] {
    auto got = server->read();  // the client's own setting is put back first
    ASSERT_TRUE(got && got->body.find("set_config") != std::string::npos);
    server->send(notice + parameter("TimeZone", "UTC") + complete("SELECT 1") + ready());
    ASSERT_EQ(server->read()->body, std::string("BEGIN\0", 6));
    server->send(complete("BEGIN") + notice + ready('T'));
    // In a transaction, between two queries.
    server->send(notice + notify + parameter("in_hot_standby", "off"));
    ASSERT_TRUE(server->read());
    server->send(notify + complete("COMMIT") + ready());
  });
  ASSERT_TRUE(eventually([&] { return target().servers == 1; }));
  auto first = c.ask("BEGIN");
  EXPECT_EQ(types(first), "CNZ");
  EXPECT_EQ(c.wire.read()->type, 'N');
  EXPECT_EQ(c.wire.read()->type, 'S');
  EXPECT_EQ(types(c.ask("COMMIT")), "CZ");
  script.join();
}

TEST_F(Flow, QueriesPipelinedIntoACopyEndAsTheServerEndsThem) {
  pool_of(1);
  for (const auto& intruder : {query("SELECT 1"), parse("", "SELECT 1"), bind("", "")}) {
    auto c = client();
    c.wire.send(query("COPY t FROM STDIN") + intruder);
    auto reply = c.wire.read_until('Z');
    EXPECT_EQ(types(reply), "GEE");
    EXPECT_TRUE(c.wire.at_end());
  }
  server_.script();
  server_.drop_all();
  ASSERT_TRUE(eventually([&] { return target().servers == 0; }));
  auto c = client();
  c.wire.send(parse("", "COPY t FROM STDIN") + bind("", "") + execute() + bind("", "") + execute() + message('S'));
  auto server = server_.next();
  ASSERT_TRUE(server && server->read());
  server_.echo();
  server->send(message('1') + message('2') + message('G', std::string(3, '\0')) + error("ERROR", "08P01") +
               error("FATAL", "08P01"));
  server->close();
  EXPECT_EQ(types(c.wire.read_until('Z')), "12GEE");
  EXPECT_TRUE(c.wire.at_end());
  c = client();
  c.wire.send(query("COPY t FROM STDIN"));
  ASSERT_EQ(c.wire.read()->type, 'G');
  c.wire.send(query("SELECT 1"));
  EXPECT_EQ(first_error(c.wire.read_until('Z')), "08P01");
  EXPECT_TRUE(c.wire.at_end());
  EXPECT_EQ(types(client().ask("SELECT 1")), "TDCZ");
}

class FlowTls : public Flow {
 protected:
  FlowTls() {
    auto identity = pki::self_signed_listener_identity(clock_);
    tls_.certificate_pem = identity->certificate_pem;
    tls_.key_pem = identity->key_pem;
    std::string error;
    config::ServerTls settings;
    settings.mode = config::TlsMode::kRequire;
    context_ = net::make_client_context(settings, error);
    snapshot_.targets[0].host = server_.listen_unix();  // local, and so as good as encrypted
  }
  Client tls_client(bool drip) {
    Client c;
    c.wire = Wire::connect(port_, 16 * 1024);
    std::string ask;
    wire::postgres::ssl_request(ask);
    c.wire.send(ask);
    EXPECT_EQ(c.wire.read_byte(), 'S');
    c.wire.drip = drip;
    c.wire.start_tls(context_.get());
    log_in(c);
    return c;
  }
  net::SslContext context_;
};

TEST_F(FlowTls, RecordsComeByteByByte) {
  pool_of(1);
  auto c = tls_client(true);
  ASSERT_TRUE(c.in());
  EXPECT_EQ(types(c.ask("SELECT 1")), "TDCZ");
  c.wire.send(parse("", "SELECT 1") + bind("", "") + execute() + message('S') + query("SELECT 2"));
  EXPECT_EQ(types(c.wire.read_until('Z')), "12CZ");
  EXPECT_EQ(types(c.wire.read_until('Z')), "TDCZ");
}

TEST_F(FlowTls, LargeResultsAndMessages) {
  pool_of(1);
  auto c = tls_client(false);
  ASSERT_TRUE(c.in());
  EXPECT_EQ(c.ask("BIG 8").size(), 1u + 128 + 2);
  EXPECT_EQ(types(c.ask(std::string(1 << 20, 'q'))), "TDCZ");
}

TEST_F(FlowTls, LastWordsArrive) {
  pool_of(1);
  auto c = tls_client(false);
  service_->drain(std::chrono::milliseconds(1));
  EXPECT_EQ(first_error(c.wire.read_until('Z')), "57P01");
}

TEST_F(FlowTls, IsNotOfferedWhereTheWayOnIsPlain) {
  snapshot_.targets[0].host = "127.0.0.1";
  pool_of(1);
  auto wire = Wire::connect(port_);
  std::string ask;
  wire::postgres::ssl_request(ask);
  wire.send(ask);
  EXPECT_EQ(wire.read_byte(), 'N');
  snapshot_.require_tls = true;
  EXPECT_NE(apply().find("tls.mode"), std::string::npos);
}

TEST_F(FlowTls, EndsBetweenTransactionsWhenTheWayOnBecomesPlain) {
  pool_of(1);
  auto idle = tls_client(false);
  auto busy = tls_client(false);
  auto plain = client();
  busy.ask("BEGIN");
  snapshot_.targets[0].host = "127.0.0.1";
  ASSERT_EQ(apply(), "");
  EXPECT_EQ(first_error(idle.wire.read_until('Z')), "57P01");
  EXPECT_EQ(types(busy.ask("COMMIT")), "CZ");
  EXPECT_EQ(first_error(busy.wire.read_until('Z')), "57P01");
  EXPECT_EQ(types(plain.ask("SELECT 1")), "TDCZ");
}

TEST_F(FlowTls, TheCertificateGoesBeforeItIsAskedFor) {
  pool_of(1);
  auto wire = Wire::connect(port_);
  ASSERT_TRUE(eventually([&] { return row().clients == 1; }));
  tls_ = {};
  ASSERT_EQ(apply(), "");
  std::string ask;
  wire::postgres::ssl_request(ask);
  wire.send(ask);
  EXPECT_TRUE(wire.at_end());
  EXPECT_TRUE(client().in());
}

}  // namespace
}  // namespace dbproxy::worker::testing
