#include "proxy/control/configs.hpp"

#include <algorithm>
#include <linux/magic.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <sys/vfs.h>

#include "proxy/base/log.hpp"
#include "proxy/control/last_good.hpp"
#include "proxy/pki/pki.hpp"
#include "proxy/wire/control/convert.hpp"

namespace dbproxy::control {
namespace {

constexpr std::size_t kMaxFile = 64 * 1024 * 1024;
constexpr std::size_t kKeySize = 32;
constexpr const char* kVersionMetric = "dbproxy_config_version";
constexpr const char* kVersionHelp = "Version of the configuration that is in force";

}  // namespace

Configs::Configs(ConfigsOptions options, ApplyCallback apply, RemoveCallback remove, metrics::Registry& registry,
                 const Clock& clock)
    : options_(std::move(options)),
      apply_(std::move(apply)),
      remove_(std::move(remove)),
      registry_(registry),
      clock_(clock),
      acks_(registry.counter("dbproxy_config_acks_total", "Configurations that were put in force")),
      nacks_(registry.counter("dbproxy_config_nacks_total", "Configurations that were refused")) {}

bool Configs::wanted(const std::string& proxy) const {
  return options_.proxies.empty() ||
         std::find(options_.proxies.begin(), options_.proxies.end(), proxy) != options_.proxies.end();
}

v1::ConfigReply Configs::receive(v1::ConfigUpdate& update) {
  const std::lock_guard lock(mutex_);
  v1::ConfigReply reply;
  reply.set_nonce(update.nonce());
  reply.set_proxy(update.proxy());
  std::string error;
  if (!wanted(update.proxy())) {
    error = "this sidecar did not ask for the DBProxy";
  } else if (update.removed()) {
    drop(update.proxy());
  } else if (!update.has_snapshot()) {
    error = "the update has no snapshot";
  } else {
    error = put_in_force(update.proxy(), *update.mutable_snapshot());
  }
  if (update.has_snapshot()) wire_control::wipe(*update.mutable_snapshot());

  const auto current = held_.find(update.proxy());
  reply.set_version(current == held_.end() ? 0 : current->second.snapshot->version);
  if (error.empty()) {
    acks_.add();
    save();
    log::info("control", update.removed() ? "configuration removed" : "configuration in force",
              {{"proxy", update.proxy()}, {"version", reply.version()}});
  } else {
    nacks_.add();
    log::error("control", "configuration refused",
               {{"proxy", update.proxy()},
                {"refused_version", update.snapshot().version()},
                {"version_in_force", reply.version()},
                {"error", error}});
    reply.set_error(error);
  }
  return reply;
}

std::string Configs::put_in_force(const std::string& proxy, v1::Snapshot& message) {
  auto snapshot = std::make_shared<config::Snapshot>();
  std::string error = wire_control::from_proto(message, *snapshot);
  if (!error.empty()) return error;
  if (wire_control::proxy_name(*snapshot) != proxy) return "the snapshot is of another DBProxy than the update";
  Held held{snapshot,
            {message.listener_certificate_pem(), Secret(message.listener_key_pem())},
            wire_control::digest(message),
            false};
  if (held.tls.certificate_pem.empty()) {
    if (own_tls_.certificate_pem.empty()) {
      Result<pki::Identity> made = pki::self_signed_listener_identity(clock_);
      if (made.has_error()) return "cannot make a certificate for the listeners: " + made.error().message();
      own_tls_ = {made.value().certificate_pem, made.value().key_pem};
    }
    held.tls = own_tls_;
    held.own_certificate = true;
  }
  error = apply_(held.snapshot, held.tls);
  if (!error.empty()) return error;
  registry_.gauge(kVersionMetric, kVersionHelp, {{"proxy", proxy}}).set(snapshot->version);
  held_[proxy] = std::move(held);
  return {};
}

void Configs::drop(const std::string& proxy) {
  if (held_.erase(proxy) == 0) return;
  remove_(proxy);
  registry_.gauge(kVersionMetric, kVersionHelp, {{"proxy", proxy}}).set(0);
}

std::vector<v1::HeldConfig> Configs::held() const {
  const std::lock_guard lock(mutex_);
  std::vector<v1::HeldConfig> out;
  for (const auto& [proxy, held] : held_) {
    if (!held.own_certificate && is_due(held)) continue;
    v1::HeldConfig& entry = out.emplace_back();
    entry.set_proxy(proxy);
    entry.set_version(held.snapshot->version);
    entry.set_digest(held.digest);
  }
  return out;
}

bool Configs::is_due(const Held& held) const {
  const Result<bool> due = pki::needs_renewal(held.tls.certificate_pem, clock_);
  return due.has_error() || due.value();
}

// DBProxies whose certificates differ were sent before and after a renewal: the older one is the one to judge by.
std::string Configs::listener_certificate() const {
  const std::lock_guard lock(mutex_);
  std::string oldest;
  WallTime due{};
  for (const auto& [proxy, held] : held_) {
    if (held.own_certificate || is_due(held)) continue;
    const Result<WallTime> its = pki::renewal_due(held.tls.certificate_pem);
    if (its.has_error() || (!oldest.empty() && its.value() >= due)) continue;
    oldest = held.tls.certificate_pem;
    due = its.value();
  }
  return oldest;
}

bool Configs::complete() const {
  const std::lock_guard lock(mutex_);
  if (options_.proxies.empty()) return !held_.empty();
  return std::all_of(options_.proxies.begin(), options_.proxies.end(),
                     [&](const std::string& proxy) { return held_.contains(proxy); });
}

void Configs::set_token(const Secret& token) {
  const std::lock_guard lock(mutex_);
  if (token_ == token) return;
  token_ = token;
  if (!held_.empty()) save();
}

bool lives_in_memory(const std::string& directory) {
  struct statfs about {};
  if (directory.empty() || ::statfs(directory.c_str(), &about) != 0) return false;
  return about.f_type == TMPFS_MAGIC || about.f_type == RAMFS_MAGIC;
}

// In memory a key beside the file is as good as the file is: both are gone together.
Secret Configs::sealing_key(const Secret& token) const {
  if (!options_.state_in_memory) return token;
  const std::string path = options_.state_dir + "/key";
  if (Result<std::string> known = pki::read_small_file(path, kKeySize); known.has_value()) {
    if (known.value().size() == kKeySize) return Secret(std::move(known.value()));
  }
  std::string fresh(kKeySize, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(fresh.data()), kKeySize) != 1) return Secret();
  const Result<void> written = pki::write_file_atomically(path, fresh, 0600);
  if (written.has_error()) {
    log::error("control", "cannot keep a key", {{"file", path}, {"error", written.error().message()}});
  }
  return Secret(std::move(fresh));
}

