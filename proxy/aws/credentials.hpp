// Keys of an AWS principal. Plain data; safe to share once it is const.
#pragma once

#include <optional>
#include <string>

#include "proxy/base/clock.hpp"
#include "proxy/base/secret.hpp"

namespace dbproxy::aws {

struct Credentials {
  std::string access_key_id;
  Secret secret_access_key;
  Secret session_token;             // empty: keys that last
  std::optional<WallTime> expires;  // none: never, or nobody said
  std::string source;               // where they come from, in words
};

}  // namespace dbproxy::aws
