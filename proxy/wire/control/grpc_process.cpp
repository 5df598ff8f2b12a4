#include "proxy/wire/control/grpc_process.hpp"

#include <absl/synchronization/mutex.h>
#include <grpc/support/log.h>

#include "proxy/base/log.hpp"

namespace dbproxy::wire_control {

void prepare_grpc() {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  gpr_set_log_verbosity(GPR_LOG_SEVERITY_ERROR);
  gpr_set_log_function([](gpr_log_func_args* line) { log::debug("grpc", line->message); });
}

}  // namespace dbproxy::wire_control
