#include "operator/manifest_mode/renewal.hpp"

#include <chrono>

#include "proxy/base/log.hpp"

namespace dbproxy::manifest_mode {
namespace {

constexpr std::chrono::seconds kLook{60};
constexpr std::chrono::minutes kSteadyLife{10};  // of shorter ones something is due at any time
constexpr std::chrono::seconds kLookOften{1};

}  // namespace

Renewal::Renewal(std::string directory, pki::LeafRequest request, pki::ServerFiles in_use, Renewed renewed,
                 const Clock& clock)
    : directory_(std::move(directory)),
      request_(std::move(request)),
      renewed_(std::move(renewed)),
      clock_(clock),
      in_use_(std::move(in_use)) {}

Renewal::~Renewal() {
  stop();
}

void Renewal::start() {
  thread_ = std::thread([this] { run(); });
}

void Renewal::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Renewal::run() {
  const bool often = request_.life.count() != 0 && request_.life < kSteadyLife;
  std::unique_lock lock(mutex_);
  while (!wake_.wait_for(lock, often ? kLookOften : kLook, [this] { return stopping_; })) {
    lock.unlock();
    look();
    lock.lock();
  }
}

bool Renewal::look() {
  std::string trouble;
  const Result<pki::ServerFiles> found = pki::load_or_create(directory_, request_, clock_);
  if (found.has_error()) {
    trouble = found.error().message();
  } else if (found.value().authority.certificate_pem != in_use_.authority.certificate_pem) {
    trouble = "ca.pem is another one than the one in use: it is taken at the next start, once sidecars have it too";
  }
  if (!trouble.empty() && trouble != trouble_) {
    log::warn("operator", "the certificates are not as they should be",
              {{"directory", directory_}, {"error", trouble}});
  }
  trouble_ = trouble;
  if (!trouble.empty() || found.value().server.certificate_pem == in_use_.server.certificate_pem) return false;
  in_use_ = found.value();
  renewed_(in_use_);
  log::info("operator", "certificates renewed");
  return true;
}

}  // namespace dbproxy::manifest_mode
