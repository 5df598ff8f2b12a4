// Numbers of the MySQL protocol. (MySQL internals manual: "Capability Flags", "Status Flags", "Text Protocol".)
#pragma once

#include <cstdint>

namespace dbproxy::wire::mysql {

// Capabilities: what both ends may use is what both have.
namespace client {
inline constexpr std::uint32_t kLongPassword = 1u << 0;  // MariaDB calls it CLIENT_MYSQL: unset, there are more flags
inline constexpr std::uint32_t kFoundRows = 1u << 1;
inline constexpr std::uint32_t kLongFlag = 1u << 2;
inline constexpr std::uint32_t kConnectWithDb = 1u << 3;
inline constexpr std::uint32_t kNoSchema = 1u << 4;
inline constexpr std::uint32_t kCompress = 1u << 5;
inline constexpr std::uint32_t kOdbc = 1u << 6;
inline constexpr std::uint32_t kLocalFiles = 1u << 7;
inline constexpr std::uint32_t kIgnoreSpace = 1u << 8;
inline constexpr std::uint32_t kProtocol41 = 1u << 9;
inline constexpr std::uint32_t kInteractive = 1u << 10;
inline constexpr std::uint32_t kSsl = 1u << 11;
inline constexpr std::uint32_t kIgnoreSigpipe = 1u << 12;
inline constexpr std::uint32_t kTransactions = 1u << 13;
inline constexpr std::uint32_t kReserved = 1u << 14;
inline constexpr std::uint32_t kSecureConnection = 1u << 15;
inline constexpr std::uint32_t kMultiStatements = 1u << 16;
inline constexpr std::uint32_t kMultiResults = 1u << 17;
inline constexpr std::uint32_t kPsMultiResults = 1u << 18;
inline constexpr std::uint32_t kPluginAuth = 1u << 19;
inline constexpr std::uint32_t kConnectAttributes = 1u << 20;
inline constexpr std::uint32_t kLenencAuthData = 1u << 21;
inline constexpr std::uint32_t kExpiredPasswords = 1u << 22;
inline constexpr std::uint32_t kSessionTrack = 1u << 23;
inline constexpr std::uint32_t kDeprecateEof = 1u << 24;
inline constexpr std::uint32_t kOptionalMetadata = 1u << 25;
inline constexpr std::uint32_t kZstd = 1u << 26;
inline constexpr std::uint32_t kQueryAttributes = 1u << 27;
}  // namespace client

// Those that change what statements mean, so that connections which differ in them are not exchanged.
inline constexpr std::uint32_t kPoolFlags = client::kFoundRows | client::kIgnoreSpace | client::kInteractive |
                                            client::kLocalFiles | client::kMultiResults | client::kPsMultiResults |
                                            client::kExpiredPasswords | client::kQueryAttributes;
// What clients may be offered, where the server has it as well. kOptionalMetadata makes the first packet of a result
// ambiguous for whoever does not know all requests before it; nothing is lost without it.
inline constexpr std::uint32_t kOfferedFlags =
    client::kLongPassword | client::kFoundRows | client::kLongFlag | client::kConnectWithDb | client::kNoSchema |
    client::kOdbc | client::kLocalFiles | client::kIgnoreSpace | client::kProtocol41 | client::kInteractive |
    client::kIgnoreSigpipe | client::kTransactions | client::kReserved | client::kSecureConnection |
    client::kMultiStatements | client::kMultiResults | client::kPsMultiResults | client::kPluginAuth |
    client::kConnectAttributes | client::kLenencAuthData | client::kSessionTrack | client::kDeprecateEof |
    client::kQueryAttributes;

namespace status {
inline constexpr std::uint16_t kInTransaction = 0x0001;
inline constexpr std::uint16_t kAutocommit = 0x0002;
inline constexpr std::uint16_t kMoreResults = 0x0008;
inline constexpr std::uint16_t kCursorExists = 0x0040;
inline constexpr std::uint16_t kLastRowSent = 0x0080;
inline constexpr std::uint16_t kNoBackslashEscapes = 0x0200;
inline constexpr std::uint16_t kMetadataChanged = 0x0400;
inline constexpr std::uint16_t kOutParameters = 0x1000;
inline constexpr std::uint16_t kInReadOnlyTransaction = 0x2000;
inline constexpr std::uint16_t kStateChanged = 0x4000;
inline constexpr std::uint16_t kAnsiQuotes = 0x8000;  // of MariaDB
}  // namespace status

enum class Command : std::uint8_t {
  kSleep = 0x00,
  kQuit = 0x01,
  kInitDb = 0x02,
  kQuery = 0x03,
  kFieldList = 0x04,
  kCreateDb = 0x05,
  kDropDb = 0x06,
  kRefresh = 0x07,
  kShutdown = 0x08,
  kStatistics = 0x09,
  kProcessInfo = 0x0a,
  kConnect = 0x0b,
  kProcessKill = 0x0c,
  kDebug = 0x0d,
  kPing = 0x0e,
  kTime = 0x0f,
  kDelayedInsert = 0x10,
  kChangeUser = 0x11,
  kBinlogDump = 0x12,
  kTableDump = 0x13,
  kConnectOut = 0x14,
  kRegisterSlave = 0x15,
  kStmtPrepare = 0x16,
  kStmtExecute = 0x17,
  kStmtSendLongData = 0x18,
  kStmtClose = 0x19,
  kStmtReset = 0x1a,
  kSetOption = 0x1b,
  kStmtFetch = 0x1c,
  kDaemon = 0x1d,
  kBinlogDumpGtid = 0x1e,
  kResetConnection = 0x1f,
  kStmtBulkExecute = 0xfa,  // MariaDB
};

// Types of columns: those of user variables.
namespace column {
inline constexpr std::uint8_t kDouble = 0x05;
inline constexpr std::uint8_t kLongLong = 0x08;
inline constexpr std::uint8_t kNewDecimal = 0xf6;
inline constexpr std::uint8_t kFirstString = 0xf9;
inline constexpr std::uint8_t kLastString = 0xfe;
inline constexpr std::uint16_t kUnsignedFlag = 0x0020;
}  // namespace column

// First bytes of payloads that servers send.
inline constexpr std::uint8_t kOkHeader = 0x00;
inline constexpr std::uint8_t kMoreDataHeader = 0x01;
inline constexpr std::uint8_t kLocalInfileHeader = 0xfb;
inline constexpr std::uint8_t kEofHeader = 0xfe;
inline constexpr std::uint8_t kErrorHeader = 0xff;

// Errors that the proxy gives or acts on. (MySQL's error reference.)
namespace error {
inline constexpr std::uint16_t kTooManyConnections = 1040;
inline constexpr std::uint16_t kBadHandshake = 1043;
inline constexpr std::uint16_t kDatabaseAccessDenied = 1044;
inline constexpr std::uint16_t kAccessDenied = 1045;
inline constexpr std::uint16_t kUnknownCommand = 1047;
inline constexpr std::uint16_t kUnknownDatabase = 1049;
inline constexpr std::uint16_t kServerShutdown = 1053;
inline constexpr std::uint16_t kNoSuchThread = 1094;
inline constexpr std::uint16_t kUnknown = 1105;
inline constexpr std::uint16_t kPacketTooLarge = 1153;
inline constexpr std::uint16_t kUnknownStatement = 1243;
inline constexpr std::uint16_t kDeadlock = 1213;
inline constexpr std::uint16_t kWrongValueForVariable = 1231;
inline constexpr std::uint16_t kReadOnlyOption = 1290;
inline constexpr std::uint16_t kQueryInterrupted = 1317;
inline constexpr std::uint16_t kMalformedPacket = 1835;
inline constexpr std::uint16_t kReadOnlyMode = 1836;
inline constexpr std::uint16_t kConnectionKilled = 1927;
inline constexpr std::uint16_t kServerLost = 2013;  // as clients' libraries say it
inline constexpr std::uint16_t kSecureTransportRequired = 3159;
inline constexpr std::uint16_t kIdleTimeout = 4031;
inline constexpr std::uint16_t kBorrowTimeout = 9501;  // RDS Proxy's own
}  // namespace error

}  // namespace dbproxy::wire::mysql
