// Thousands of sidecars that are only their control streams.
//
//   GET /state?mark=N   what there is: streams that the operator has taken, those in force with maxConnectionsPercent N
//   GET /want?first=A&last=B&slots=N   clients of the sidecars A to B, B not included, want N connections each
//   GET /slots?first=A&last=B          what these want and have, and how long they have waited for it
//   GET /forget                        waits until now count no more
//
// Times are nanoseconds of CLOCK_MONOTONIC, which is the same for all processes of a machine.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <boost/json.hpp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>

#include "bench/operator/sidecar.hpp"

#include "proxy/base/process.hpp"
#include "proxy/http/server.hpp"
#include "proxy/wire/control/grpc_process.hpp"

namespace {

using namespace dbproxy::bench;
namespace json = boost::json;

std::int64_t ns(SteadyClock::time_point at) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(at.time_since_epoch()).count();
}

json::object quantiles(std::vector<std::int64_t> at) {
  std::sort(at.begin(), at.end());
  if (at.empty()) return {};
  const auto last = static_cast<double>(at.size() - 1);
  const auto of = [&](double share) { return at[static_cast<std::size_t>(share * last)]; };
  return {{"first", at.front()}, {"p50", of(0.5)}, {"p99", of(0.99)}, {"last", at.back()}};
}

json::object state_of(const std::vector<std::unique_ptr<Sidecar>>& fleet, std::uint32_t mark) {
  std::vector<std::int64_t> greeted;
  std::vector<std::int64_t> marked;
  std::uint64_t attempts = 0, redirects = 0;
  std::map<std::string, int> ends;
  for (const std::unique_ptr<Sidecar>& each : fleet) {
    const Sidecar::View view = each->view();
    attempts += view.attempts;
    redirects += view.redirects;
    if (view.greeted) greeted.push_back(ns(view.greeted_at));
    if (view.mark == mark && mark != 0) marked.push_back(ns(view.in_force_at));
    if (!view.last_end.empty()) ++ends[view.last_end];
  }
  json::object said;
  for (const auto& [reason, count] : ends) said[reason] = count;
  json::object out{{"sidecars", fleet.size()},
                   {"up", greeted.size()},
                   {"in_force", marked.size()},
                   {"attempts", attempts},
                   {"redirects", redirects}};
  out["up_at"] = quantiles(std::move(greeted));
  out["in_force_at"] = quantiles(std::move(marked));
  out["ends"] = std::move(said);
  return out;
}

std::size_t number(const dbproxy::http::Request& request, const char* name) {
  return std::strtoul(std::string(request.parameter(name)).c_str(), nullptr, 10);
}

json::object slots_of(const std::vector<std::unique_ptr<Sidecar>>& fleet, std::size_t first, std::size_t last) {
  std::uint64_t wanted = 0, open = 0;
  std::vector<std::int64_t> waits;
  for (std::size_t i = first; i < std::min(last, fleet.size()); ++i) {
    const Sidecar::Slots slots = fleet[i]->slots();
    wanted += slots.wanted;
    open += slots.open;
    for (const auto wait : slots.waits) {
      waits.push_back(std::chrono::duration_cast<std::chrono::nanoseconds>(wait).count());
    }
  }
  const std::size_t count = waits.size();
  return {{"wanted", wanted}, {"open", open}, {"waits", count}, {"waited_ns", quantiles(std::move(waits))}};
}

}  // namespace

int main(int argc, char** argv) {
  FleetOptions options;
  std::string ca, list, listen;
  CLI::App app{"Simulated sidecars: control streams and nothing behind them"};
  app.add_option("--operator", options.address, "HOST:PORT")->required();
  app.add_option("--operator-ca", ca, "PEM file")->required();
  app.add_option("--sidecars", list, "File with a line for each: IDENTITY TOKEN NAMESPACE/DBPROXY…")->required();
  app.add_option("--http", listen, "ADDR:PORT of /state")->required();
  CLI11_PARSE(app, argc, argv);
  const sigset_t signals = dbproxy::process::block_signals();
  dbproxy::wire_control::prepare_grpc();
  std::ifstream roots(ca);
  options.ca_pem.assign(std::istreambuf_iterator<char>(roots), {});

  Timer timer;
  std::vector<std::unique_ptr<Sidecar>> fleet;
  std::ifstream lines(list);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string identity, token;
    words >> identity >> token;
    std::vector<std::string> proxies{std::istream_iterator<std::string>(words), {}};
    fleet.push_back(std::make_unique<Sidecar>(options, timer, identity, token, std::move(proxies), fleet.size()));
  }
  for (const std::unique_ptr<Sidecar>& each : fleet) each->connect();
  dbproxy::http::ServerOptions server_options;
  server_options.listen = *dbproxy::http::parse_address(listen);
  dbproxy::http::Server server(server_options);
  server.route("GET", "/state", [&](const dbproxy::http::Request& request) {
    const std::string mark(request.parameter("mark"));
    const json::object state = state_of(fleet, static_cast<std::uint32_t>(std::strtoul(mark.c_str(), nullptr, 10)));
    return dbproxy::http::Response{.content_type = "application/json", .body = json::serialize(state)};
  });
  const auto text = [](const json::object& object) {
    return dbproxy::http::Response{.content_type = "application/json", .body = json::serialize(object)};
  };
  server.route("GET", "/want", [&](const dbproxy::http::Request& request) {
    const std::size_t last = std::min(number(request, "last"), fleet.size());
    for (std::size_t i = number(request, "first"); i < last; ++i) {
      fleet[i]->want(static_cast<dbproxy::budget::Slots>(number(request, "slots")));
    }
    return text({{"at", ns(SteadyClock::now())}});
  });
  server.route("GET", "/slots", [&](const dbproxy::http::Request& request) {
    return text(slots_of(fleet, number(request, "first"), number(request, "last")));
  });
  server.route("GET", "/forget", [&](const dbproxy::http::Request&) {
    for (const std::unique_ptr<Sidecar>& each : fleet) each->forget_waits();
    return text({});
  });
  if (const std::string error = server.start(); !error.empty()) {
    std::fprintf(stderr, "%s\n", error.c_str());
    return 1;
  }
  int signal = 0;
  sigwait(&signals, &signal);
  std::_Exit(0);  // what gRPC's threads still do for thousands of streams is of no interest
}
