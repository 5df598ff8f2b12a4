// What the pumps do for each message, without the sockets: headers scanned, log-in and error packets read and built.
#include <benchmark/benchmark.h>
#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/wire/postgres/frame.hpp"
#include "proxy/wire/postgres/messages.hpp"
#include "proxy/wire/postgres/startup.hpp"

namespace {

using namespace dbproxy::wire::postgres;

// Rows as a server sends them: `size` bytes of body each.
std::string rows(std::size_t count, std::size_t size) {
  std::string out;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t at = out.size();
    out.append(kHeaderSize + size, 'D');
    store_u32(out.data() + at + 1, static_cast<std::uint32_t>(size + 4));
  }
  return out;
}

void scan_headers(benchmark::State& state) {
  const std::string buffer = rows(1000, static_cast<std::size_t>(state.range(0)));
  std::int64_t messages = 0;
  for (auto _ : state) {
    std::string_view rest = buffer;
    while (true) {
      const Frame frame = scan_frame(rest);
      if (frame.scan != Scan::kMessage || frame.size > rest.size()) break;
      benchmark::DoNotOptimize(frame.type);
      rest.remove_prefix(frame.size);
      ++messages;
    }
  }
  state.SetItemsProcessed(messages);
}
BENCHMARK(scan_headers)->Arg(16)->Arg(200)->Arg(8000);

void build_query(benchmark::State& state) {
  std::string out;
  for (auto _ : state) {
    out.clear();
    query(out, "SELECT abalance FROM pgbench_accounts WHERE aid = 123456");
    benchmark::DoNotOptimize(out.data());
  }
}
BENCHMARK(build_query);

void parse_startup_packet(benchmark::State& state) {
  std::string packet(8, '\0');
  for (const std::string_view word : {"user", "application", "database", "orders", "application_name", "worker-17",
                                      "client_encoding", "UTF8", "options", "-c statement_timeout=5s"}) {
    packet.append(word).push_back('\0');
  }
  packet.push_back('\0');
  store_u32(packet.data(), static_cast<std::uint32_t>(packet.size()));
  store_u32(packet.data() + 4, 196608);
  for (auto _ : state) {
    const StartupPacket parsed = parse_startup(packet);
    benchmark::DoNotOptimize(parsed.index());
  }
}
BENCHMARK(parse_startup_packet);

}  // namespace
