// Stream: one sidecar's connection as a gRPC reactor. Internal to operator_control.
//
// Holds one message in each direction and what Session knows, so thousands of them are cheap. It lives until gRPC has
// called OnDone, whoever else lets go of it.
#pragma once

#include <deque>
#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "operator/control/budgets.hpp"
#include "operator/control/hub.hpp"

namespace dbproxy::operator_control {

class Stream final : public grpc::ServerBidiReactor<v1::SidecarMessage, v1::OperatorMessage>,
                     public BudgetPeer,
                     public std::enable_shared_from_this<Stream> {
 public:
  Stream(Hub& hub, grpc::CallbackServerContext& context);

  void open();  // once, when a shared_ptr owns it

  // By the hub, under its lock or not.
  void serve(const std::map<std::string, PublishedPtr>& book);  // the book is complete: send what is missing
  void publish(const std::map<std::string, PublishedPtr>& changed);
  void refresh();
  void end(const grpc::Status& status);
  bool waits_for_hello() const;
  TimePoint opened_at() const { return opened_at_; }
  bool token_is_good() const;
  std::string identity() const;
  std::vector<SidecarRow> rows() const;
  void add_use(std::map<std::string, topology::Use>& used) const;
  bool behind() const;

  void tell(const std::string& proxy, const budget::Open& open) override;
  void tell(const std::string& proxy, const budget::Allowance& allowance) override;

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  grpc::Status handle();                   // the message that was read; an error ends the stream
  void go_on(const grpc::Status& status);  // with the next message, or no further
  void check_hello();                      // asks whose token it is; goes on in `greet`
  void greet(const Verdict& verdict);
  grpc::Status judge(const Verdict& verdict) const;
  bool serves(const std::string& proxy) const;
  void redirect(const std::string& address);
  void handle_reply(const v1::ConfigReply& reply);
  void handle_target_report(const v1::TargetReport& report);
  void handle_status(const v1::StatusReport& report);
  void handle_budget_report(const v1::BudgetReport& report);
  void enter_budgets();  // of the DBProxies that it is served and that it has not entered yet
  void queue(v1::OperatorMessage message);
  void finish(const grpc::Status& status);  // with the lock
  void pump();                              // with the lock

  Hub& hub_;
  grpc::CallbackServerContext& context_;
  const TimePoint opened_at_;
  const std::string peer_;
  std::shared_ptr<Stream> self_;  // until OnDone
  TokenBucket messages_;
  v1::SidecarMessage incoming_;

  mutable std::mutex mutex_;
  enum class State { kOpen, kChecking, kGreeted, kServed, kEnding, kEnded } state_ = State::kOpen;
  bool writing_ = false;
  v1::OperatorMessage outgoing_;
  std::optional<grpc::Status> final_status_;  // to be said once the write in flight is done
  Session session_;
  std::deque<v1::OperatorMessage> budget_messages_;  // behind configurations
  std::uint64_t incarnation_ = 0;                    // 0: it counts its connections by itself
  std::set<std::string> budgets_;                    // DBProxies whose budget knows of it
  Secret token_;
  std::string identity_, software_version_;
  WallTime connected_since_{};
};

}  // namespace dbproxy::operator_control
