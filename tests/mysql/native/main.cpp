// Plays scripts on MySQL or MariaDB itself and through a sidecar, in many lanes at once, and compares every answer.
//
//   mysql_differential_player PORT SIDECAR_PORTS LANES CLEANING USER PASSWORD OTHER_USER PASSWORD
//
// PORT: the server's. SIDECAR_PORTS: with commas; lane N uses one of them. Lane N plays in the schemas straightN and
// proxyingN, beside which there are straightN_b and proxyingN_b. CLEANING: a file of statements that run in both before
// each script; those behind `? WORD:` where WORD was in the script before it, or where that came to no end and WORD is
// `!`, as if it had before the first. LANE in them is a number of each lane's own. Scripts come on the standard input,
// see scripts.hpp. For each a line comes out: `same NUMBER STEPS`, or `different NUMBER STEPS`, then behind tabs the
// step and both answers, or `left NUMBER STEPS` where a step waited for another client's connection and had then been
// carried out in part. Steps of clients with small letters are not compared.
#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "tests/differential/native/scripts.hpp"
#include "tests/mysql/native/session.hpp"

namespace {

using namespace mysql_differential;
using differential::Script;
using differential::Scripts;
using differential::split;

constexpr std::string_view kNoConnection = "error 9501 ";

struct Options {
  int port = 0;
  std::vector<int> ports;
  std::vector<Account> accounts;
  std::vector<std::string> cleaning;
};

struct Outcome {
  const char* what = "same";
  std::size_t steps = 0;
  std::string more = {};
};

class Lane {
 public:
  Lane(int number, const Options& options) : options_(options) {
    const auto suffix = std::to_string(number);
    const auto lane = static_cast<std::size_t>(number);
    first_key_ = std::to_string(number + 1) + "000000";
    words_ = '!';
    direct_ = {options.port, "straight" + suffix, "straight" + suffix + "_b", options.accounts};
    through_ = {options.ports[lane % options.ports.size()], "proxying" + suffix, "proxying" + suffix + "_b",
                options.accounts};
  }

  Outcome play(const Script& script) {
    clean();
    words_.clear();
    for (const auto& step : script.steps) (words_ += step.text) += '\n';
    Outcome outcome;
    std::size_t number = 0;
    std::map<char, Session> direct, through;
    for (const auto& step : script.steps) {
      ++outcome.steps;
      ++number;
      auto& one = direct.try_emplace(step.client, direct_, step.client).first->second;
      auto& other = through.try_emplace(step.client, through_, step.client).first->second;
      const auto got = other.play(addressed(step, through));
      if (got.starts_with(kNoConnection)) {  // somebody has the only one
        --outcome.steps;
        if (step.kind == '+') {  // the one of that name is closed there
          Step closes = step;
          closes.kind = '-';
          closes.text.resize(step.text.find(": "));
          one.play(closes);
        }
        continue;
      }
      if (got.find(kNoConnection) != std::string::npos) {
        outcome.what = "left";
        break;
      }
      const auto expected = one.play(addressed(step, direct));
      if (show_)
        std::fprintf(stderr, "%s%s\n  = %s\n  > %s\n", std::string{step.client, step.kind, ' '}.c_str(),
                     step.text.c_str(), expected.c_str(), got.c_str());
      const bool compared = std::isupper(static_cast<unsigned char>(step.client)) != 0;
      if (compared && expected != got)
        outcome.more = difference(number, step, expected, got);
      else if (const char victim = killed(step); victim != 0 && got.find("error ") == std::string::npos)
        outcome.more = victims(number, step, ended(victim, direct), ended(victim, through));
      if (outcome.more.empty()) continue;
      outcome.what = "different";
      break;
    }
    if (outcome.what != std::string_view("same")) words_ += '!';
    return outcome;
  }

 private:
  static std::string difference(std::size_t number, const Step& step, const std::string& expected,
                                const std::string& got) {
    return "\t" + std::to_string(number) + ": " + step.client + step.kind + " " + step.text + "\t" + expected + "\t" +
           got;
  }

