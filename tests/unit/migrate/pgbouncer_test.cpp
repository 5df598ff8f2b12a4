#include <fstream>
#include <gtest/gtest.h>
#include <sstream>

#include "operator/migrate/migrate.hpp"
#include "proxy/manifest/loader.hpp"

namespace dbproxy::migrate {
namespace {

constexpr const char* kIni = R"(;; a comment
[databases]
shop = host=db.example.com port=5433 dbname=orders user=app connect_query='SET a.b = ''1'''
other = host=db.example.com port=5433
local =

[users]
reports = pool_mode=session

[pgbouncer]
listen_port = 6432
pool_mode = session
auth_type = scram-sha-256
max_client_conn = 2000
query_wait_timeout = 60
query_timeout = 1.5
client_idle_timeout = 0
client_tls_sslmode = require
server_tls_sslmode = verify-full
no_such_key = 1
)";

Result imported(const std::string& text) {
  return from_pgbouncer({"pgbouncer.ini", text}, {});
}

TEST(FromPgBouncer, MakesADBProxyOfEachServer) {
  const auto result = imported(kIni);
  ASSERT_EQ(result.error, "");
  const auto loaded = manifest::load_sources({{"imported", result.manifests}});
  for (const auto& each : loaded.diagnostics) {
    EXPECT_NE(manifest::to_text(each).find("database-ca"), std::string::npos) << manifest::to_text(each);
  }
  ASSERT_EQ(loaded.proxies.size(), 2u) << result.manifests;
  EXPECT_EQ(loaded.proxies[0].metadata.name, "shop");
  EXPECT_EQ(loaded.proxies[1].metadata.name, "local");
  for (const char* line :
       {"endpoint: db.example.com", "port: 5433", "port: 6432", "requireTLS: true", "maxClients: 2000",
        "connectionBorrowTimeoutSeconds: 60", "statementTimeout: 1500ms", "idleClientTimeoutSeconds: 28800",
        "mode: verify-full", "username: app", "username: reports", "initQuery: SET a.b = '1'",
        "# shop is orders on the server", "# pool_mode = session", "# no_such_key: has no equal."}) {
    EXPECT_NE(result.manifests.find(line), std::string::npos) << line << " in\n" << result.manifests;
  }
}

TEST(FromPgBouncer, NeverAsksForTlsOnOneHopOnly) {
  const auto result =
      imported("[databases]\na = host=h\n[pgbouncer]\nclient_tls_sslmode = require\nserver_tls_sslmode = disable\n");
  const auto loaded = manifest::load_sources({{"imported", result.manifests}});
  EXPECT_TRUE(loaded.ok()) << manifest::to_text(loaded.diagnostics.front());
  EXPECT_NE(result.manifests.find("requireTLS: false"), std::string::npos);
}

TEST(FromPgBouncer, RefusesWhatItCannotReadInWords) {
  EXPECT_EQ(imported("[databases]\nnonsense\n").error,
            "pgbouncer.ini: line 2: neither a section nor KEY = VALUE below one");
  EXPECT_NE(imported("[pgbouncer]\n").error.find("has no [databases]"), std::string::npos);
}

// docs/from-pgbouncer.md shows the table that is followed.
TEST(FromPgBouncer, ThePageSaysWhatIsDone) {
  std::ifstream page(DBPROXY_FROM_PGBOUNCER);
  std::stringstream text;
  text << page.rdbuf();
  for (const auto& key : pgbouncer_keys()) {
    const auto row = "| `" + std::string(key.name) + "` | " + std::string(key.here) + " |\n";
    EXPECT_NE(text.str().find(row), std::string::npos) << row;
  }
}

}  // namespace
}  // namespace dbproxy::migrate
