#pragma once

#include <algorithm>

#include "proxy/base/log.hpp"
#include "proxy/worker/left_behind.hpp"
#include "proxy/worker/proxy_runtime.hpp"

namespace dbproxy::worker {

inline constexpr Duration kLookAgain = std::chrono::milliseconds(250);
inline constexpr Duration kLookSeldom = std::chrono::seconds(1);
inline constexpr int kLooksAtFirst = 20;
inline constexpr std::size_t kMostSought = 100;  // sessions in one question
// A server ends a log-in whose client is gone as soon as it reads or writes, and none takes longer than a minute.
inline constexpr Duration kLogInsEnd = std::chrono::seconds(60);
// Of a member that is not configured any more nobody can be asked.
inline constexpr Duration kMembersForgotten = std::chrono::minutes(5);

template <class P>
LeftBehind<P>::LeftBehind(ProxyRuntime<P>& proxy, std::shared_ptr<ConnectionRecord> record)
    : proxy_(proxy), record_(std::move(record)), begun_(proxy.context().loop.now()) {
  if (!record_) return;
  left_ = record_->take_left();
  if (!left_.empty()) {
    log::info("budget", "a process before this one has left connections",
              {{"proxy", proxy_.name()}, {"connections", left_.size()}});
  }
}

template <class P>
std::uint32_t LeftBehind<P>::open(const std::string& target) const {
  const auto at = [&](const auto& each) { return each.connection.target == target; };
  return static_cast<std::uint32_t>(std::count_if(left_.begin(), left_.end(), at));
}

template <class P>
void LeftBehind<P>::add_to(std::map<std::string, std::uint32_t>& open) const {
  for (const auto& each : left_) ++open[each.connection.target];
}

template <class P>
void LeftBehind<P>::add_ids(std::map<std::string, std::vector<std::uint32_t>>& ids) const {
  for (const auto& each : left_) {
    if (each.connection.id != 0) ids[each.connection.target].push_back(each.connection.id);
  }
}

template <class P>
template <class Gone>
void LeftBehind<P>::remove(Gone gone) {
  const auto before = left_.size();
  std::erase_if(left_, [&](const ConnectionRecord::Left& each) {
    if (!gone(each.connection)) return false;
    record_->gone(each.place);
    return true;
  });
  if (left_.size() == before) return;
  log::info("budget", "connections of a process before this one are gone",
            {{"proxy", proxy_.name()}, {"gone", before - left_.size()}, {"left", left_.size()}});
  proxy_.use_changed();
}

template <class P>
void LeftBehind<P>::look() {
  if (left_.empty()) return;
  const auto now = proxy_.context().loop.now();
  const auto& targets = proxy_.snapshot().targets;
  const auto target_of = [&](const RecordedConnection& connection) {
    return std::find_if(targets.begin(), targets.end(),
                        [&](const config::Target& each) { return each.id == connection.target; });
  };
  remove([&](const RecordedConnection& each) {
    if (each.id == 0) return now - begun_ >= kLogInsEnd;
    return now - begun_ >= kMembersForgotten && target_of(each) == targets.end();
  });
  std::map<Group, config::Target> groups;
  for (const auto& each : left_) {
    const auto target = target_of(each.connection);
    if (each.connection.id != 0 && target != targets.end()) {
      groups.emplace(Group{each.connection.target, each.connection.user}, *target);
    }
  }
  for (const auto& [group, target] : groups) {
    Asking& asking = asking_[group];
    if (asking.under_way || now < asking.next) continue;
    const config::User* user = proxy_.snapshot().find_user(group.second);
    if (user == nullptr && P::kSeesSessionsOfOthers && !proxy_.snapshot().users.empty()) {
      user = &proxy_.snapshot().users.front();
    }
    if (user != nullptr) ask(group, target, *user);
  }
}

template <class P>
void LeftBehind<P>::ask(const Group& group, const config::Target& target, const config::User& user) {
  auto& context = proxy_.context();
  const auto now = context.loop.now();
  Asking& asking = asking_[group];
  asking.under_way = true;
  asking.next = now + (++asking.times < kLooksAtFirst ? kLookAgain : kLookSeldom);
  SessionsLook look{target.host,   target.port, proxy_.snapshot().server_tls,      user.name,
                    user.password, false,       proxy_.snapshot().endpoint_policy, {}};
  // The password may just be being exchanged.
  if (asking.times % 2 == 0 && !user.previous_password.empty()) look.password = user.previous_password;
  look.question.older_than = std::chrono::duration<double>(now - begun_).count();
  std::vector<std::uint32_t> asked;
  for (const auto& each : left_) {
    if (each.connection.id == 0 || Group(each.connection.target, each.connection.user) != group) continue;
    if (asked.size() == kMostSought) break;
    asked.push_back(each.connection.id);
    look.question.sought.push_back({each.connection.id, each.connection.port});
  }
  const auto& aws = proxy_.snapshot().aws;
  std::optional<aws::TokenSubject> subject;
  if (user.auth_scheme == config::AuthScheme::kIam) {
    subject = aws::TokenSubject{target.host, target.port, user.name, aws.region, aws.role_arn, aws.sts_url};
  }
  context.signing().run([this, alive = std::weak_ptr<int>(alive_), group, look = std::move(look), subject,
                         asked = std::move(asked), &tokens = context.tokens]() mutable -> net::Offload::Done {
    backend::ProbeOutcome outcome;
    if (subject) {
      auto token = tokens.make(*subject);
      const auto why_not = config::clear_text_refusal(look.tls.mode, look.tls.ca_owner, config::ClearText::kToken);
      if (!token.ok() || !why_not.empty()) {
        outcome.detail = "no token can be made for the database";
      } else {
        look.password = std::move(token.value);
        look.token = true;
      }
    }
    if (!subject || look.token) outcome = P::look_for_sessions(look);
    return [this, alive, group, asked, outcome = std::move(outcome)] {
      if (!alive.expired()) answered(group, asked, outcome);
    };
  });
}

template <class P>
void LeftBehind<P>::answered(const Group& group, const std::vector<std::uint32_t>& asked,
                             const backend::ProbeOutcome& outcome) {
  Asking& asking = asking_[group];
  asking.under_way = false;
  if (!outcome.found) {
    if (asking.times == 1) {
      log::warn("budget", "cannot ask for connections of a process before this one",
                {{"proxy", proxy_.name()}, {"target", group.first}, {"user", group.second}, {"error", outcome.detail}});
    }
    return;
  }
  const auto in = [](const std::vector<std::uint32_t>& ids, std::uint32_t id) {
    return std::find(ids.begin(), ids.end(), id) != ids.end();
  };
  remove([&](const RecordedConnection& each) {
    return Group(each.target, each.user) == group && in(asked, each.id) && !in(*outcome.found, each.id);
  });
  if (asking.times % 4 != 1) return;
  for (const auto& each : left_) {
    if (Group(each.connection.target, each.connection.user) == group) cancel(each);
  }
}

template <class P>
void LeftBehind<P>::cancel(const ConnectionRecord::Left& left) {
  if constexpr (requires { P::cancel_session(proxy_, left.connection); }) {
    P::cancel_session(proxy_, left.connection);
  }
}

}  // namespace dbproxy::worker