void Configs::save() const {
  if (options_.state_dir.empty() || token_.empty()) return;
  // The container is a stream of updates, so that the file needs no message of its own.
  std::string bytes;
  for (const auto& [proxy, held] : held_) {
    v1::ConfigUpdate update;
    update.set_proxy(proxy);
    *update.mutable_snapshot() = wire_control::to_proto(*held.snapshot);
    if (!held.own_certificate) {
      update.mutable_snapshot()->set_listener_certificate_pem(held.tls.certificate_pem);
      update.mutable_snapshot()->set_listener_key_pem(std::string(held.tls.key_pem.reveal()));
    }
    std::string one = update.SerializeAsString();
    wire_control::wipe(*update.mutable_snapshot());
    const auto size = static_cast<std::uint32_t>(one.size());
    for (int shift = 24; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(size >> shift));
    bytes += one;
    OPENSSL_cleanse(one.data(), one.size());
  }
  const Result<std::string> sealed = seal(Secret(std::move(bytes)), sealing_key(token_), options_.identity);
  if (sealed.has_error()) {
    log::error("control", "cannot seal the last good configuration", {{"error", sealed.error().message()}});
    return;
  }
  const Result<void> written = pki::write_file_atomically(path(), sealed.value(), 0600);
  if (written.has_error()) {
    log::error("control", "cannot keep the last good configuration",
               {{"file", path()}, {"error", written.error().message()}});
  }
}

int Configs::restore(const Secret& token) {
  if (options_.state_dir.empty()) return 0;
  const Result<std::string> sealed = pki::read_small_file(path(), kMaxFile);
  if (sealed.has_error()) {
    log::info("control", "no last good configuration", {{"file", path()}, {"reason", sealed.error().message()}});
    return 0;
  }
  const Result<Secret> content = open(sealed.value(), sealing_key(token), options_.identity);
  if (content.has_error()) {
    log::warn("control", "last good configuration is unreadable",
              {{"file", path()}, {"error", content.error().message()}});
    return 0;
  }
  const std::lock_guard lock(mutex_);
  int count = 0;
  std::string_view rest = content.value().reveal();
  while (rest.size() >= 4) {
    std::uint32_t size = 0;
    for (int i = 0; i < 4; ++i) size = size << 8 | static_cast<unsigned char>(rest[static_cast<std::size_t>(i)]);
    rest.remove_prefix(4);
    v1::ConfigUpdate update;
    if (size > rest.size() || !update.ParseFromArray(rest.data(), static_cast<int>(size))) break;
    rest.remove_prefix(size);
    if (!wanted(update.proxy()) || held_.contains(update.proxy())) continue;
    const std::string error = put_in_force(update.proxy(), *update.mutable_snapshot());
    wire_control::wipe(*update.mutable_snapshot());
    if (error.empty()) {
      ++count;
      log::warn("control", "last good configuration in force, the operator is away",
                {{"proxy", update.proxy()}, {"version", held_[update.proxy()].snapshot->version}});
    } else {
      log::error("control", "last good configuration refused", {{"proxy", update.proxy()}, {"error", error}});
    }
  }
  return count;
}

}  // namespace dbproxy::control
