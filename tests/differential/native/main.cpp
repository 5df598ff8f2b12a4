// Plays scripts in many lanes at once, some hundred times as fast as ../player.py: for runs of millions of steps.
//
//   differential_player DIRECTORY PORT SIDECAR_PORT USER PASSWORD LANES
//
// DIRECTORY and PORT: of the database's Unix socket. Lane N plays in the databases straightN and proxiedN, which are
// set up already, one script after the other. Scripts come on the standard input: a line with a number, one line a
// step, an empty line. For each a line comes out: `same NUMBER STEPS` or `different NUMBER STEPS`.
#include <cstdio>
#include <cstdlib>
#include <map>
#include <thread>

#include "tests/differential/native/scripts.hpp"
#include "tests/differential/native/session.hpp"

namespace {

using namespace differential;
namespace wire = dbproxy::wire::postgres;

// Of two errors the proxy may meet the other one first: see docs/differences.md.
bool equal(const std::string& expected, const std::string& got) {
  return expected == got || (expected.find("C08P01\nMbind message supplies") != std::string::npos &&
                             got.find("C25P02\n") != std::string::npos);
}

// Where a statement was prepared again under the settings of now: see docs/differences.md. What follows may be in
// another transaction state, and says nothing.
bool explained(const std::string& expected, const std::string& got) {
  return expected.find("C0A000\nMcached plan must not change result type") != std::string::npos &&
         got.find("C0A000\n") == std::string::npos;
}

class Lane {
 public:
  Lane(int number, const std::string& directory, int port, int sidecar, const std::string& user,
       const std::string& password)
      : credentials_(user, password), administrator_("postgres", "") {
    const auto suffix = std::to_string(number);
    direct_ = {directory, port, "straight" + suffix, &credentials_, true};
    through_ = {"127.0.0.1", sidecar, "proxied" + suffix, &credentials_, false};
    for (const auto* database : {&direct_.database, &through_.database}) {
      admins_.push_back(std::make_unique<Connection>(directory, port));
      admins_.back()->login(administrator_, *database, {});
    }
  }

  // Steps that were played; `same` tells of all of them.
  std::size_t play(const Script& script, bool& same) {
    clean();
    std::map<char, Session> direct, through;
    std::size_t played = 0;
    same = true;
    for (const auto& step : script.steps) {
      ++played;
      auto& one = direct.try_emplace(step.client, direct_).first->second;
      auto& other = through.try_emplace(step.client, through_).first->second;
      one.begin(step);
      other.begin(step);
      const auto expected = one.finish();
      const auto got = other.finish();
      same = equal(expected, got);
      if (same) continue;
      same = explained(expected, got);
      if (same) break;
      tell(script, played, step, expected, got);
      break;
    }
    for (auto* sessions : {&direct, &through})
      for (auto& [name, session] : *sessions) session.leave();
    return played;
  }

 private:
  static void tell(const Script& script, std::size_t number, const Step& step, std::string expected, std::string got) {
    for (auto* text : {&expected, &got})
      for (char& c : *text)
        if (static_cast<unsigned char>(c) < 32) c = ' ';
    std::fprintf(stderr, "seed %s, step %zu: %c%c %s\n  direct:  %s\n  through: %s\n", script.number.c_str(), number,
                 step.client, step.kind, step.text.c_str(), expected.c_str(), got.c_str());
  }

  // As before the first script; nothing of the last one holds a lock any more.
  void clean() {
    static constexpr std::string_view kLocks =
        "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database WHERE l.locktype = 'advisory' AND"
        " d.datname = current_database()";
    std::string locks, all;
    wire::query(locks, kLocks);
    wire::query(all, "SELECT clean()");
    for (auto& admin : admins_) admin->send(locks);
    for (auto& admin : admins_) {
      auto left = admin->answer();
      for (int i = 0; left != "0"; ++i) {
        if (i > 20000) throw std::runtime_error("a lock of the last script is left");
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        left = admin->ask(kLocks);
      }
    }
    for (auto& admin : admins_) admin->send(all);
    for (auto& admin : admins_) admin->answer();
    // Autovacuum is off: what scripts make and drop would make the catalogue slower and slower to read.
    constexpr int kBetweenVacuums = 100;
    if (++cleaned_ % kBetweenVacuums != 0) return;
    for (auto& admin : admins_)
      admin->ask(
          "VACUUM (TRUNCATE off, SKIP_LOCKED) pg_class, pg_attribute, pg_type, pg_depend, pg_shdepend, pg_rewrite,"
          " pg_proc, pg_index, pg_sequence, pg_attrdef, pg_trigger, pg_constraint, rows, watched, triggered, late,"
          " counted, passing, remembered, filled, ruled, parent, child");
  }

  Credentials credentials_, administrator_;
  Place direct_, through_;
  std::vector<std::unique_ptr<Connection>> admins_;
  int cleaned_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) {
    std::fprintf(stderr, "usage: differential_player DIRECTORY PORT SIDECAR_PORT USER PASSWORD LANES\n");
    return 2;
  }
  Scripts scripts;
  const int count = std::atoi(argv[6]);
  std::vector<std::thread> lanes;
  lanes.reserve(static_cast<std::size_t>(count > 0 ? count : 0));
  for (int number = 0; number < count; ++number) {
    lanes.emplace_back([&scripts, argv, number] {
      try {
        Lane lane(number, argv[1], std::atoi(argv[2]), std::atoi(argv[3]), argv[4], argv[5]);
        while (const auto script = scripts.next()) {
          bool same = false;
          const auto steps = lane.play(*script, same);
          scripts.report(same ? "same" : "different", *script, steps);
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
