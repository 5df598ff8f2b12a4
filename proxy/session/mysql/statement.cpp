#include "proxy/session/mysql/statement.hpp"

#include <algorithm>

namespace dbproxy::session::mysql {

StatementPtr StatementCache::intern(std::string_view text, const SettingsPtr& settings,
                                    const ClassifyOptions& options) {
  std::string key = settings->reading();
  if (options.hazards != nullptr) (key += '\0') += std::to_string(options.hazards->version);
  key += '\1';
  key += text;
  std::weak_ptr<const Statement>& slot = known_[std::move(key)];
  StatementPtr statement = slot.lock();
  if (statement) return statement;
  statement = std::make_shared<const Statement>(text, settings, options);
  slot = statement;
  // Distinct texts without end must not stay when nobody has them any more.
  if (known_.size() > sweep_at_) {
    std::erase_if(known_, [](const auto& entry) { return entry.second.expired(); });
    sweep_at_ = std::max<std::size_t>(64, 2 * known_.size());
  }
  return statement;
}

}  // namespace dbproxy::session::mysql
