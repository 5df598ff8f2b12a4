// What a client's token is held against: the proxy's own endpoint, and the database that takes tokens itself.
#pragma once

#include <string>

#include "proxy/aws/client_tokens.hpp"
#include "proxy/config/snapshot.hpp"

namespace dbproxy::worker {

// For a client of this endpoint as this user. `database`: which one it asks for; empty: none.
//
// Where the user logs in to the database by token (authScheme: IAM), one that was made for the database and not for the
// proxy is shown to it: to the writer that is known, whatever host the token names, over verify-full only, on a
// connection of its own that ends at once. It is not one of the pool's: there are as many at a time as threads that
// verify tokens, and one for each token, not for each client.
aws::ClientTokenSubject token_subject(config::SnapshotPtr snapshot, const config::Endpoint& endpoint,
                                      const config::User& user, std::string database);

// Of a DBProxy with users whom nothing but a token of this process's own keys can let in (iamAuth: REQUIRED, with a
// secret and without iamPrincipals): which those are, as the beginning of a sentence. "": there are none.
std::string needs_own_keys(const config::Snapshot& snapshot);
// What is to be said of them, given why this process has no keys; "" where that may pass by itself.
std::string iam_impossible(const std::string& users, const aws::Failure& failure);

}  // namespace dbproxy::worker
