// Budgets with peers that are sidecars' ledgers, and a store in memory.
#pragma once

#include <functional>
#include <gtest/gtest.h>

#include "operator/control/budgets.hpp"
#include "proxy/budget/ledger.hpp"

namespace dbproxy::operator_control {

using namespace std::chrono_literals;

inline constexpr const char* kProxy = "shop/orders";

class MemoryStore final : public CeilingStore {
 public:
  Result<Kept> load(const std::string& proxy) override {
    const std::lock_guard lock(mutex_);
    Kept& kept = kept_[proxy];
    ++kept.epoch;
    return kept;
  }
  Saved save(const std::string& proxy, std::uint64_t epoch, const operator_budget::Ceilings& ceilings) override {
    const std::lock_guard lock(mutex_);
    Kept& kept = kept_[proxy];
    if (epoch != kept.epoch) return Saved::kSuperseded;
    if (std::exchange(late_, false)) return Saved::kLater;
    kept.ceilings = ceilings;
    return Saved::kInForce;
  }
  void be_late_once() {
    const std::lock_guard lock(mutex_);
    late_ = true;
  }

 private:
  std::mutex mutex_;
  bool late_ = false;
  std::map<std::string, Kept> kept_;  // by DBProxy
};

// What it wants it opens as soon as it may.
class Sidecar final : public BudgetPeer, public std::enable_shared_from_this<Sidecar> {
 public:
  Sidecar(Budgets& budgets, std::string pod, std::uint64_t incarnation, std::string proxy = kProxy)
      : budgets_(budgets),
        proxy_(std::move(proxy)),
        pod_(pod),
        ledger_({.pod = std::move(pod), .incarnation = incarnation}) {}

  void connect() { budgets_.hello(proxy_, pod_, ledger_.hello().incarnation, shared_from_this()); }
  void want(budget::Slots slots) {
    {
      const std::lock_guard lock(mutex_);
      wanted_ = slots;
      settle();
    }
    tell();
  }
  budget::Slots open() {
    const std::lock_guard lock(mutex_);
    return open_;
  }
  void tell(const std::string&, const budget::Open& open) override {
    {
      const std::lock_guard lock(mutex_);
      ledger_.take(open);
    }
    tell();
  }
  void tell(const std::string&, const budget::Allowance& allowance) override {
    {
      const std::lock_guard lock(mutex_);
      ledger_.take(allowance, clock_.now());
      settle();
    }
    tell();
  }

 private:
  void settle() {
    for (int i = 0; i < 2; ++i) {
      open_ = std::min(wanted_, ledger_.limit("writer"));
      ledger_.set_use("writer", {true, open_, wanted_ - open_}, clock_.now());
    }
  }
  void tell() {
    const std::lock_guard telling(telling_);
    std::optional<budget::Report> report;
    {
      const std::lock_guard lock(mutex_);
      report = ledger_.report();
    }
    if (report) budgets_.report(proxy_, *report);
  }

  Budgets& budgets_;
  const std::string proxy_, pod_;
  SystemClock clock_;
  std::mutex mutex_, telling_;
  budget::Ledger ledger_;
  budget::Slots wanted_ = 0, open_ = 0;
};

class BudgetsTest : public ::testing::Test {
 protected:
  BudgetsTest() {
    snapshot_.name_space = "shop";
    snapshot_.name = "orders";
    snapshot_.users.push_back({"app", Secret("secret"), {}, {}, {}});
    config::Target target{"writer", "db", 5432, {}, {}, {}, {}, {}, {}, {}};
    target.max_connections = 100;
    target.reserved_connections = 3;
    snapshot_.targets.push_back(target);
    start();
    limit(8);
  }
  void start() {
    budgets_.reset();
    budgets_ = std::make_unique<Budgets>(store_, registry_, clock_);
    budgets_->start();
  }
  void limit(std::uint32_t percent) {
    snapshot_.pool.max_connections_percent = percent;
    budgets_->publish(kProxy, std::make_shared<config::Snapshot>(snapshot_));
  }
  std::shared_ptr<Sidecar> sidecar(const std::string& pod, std::uint64_t incarnation = 1,
                                   const std::string& proxy = kProxy) {
    auto made = std::make_shared<Sidecar>(*budgets_, pod, incarnation, proxy);
    made->connect();
    return made;
  }
  static bool eventually(const std::function<bool()>& holds) {
    for (const auto end = std::chrono::steady_clock::now() + 30s; std::chrono::steady_clock::now() < end;) {
      if (holds()) return true;
      std::this_thread::sleep_for(2ms);
    }
    return holds();
  }
  // Of processes that may have left something, and not of foreign sessions alone.
  bool asks_about(const std::string& host) {
    const auto question = budgets_->question(host, 5432, "app");
    return question && !question->about.empty();
  }
  budget::Slots granted() {
    for (const BudgetRow& row : budgets_->rows()) {
      if (row.identity.empty() && row.lane.empty()) return row.granted;
    }
    return 0;
  }

  SystemClock clock_;
  metrics::Registry registry_;
  std::shared_ptr<MemoryStore> store_ = std::make_shared<MemoryStore>();
  config::Snapshot snapshot_;
  std::unique_ptr<Budgets> budgets_;
};

}  // namespace dbproxy::operator_control
