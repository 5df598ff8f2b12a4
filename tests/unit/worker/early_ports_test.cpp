#include "proxy/worker/early_ports.hpp"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proxy/net/socket.hpp"
#include "proxy/worker/postgres/engine.hpp"
#include "tests/unit/worker/bench.hpp"

namespace dbproxy::worker {
namespace {

using std::chrono::seconds;

using testing::free_port;

int connect_to(std::uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const auto address = *net::numeric_address("127.0.0.1", port);
  return ::connect(fd, reinterpret_cast<const sockaddr*>(&address.storage), address.size) == 0 ? fd : -1;
}

TEST(EarlyPorts, HoldsClientsAndThenTellsThem) {
  const std::uint16_t port = free_port();
  const TimePoint start{};
  const std::string refusal = postgres::make_engine()->no_configuration();
  EarlyPorts ports;
  ASSERT_EQ(ports.open("127.0.0.1", "", {port}, start), "");
  const int client = connect_to(port);
  ASSERT_GE(client, 0);
  ASSERT_EQ(::send(client, "startup", 7, 0), 7);
  ports.refuse_late(start + seconds(119), refusal);
  char answer[512];
  EXPECT_EQ(::recv(client, answer, sizeof(answer), MSG_DONTWAIT), -1) << "it is held";
  ports.refuse_late(start + seconds(120), refusal);
  const ssize_t size = ::recv(client, answer, sizeof(answer), 0);
  ASSERT_GT(size, 0);
  const std::string text(answer, static_cast<std::size_t>(size));
  EXPECT_EQ(text[0], 'E');
  EXPECT_THAT(text, ::testing::HasSubstr("57P03"));
  EXPECT_THAT(text, ::testing::HasSubstr("no configuration yet"));
  EXPECT_EQ(::recv(client, answer, sizeof(answer), 0), 0) << "an end, and no reset";
  ::close(client);
}

TEST(EarlyPorts, GivesASocketAwayOnce) {
  const std::uint16_t port = free_port();
  EarlyPorts ports;
  ASSERT_EQ(ports.open("127.0.0.1", "", {port}, {}), "");
  const std::string shown = "127.0.0.1:" + std::to_string(port);
  const int fd = ports.take(shown);
  EXPECT_GE(fd, 0);
  EXPECT_EQ(ports.take(shown), -1);
  ::close(fd);
}

TEST(EarlyPorts, OpensAllOrNothing) {
  const std::uint16_t good = free_port();
  std::string error;
  const std::uint16_t taken = free_port();
  const int owner = net::listen_on(*net::numeric_address("127.0.0.1", taken), "", error);
  EarlyPorts ports;
  EXPECT_THAT(ports.open("127.0.0.1", "", {good, taken}, {}), ::testing::HasSubstr("cannot listen on 127.0.0.1:"));
  EXPECT_EQ(connect_to(good), -1);
  ::close(owner);
}

}  // namespace
}  // namespace dbproxy::worker