  // #A# is the number of client A's connection.
  static Step addressed(Step step, const std::map<char, Session>& sessions) {
    const auto at = step.text.find('#');
    if (at == std::string::npos || at + 2 >= step.text.size() || step.text[at + 2] != '#') return step;
    const auto it = sessions.find(step.text[at + 1]);
    step.text.replace(at, 3, std::to_string(it == sessions.end() ? 0 : it->second.id()));
    return step;
  }

  static char killed(const Step& step) {
    const auto at = step.text.find('#');
    const bool kills = step.text.starts_with("kill #") || step.text.starts_with("KILL #") ||
                       step.text.starts_with("KILL CONNECTION #");
    return kills && at + 1 < step.text.size() ? step.text[at + 1] : '\0';
  }

  static bool ended(char name, std::map<char, Session>& sessions) {
    const auto it = sessions.find(name);
    return it == sessions.end() || it->second.was_ended();
  }

  // Both have to end: one that goes on is told, also where both do.
  static std::string victims(std::size_t number, const Step& step, bool direct, bool through) {
    if (direct && through) return {};
    const auto word = [](bool ended) { return ended ? "its victim ended" : "its victim goes on"; };
    return difference(number, step, word(direct), word(through));
  }

  // What the last script left is waited for: rows may still be locked.
  void clean() {
    if (admins_.empty()) {
      for (const auto* place : {&direct_, &through_}) {
        admins_.push_back(std::make_unique<Connection>(options_.port));
        if (admins_.back()->log_in(options_.accounts.at(0), place->schema, capabilities_of('A')))
          throw std::runtime_error("the administrator is refused");
      }
    }
    for (const auto& line : options_.cleaning) {
      std::string sql = line;
      if (line.starts_with("? ")) {
        const auto colon = line.find(": ");
        if (words_.find(line.substr(2, colon - 2)) == std::string::npos) continue;
        sql = line.substr(colon + 2);
      }
      if (const auto at = sql.find("LANE"); at != std::string::npos) sql.replace(at, 4, first_key_);
      for (std::size_t i = 0; i < admins_.size(); ++i) patiently(*admins_[i], (i == 0 ? direct_ : through_).own(sql));
    }
  }

  static void patiently(Connection& admin, const std::string& sql) {
    for (int attempt = 0;; ++attempt) try {
        return admin.run(sql);
      } catch (const std::exception& error) {
        if (attempt == 30 || std::string_view(error.what()).find("imeout") == std::string_view::npos) throw;
      }
  }

  const Options& options_;
  const bool show_ = std::getenv("DIFFERENTIAL_SHOW") != nullptr;  // every answer: for one script played alone
  Place direct_, through_;
  std::string words_;
  std::string first_key_;  // no two lanes' clients are given the same, who have each other's connections
  std::vector<std::unique_ptr<Connection>> admins_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 9) {
    std::fprintf(stderr, "usage: %s PORT SIDECAR_PORTS LANES CLEANING USER PASSWORD OTHER_USER PASSWORD\n", argv[0]);
    return 2;
  }
  Options options{std::atoi(argv[1]), {}, {{argv[5], argv[6]}, {argv[7], argv[8]}}, {}};
  for (const auto& port : split(argv[2], ",")) options.ports.push_back(std::atoi(port.c_str()));
  std::ifstream cleaning(argv[4]);
  for (std::string line; std::getline(cleaning, line);) options.cleaning.push_back(line);
  Scripts scripts;
  const int count = std::max(1, std::atoi(argv[3]));
  std::vector<std::thread> lanes;
  lanes.reserve(static_cast<std::size_t>(count));
  for (int number = 0; number < count; ++number) {
    lanes.emplace_back([&scripts, &options, number] {
      try {
        Lane lane(number, options);
        while (const auto script = scripts.next()) {
          const auto outcome = lane.play(*script);
          scripts.report(outcome.what, *script, outcome.steps, outcome.more);
        }
      } catch (const std::exception& error) {
        std::fprintf(stderr, "lane %d: %s\n", number, error.what());
        std::exit(1);
      }
    });
  }
  for (auto& lane : lanes) lane.join();
  return 0;
}
