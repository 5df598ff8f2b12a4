// StatusWriter: what is known of each DBProxy and DBProxyEndpoint into its status, and Events of what has changed,
// while this replica leads.
//
// Looks once a second, where nothing has changed every five, and writes what differs: conditions and targets at once,
// mere counts of connections at most every five seconds per object. Owns one thread.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "operator/control/rows.hpp"
#include "operator/kubernetes/event_recorder.hpp"
#include "operator/kubernetes_mode/endpoint_statuses.hpp"
#include "operator/kubernetes_mode/kubernetes_source.hpp"
#include "operator/status/status.hpp"
#include "operator/status/unused.hpp"

namespace dbproxy::kubernetes_mode {

// The facts of every DBProxy that there is.
std::map<std::string, operator_status::Facts> gather(const KubernetesSource& source,
                                                     const std::vector<operator_control::SidecarRow>& sidecars,
                                                     const std::vector<operator_control::BudgetRow>& budgets,
                                                     const operator_control::ServerNames& servers);

struct StatusOptions {
  std::string bundle;  // the CAs that namespaces with DBProxies are given in a ConfigMap
  // A sidecar that nobody has used for that long is told to `unused`, by its identity; zero: none.
  Duration unused_after = std::chrono::minutes(10);
  std::function<void(const std::string& identity)> unused;
};

class StatusWriter {
 public:
  StatusWriter(kubernetes::Client& client, const KubernetesSource& source, kubernetes::EventRecorder& events,
               std::function<std::vector<operator_control::SidecarRow>()> sidecars,
               std::function<std::vector<operator_control::BudgetRow>()> budgets,
               std::function<operator_control::ServerNames()> servers, StatusOptions options, const Clock& clock);
  ~StatusWriter();  // stops

  void lead(bool leading);
  void nudge();  // something has changed
  void set_bundle(const std::string& bundle);
  void stop();

  std::uint64_t written() const { return written_; }
  std::uint64_t failed() const { return failed_; }

 private:
  struct Written {
    std::string uid, text, figures;  // as last written: all, and the counts alone
    TimePoint at{};
    operator_status::Facts facts;
    bool told = false;     // `facts` is of this replica's time as a leader
    bool settled = false;  // and the status says so
  };
  void run();
  void pass(bool nudged);
  void write(const std::string& key, const operator_status::Facts& facts);
  void publish_bundles(const std::map<std::string, operator_status::Facts>& all);
  void tell_unused(const std::vector<operator_control::SidecarRow>& sidecars);

  kubernetes::Client& client_;
  const KubernetesSource& source_;
  kubernetes::EventRecorder& events_;
  const std::function<std::vector<operator_control::SidecarRow>()> sidecars_;
  const std::function<std::vector<operator_control::BudgetRow>()> budgets_;
  const std::function<operator_control::ServerNames()> servers_;
  const StatusOptions options_;
  const Clock& clock_;
  std::atomic<std::uint64_t> written_{0}, failed_{0};
  std::map<std::string, Written> known_;  // of the thread, as what follows
  std::vector<operator_control::SidecarRow> seen_sidecars_;
  std::vector<operator_control::BudgetRow> seen_budgets_;
  TimePoint looked_{};
  bool settled_ = false;  // all that was seen then has been written
  std::map<std::string, TimePoint> bundles_;
  std::uint64_t published_number_ = 0;
  EndpointStatuses endpoints_;
  operator_status::UnusedSidecars unused_;
  kubernetes::Canceller canceller_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false, leading_ = false, nudged_ = false;
  std::string bundle_;
  std::uint64_t bundle_number_ = 0;  // of those that there have been
  std::thread thread_;
};

}  // namespace dbproxy::kubernetes_mode
