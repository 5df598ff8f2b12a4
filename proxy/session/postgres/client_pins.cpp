// The part of ClientSession that knows why its client keeps its server connection, and finds out when that is over.
#include "proxy/session/postgres/client_session.hpp"
#include "proxy/session/postgres/probe.hpp"

namespace dbproxy::session::postgres {

void ClientSession::note(const Verdict& verdict, std::string_view text, const Step& step) {
  auto reasons = verdict.pins;
  done_since_ = true;
  if (verdict.may_report_catalog_change) ++step.server->changes_;
  // Temporary objects are this connection's alone, where every new Parse goes to the server anyway.
  const bool temporary = (verdict.pins | pins_) & bit(PinReason::kTemporaryObject);
  if (verdict.changes_schema && !temporary) step.server->schema_dirty_ = true;
  if (step.options.sequence_pinning && verdict.sequence_use) reasons |= bit(PinReason::kSequence);
  if (verdict.may_end) probe_due_ = true;
  const bool sets = !verdict.settings.empty() || verdict.role_too || verdict.characteristics || verdict.reset_all ||
                    verdict.sets_listed;
  if (sets || verdict.sets || verdict.reported_setting || (reasons & bit(PinReason::kOpaque)) ||
      (reasons & bit(PinReason::kSetVariable)))
    step.server->settings_move();
  if (sets) {
    auto& server = *step.server;
    server.touch(verdict, server.transaction_status_ != 'I' || !server.requests_.empty());
  }
  if (verdict.sets_path) {
    reasons |= bit(PinReason::kTemporaryObject);
    probe_due_ = true;
  }
  // One that is refused has left nothing: the tag tells.
  const auto by_tag = reasons & bit(PinReason::kLoad);
  reasons = without_read_back(reasons & ~by_tag);
  if ((reasons | by_tag) != 0 && pins_ == 0) pin_statement_ = digest(text);
  if (reasons != 0) pin(reasons, verdict.leaves);
}

// A schema for temporary objects among those that CREATE takes: what it makes is this connection's, as long as that is
// so, and no statement shows it.
void ClientSession::look_at_path(std::string_view search_path) {
  if (search_path.find("pg_temp") == std::string_view::npos) return;
  pin(bit(PinReason::kTemporaryObject), bit(PinReason::kOpaque));
}

void ClientSession::settings_read(ServerSession& server) {
  if (at_start_ || !server.settings_settled()) return;
  settings_ = server.settings();
  settle_readings();
  settled_since_attached_ = false;
  if (const auto* path = settings_->find_tracked("search_path")) look_at_path(*path);
}

// What is read back from the server when its transaction is over, and so is no pin. Returns the rest.
std::uint32_t ClientSession::without_read_back(std::uint32_t reasons) {
  if (share_listen_ && (reasons & bit(PinReason::kListen))) {
    reasons &= ~bit(PinReason::kListen);
    listen_due_ = true;
  }
  // Where it stays for good, its statements may stay there as well.
  if ((reasons & bit(PinReason::kSqlPrepare)) && !(leaves_ & bit(PinReason::kOpaque))) {
    reasons &= ~bit(PinReason::kSqlPrepare);
    names_due_ = true;
  }
  return reasons;
}

void ClientSession::pin(std::uint32_t reasons, std::uint32_t leaves) {
  reasons = without_read_back(reasons);
  if (reasons == 0) return;
  pins_ |= reasons;
  pins_since_ |= reasons;
  leaves_ |= leaves;
  leaves_since_ |= leaves;
  if (reasons & bit(PinReason::kOpaque)) probe_due_ = true;
  unsettled_ = true;
}

// A tag of the client's own commands: some end what pins.
void ClientSession::command_done(std::string_view tag) {
  if (pins_ == 0) return;
  if (tag == "COMMIT" || tag == "ROLLBACK") {
    probe_due_ = probe_due_ || unsettled_;
  } else if (tag.starts_with("DROP ") || tag == "DISCARD TEMP" || tag.starts_with("CLOSE CURSOR") ||
             tag == "UNLISTEN" || tag.starts_with("DEALLOCATE")) {
    probe_due_ = true;
  }
}

bool ClientSession::wants_probe(const ServerSession& server, bool anything) const {
  if (pins_ == 0 || !(probe_due_ || (anything && done_since_))) return false;
  if (!probe_can_tell(pins_, leaves_)) return false;
  return server.idle() && !in_mid_message() && !held_;
}

void ClientSession::probe(ServerSession& server, Output& to_server) {
  server.probe(probe_sql(pins_ | leaves_, cache_->prefix()), to_server);
  pins_since_ = leaves_since_ = 0;
  probe_due_ = unsettled_ = done_since_ = probe_is_old_ = false;
}

bool ClientSession::probed(const ServerSession::Rows& rows) {
  const auto left = rows.failed || rows.too_long ? std::nullopt : read_probe(rows.messages);
  if (!left) return false;
  if (probe_is_old_) return true;
  // What was opaque is known now.
  pins_ = *left | pins_since_;
  leaves_ = leaves_since_;
  if (pins_ == 0) pin_statement_.clear();
  if (!names_unknown())
    for (auto& [name, named] : names_) named.materialized = false;
  return true;
}

}  // namespace dbproxy::session::postgres
