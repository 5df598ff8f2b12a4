// What tells a token of IAM from a password, where a client may give either. Pure.
#pragma once

#include <string_view>

namespace dbproxy::auth {

// A presigned URL, good or not: it carries a signature of version 4 in its query (AWS, "Authenticating requests: using
// query parameters").
inline bool looks_like_iam_token(std::string_view password) {
  return password.find("X-Amz-Signature=") != std::string_view::npos;
}

}  // namespace dbproxy::auth
