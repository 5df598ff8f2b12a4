// A cluster with two members, operators, sidecars, and all that can go wrong between them, one step at a time.
//
// Every step is one number and is defined in every state, so that a trace stays a trace when steps are left out. The
// world knows the truth: which connections there are. Messages are taken out of a bag in any order, twice or never;
// operators do not know that another leads; processes die at any moment, and their connections live on.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "operator/budget/allocator.hpp"
#include "proxy/budget/ledger.hpp"

namespace dbproxy::model {

using budget::Slots;

struct Shape {
  int pods = 4;
  Slots per_pod = 8;
  std::map<std::string, Slots> limits{{"a", 8}, {"b", 8}};
};

class World {
 public:
  explicit World(Shape shape);

  void step(std::uint32_t number);
  // "" or which invariant does not hold.
  std::string violation() const;
  // Nothing fails any more: does everybody who waits get a connection, and all that may be had? "" or who does not.
  std::string settle();
  const std::string& last() const { return last_; }  // what the last step was, in words

 private:
  struct Pod {
    std::string name;
    std::uint64_t incarnation = 0;
    std::unique_ptr<budget::Ledger> ledger;  // none: the process is dead
    std::optional<budget::Holdings> volume;  // none: lost
    bool complete = true;
    // Connections: of this process, of its predecessors as far as the volume tells of them, and of which nobody knows.
    std::map<std::string, Slots> open, lingering, orphans;
    std::map<std::string, Slots> demand;
    std::string writer = "a";  // as it believes
    int talks_to = 0;          // uid of an operator
  };
  struct Operator {
    int uid = 0;
    std::unique_ptr<operator_budget::Allocator> allocator;
    std::uint64_t version = 0;  // of what is kept, as it knows it
  };
  struct Write {
    int by = 0;
    std::uint64_t expects = 0;
    operator_budget::Ceilings ceilings;
    bool landed = false, good = false;
  };
  struct ToPod {
    std::size_t pod = 0;
    std::variant<budget::Open, budget::Allowance> body;
  };
  struct ToOperator {
    int uid = 0;
    std::variant<budget::Hello, budget::Report> body;
  };
  using Message = std::variant<ToPod, ToOperator>;

  void deliver(const Message& message);
  void run(Operator& op);
  void start_operator();
  void start_process(Pod& pod);
  void kill(Pod& pod);
  void work(Pod& pod, const std::string& member);
  void use(Pod& pod, const std::string& member);
  void say(Pod& pod);
  void greet(Pod& pod, bool outdated = false);
  void land(Write& write);
  bool answer(Write& write);
  void set_limit(const std::string& member, Slots limit);
  void bound();
  Slots kept(const operator_budget::Ceilings& ceilings, const std::string& member) const;
  Operator* find(int uid);
  static void lose_volume(Pod& pod);
  void settle_round();

  Shape shape_;
  TimePoint now_{std::chrono::hours(1)};
  std::vector<Pod> pods_;
  std::deque<Operator> operators_;  // the last one is the leader
  std::vector<Message> bag_;
  std::array<std::optional<Message>, 12> late_;  // in their order: have been delivered, and may be again
  std::size_t late_next_ = 0;
  std::deque<Write> writes_;
  operator_budget::Ceilings kept_;
  std::uint64_t version_ = 0, epochs_ = 0, incarnations_ = 0;
  int uids_ = 0;
  bool disk_full_ = false;
  std::map<std::string, Slots> bounds_;  // the limit, or after it shrank what was out at that time
  std::string last_;
};

}  // namespace dbproxy::model
