// SASLprep (RFC 4013) of a password, as PostgreSQL applies it before SCRAM's key derivation. Pure, any thread.
//
// Both ends of an exchange have to arrive at the same bytes, so what counts is what PostgreSQL and libpq do: ASCII is
// taken as it is; else characters that RFC 4013 maps are mapped, and the result is normalised (NFKC). Where what was
// mapped holds a character that is prohibited, unassigned in Unicode 3.2, or written in a mixed direction (they look
// before they normalise), or the bytes are not UTF-8, or nothing is left of them, the password is used as its bytes.
#pragma once

#include <string_view>

#include "proxy/base/secret.hpp"

namespace dbproxy::auth {

Secret saslprep(const Secret& password);

}  // namespace dbproxy::auth
