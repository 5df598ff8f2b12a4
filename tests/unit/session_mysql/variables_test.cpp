#include "tests/unit/session_mysql/world.hpp"

namespace dbproxy::session::mysql {
namespace {

using namespace test;
using Rows = std::vector<std::vector<std::optional<std::string>>>;

// A definition as servers send it: names, then what is fixed.
std::string column(std::uint8_t type, std::uint16_t flags = 0) {
  std::string out("\3def\0\0\0\2@v\0\x0c", 12);
  out += std::string_view("\xff\0\x14\0\0\0", 6);
  out += static_cast<char>(type);
  out += static_cast<char>(flags & 0xff);
  out += static_cast<char>(flags >> 8);
  return out += std::string("\0\0\0", 3);
}

std::optional<UserVariable> read(std::uint8_t type, std::uint16_t flags, std::vector<std::optional<std::string>> row) {
  const std::vector<std::string> names{"v"}, columns(4, column(type, flags));
  const auto found = read_variables(names, columns, Rows{std::move(row)});
  return found ? std::optional(found->at("v")) : std::nullopt;
}

std::string assignment(const UserVariable& variable) {
  return set_variables_sql({{"v", variable}}).substr(4);
}

TEST(UserVariables, HaveOneNameHoweverTheyAreWritten) {
  for (const std::string_view written : {"@abc", "@ABC", "@'abc'", "@\"Abc\"", "@`aBc`"})
    EXPECT_EQ(own_variable(written), "abc") << written;
  EXPECT_EQ(own_variable("@`a b`"), "a b");
  EXPECT_EQ(own_variable("@a.b$c"), "a.b$c");
  for (const std::string_view written : {"@", "abc", "@''", "@'a''b'", "@`a\\`", "@\xc3\xa9", "@'a"})
    EXPECT_EQ(own_variable(written), std::nullopt) << written;
  EXPECT_EQ(own_variable("@" + std::string(65, 'a')), std::nullopt);
}

TEST(UserVariables, KeepTheTypesThatWereRead) {
  const std::string binary = "binary";
  const auto number = [&](std::uint8_t type, std::uint16_t flags, const std::string& text) {
    const auto value = read(type, flags, {text, "00", binary, binary});
    return value ? assignment(*value) : "";
  };
  EXPECT_EQ(number(wire::column::kLongLong, 0, "-5"), "@`v` = -5");
  EXPECT_EQ(number(wire::column::kLongLong, wire::column::kUnsignedFlag, "5"), "@`v` = CAST(5 AS UNSIGNED)");
  EXPECT_EQ(number(wire::column::kNewDecimal, 0, "2.50"), "@`v` = 2.50");
  EXPECT_EQ(number(wire::column::kNewDecimal, 0, "2"), "@`v` = 2.");
  EXPECT_EQ(number(wire::column::kDouble, 0, "2.5"), "@`v` = 2.5e0");
  EXPECT_EQ(number(wire::column::kDouble, 0, "1e22"), "@`v` = 1e22");
  EXPECT_EQ(number(wire::column::kDouble, 0, std::string("2\0", 2)), "") << "not in a character set that can be read";
  EXPECT_EQ(number(wire::column::kLongLong, 0, "1; DROP"), "");
  EXPECT_EQ(number(0x01, 0, "1"), "") << "no variable has that type";
}

TEST(UserVariables, KeepTheirCollations) {
  const std::uint8_t text = 0xfa;
  EXPECT_EQ(assignment(*read(text, 0, {"x", "78", "latin1", "latin1_bin"})), "@`v` = _latin1 x'78' COLLATE latin1_bin");
  EXPECT_EQ(assignment(*read(text, 0, {"", "", "binary", "binary"})), "@`v` = x''");
  EXPECT_EQ(read(text, 0, {"x", "7'", "latin1", "latin1_bin"}), std::nullopt);
  EXPECT_EQ(read(text, 0, {"x", "78", "latin1", "latin1 bin"}), std::nullopt);
}

TEST(UserVariables, KeepTheTypeOfNull) {
  const auto null = [](std::uint8_t type) {
    return assignment(*read(type, 0, {std::nullopt, std::nullopt, "utf8mb4", "utf8mb4_bin"}));
  };
  EXPECT_EQ(null(wire::column::kLongLong), "@`v` = 0, @`v` = NULL");
  EXPECT_EQ(null(wire::column::kNewDecimal), "@`v` = 0., @`v` = NULL");
  EXPECT_EQ(null(0xfb), "@`v` = _utf8mb4 x'' COLLATE utf8mb4_bin, @`v` = NULL");
  EXPECT_EQ(*read(0xfb, 0, {std::nullopt, std::nullopt, "binary", "binary"}), unset_variable());
}

TEST(UserVariables, AreAskedForInOneRow) {
  const std::vector<std::string> names{"a", "b c"};
  EXPECT_EQ(ask_variables_sql(names),
            "SELECT @`a`, HEX(@`a`), CHARSET(@`a`), COLLATION(@`a`), @`b c`, HEX(@`b c`), CHARSET(@`b c`), "
            "COLLATION(@`b c`) FROM DUAL WHERE COALESCE(LENGTH(@`a`), 0) <= 1024 AND COALESCE(LENGTH(@`b c`), 0) <= "
            "1024");
  EXPECT_EQ(read_variables(names, std::vector<std::string>(8, column(8)), {}), std::nullopt) << "one is too long";
}

Says one(std::string_view value, std::uint8_t type = wire::column::kLongLong) {
  Says says = Says().raw("\4");
  for (const std::uint8_t each : {type, std::uint8_t{0xfd}, std::uint8_t{0xfd}, std::uint8_t{0xfd}})
    says.raw(column(each));
  return says.row({value, "00", "binary", "binary"}).end();
}

const std::vector<std::string> kV{"v"};
constexpr std::string_view kUnset = "SET @`v` = x'', @`v` = NULL";

// What is asked when `client` has to let its connection go.
void let_go(World& world, Client& client, std::string_view asked, const Says& answer) {
  EXPECT_EQ(client.pins(), 0u);
  EXPECT_FALSE(client.can_release(world.server));
  Output out;
  ASSERT_TRUE(client.let_go(world.server, out));
  EXPECT_EQ(drain(out), query(asked));
  EXPECT_EQ(world.serve(client, answer), ServerVerdict::kReady);
}

void sets(World& world, Client& client, std::string_view sql, const Says& answer) {
  world.run(client, sql, sql.starts_with("SET") ? Says().changed().ok() : Says().ok());
  let_go(world, client, ask_variables_sql(kV), answer);
}

// It has @v = 5, and has let its connection go.
void has_five_elsewhere(World& world, Client& client, std::string_view sql = "SET @v = 5") {
  sets(world, client, sql, one("5"));
  let_go(world, client, kUnset, Says().ok());
}

void asks(World& world, Client& client, std::string_view sql, std::string_view before) {
  EXPECT_EQ(world.say(client, query(sql)), ClientVerdict::kWait) << sql;
  EXPECT_EQ(world.to_server, query(before)) << sql;
  world.serve(client, Says().ok());
  world.run(client, sql, Says().ok());
}

TEST(UserVariables, FollowTheirClient) {
  World world;
  Client first(world), second(world, 2);
  has_five_elsewhere(world, first);
  EXPECT_TRUE(first.can_release(world.server));
  // Others find none of it, and have nothing to do for that.
  world.run(second, "SELECT @V", Says().ok());
  EXPECT_TRUE(second.can_release(world.server));
  world.run(first, "DO 1", Says().ok());
  EXPECT_TRUE(first.can_release(world.server));
  asks(world, first, "SELECT @v + 1", "SET @`v` = 5");
  world.run(first, "SELECT @v + 2", Says().ok());
  let_go(world, first, kUnset, Says().ok());
  EXPECT_TRUE(first.can_release(world.server));
}

TEST(UserVariables, OfTextsThatDoNotTellAllAreThere) {
  for (const std::string_view sql : {"CALL p()", "EXECUTE s", "SELECT @a, @b, @c, @d, @e, @f, @g"}) {
    World world;
    Client client(world);
    has_five_elsewhere(world, client, "SELECT 5 INTO @v");
    asks(world, client, sql, "SET @`v` = 5");
  }
}

TEST(UserVariables, WhoeverLeavesHasThemUnset) {
  World world;
  {
    Client client(world);
    world.run(client, "SET @v = 5", Says().changed().ok());
  }
  EXPECT_TRUE(world.server.has_variables());
  Output out;
  world.server.unset_variables(out);
  EXPECT_EQ(drain(out), query(kUnset));
  world.serve(nullptr, Says().error(1290).out);
  EXPECT_FALSE(world.server.has_variables());
  EXPECT_TRUE(world.server.left_behind()) << "a reset does it";
}

Says none() {
  std::string row = "\xfb\xfb";
  for (int i = 0; i < 2; ++i) wire::append_lenenc_bytes(row, "binary");
  Says says = Says().raw("\4");
  for (int i = 0; i < 4; ++i) says.raw(column(0xfa));
  return says.raw(row).end();
}

// As of a text that failed.
TEST(UserVariables, OneThatIsNotSetIsNone) {
  World world;
  Client client(world);
  sets(world, client, "SET @v = 5", one("5"));
  sets(world, client, "SET @v = NULL", none());
  EXPECT_TRUE(client.can_release(world.server));
  world.run(client, "SELECT @v", Says().ok());
  EXPECT_TRUE(client.can_release(world.server));
}

Says conditions() {
  return Says().condition_columns().row({"Error", "1054", "no"}).end();
}

// The number of errors is known here by then.
void asks_of_one_error(World& world, Client& client) {
  EXPECT_EQ(world.say(client, query("SELECT @v, @@error_count")), ClientVerdict::kWait);
  EXPECT_EQ(world.to_server, query("SET @`v` = 5"));
  world.serve(client, Says().ok());
  EXPECT_EQ(world.say(client, query("SELECT @v, @@error_count")), ClientVerdict::kMore);
  EXPECT_NE(world.to_server.find("SELECT @v, CAST(COALESCE(1,"), std::string::npos) << world.to_server;
}

TEST(UserVariables, ArePutWhereErrorsAreAskedForOnlyWhenTheseAreKept) {
  World world;
  Client client(world);
  has_five_elsewhere(world, client);
  world.run(client, "SELECT nothing", Says().error(1054));
  EXPECT_EQ(world.say(client, query("SELECT @v, @@error_count")), ClientVerdict::kWait);
  EXPECT_EQ(world.to_server, query(kAskDiagnostics));
  world.serve(client, conditions());
  asks_of_one_error(world, client);
}

TEST(UserVariables, WhatIsKeptOfErrorsIsNotAskedForAgain) {
  World world;
  Client client(world);
  has_five_elsewhere(world, client);
  world.run(client, "SELECT nothing", Says().error(1054));
  let_go(world, client, kAskDiagnostics, conditions());
  EXPECT_EQ(world.say(client, query("SHOW COUNT(*) WARNINGS")), ClientVerdict::kMore);  // of what is kept
  world.serve(client, Says().raw("\1").raw("def").raw("1").end());
  asks_of_one_error(world, client);
}

TEST(UserVariables, WhatGetDiagnosticsDoesNotSetStaysAsItWas) {
  for (const bool set : {false, true}) {
    World world;
    Client client(world);
    has_five_elsewhere(world, client);
    world.run(client, "SELECT nothing", Says().error(1054));
    world.run(client, "GET DIAGNOSTICS CONDITION 9 @v = MYSQL_ERRNO", Says().ok());
    EXPECT_EQ(world.say(client, query("SELECT @v")), ClientVerdict::kWait);
    EXPECT_EQ(world.to_server, query(ask_variables_sql(kV)));
    if (set) {
      world.serve(client, one("1054"));
      world.run(client, "SELECT @v", Says().ok());
      continue;
    }
    world.serve(client, none());
    asks(world, client, "SELECT @v", "SET @`v` = 5");
  }
}

TEST(UserVariables, AValueThatCannotBePutElsewherePins) {
  for (const bool excluded : {false, true}) {
    World world;
    Client client(world);
    world.options.exclude_variable_sets = excluded;
    const Says none = Says().raw("\4").raw(column(0xfa)).raw(column(0xfd)).raw(column(0xfd)).raw(column(0xfd)).end();
    sets(world, client, "SET @v = REPEAT('x', 2000)", none);
    EXPECT_EQ(pin_names(client.pins()), excluded ? "" : "user_variable");
    EXPECT_EQ(world.server.left_behind(), excluded);
    if (!excluded) EXPECT_EQ(client.pin_statement(), "SET @v= REPEAT(?, ?)");
  }
}

TEST(UserVariables, TooManyOfThemPin) {
  World world;
  Client client(world);
  for (std::size_t i = 0; i <= kMaxUserVariables; ++i) {
    EXPECT_EQ(client.pins(), 0u) << i;
    world.run(client, "SET @v" + std::to_string(i) + " = 5", Says().changed().ok());
  }
  EXPECT_EQ(pin_names(client.pins()), "user_variable");
}

TEST(UserVariables, EndWithAReset) {
  World world;
  Client client(world);
  sets(world, client, "SET @v = 5", one("5"));
  world.run(client, "SET @v = 6", Says().changed().ok());
  world.say(client, request(wire::Command::kResetConnection));
  world.serve(client, Says().ok());
  EXPECT_EQ(world.say(client, query("SELECT @v")), ClientVerdict::kWait);  // its trackers
  world.serve(client, Says().ok());
  world.run(client, "SELECT @v", Says().ok());
  EXPECT_TRUE(client.can_release(world.server));
}

TEST(UserVariables, AClientWhoseOwnAreLostEndsWithItsConnection) {
  for (const bool read : {false, true}) {
    World world;
    Client client(world);
    if (read)
      sets(world, client, "SET @v = 5", one("5"));
    else
      world.run(client, "SET @v = 5", Says().changed().ok());
    Output out;
    EXPECT_EQ(client.server_lost(world.server, "gone", "", out), read);
  }
  World world;
  Client client(world);
  world.say(client, query("SET @v = 5"));
  Output out;
  EXPECT_TRUE(client.server_lost(world.server, "gone", "", out)) << "it may not have been carried out";
}

}  // namespace
}  // namespace dbproxy::session::mysql
