#include "proxy/auth/scram.hpp"

#include <algorithm>
#include <gtest/gtest.h>
#include <vector>

#include "proxy/auth/base64.hpp"

namespace dbproxy::auth {
namespace {

// RFC 7677, section 3.
const std::string kClientNonce = "rOprNGfwEbeRWgbNEkqO";
const std::string kServerNonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const std::string kFirst = "n,,n=user,r=" + kClientNonce;
const std::string kServerFirst = "r=" + kClientNonce + kServerNonce + ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const std::string kFinal =
    "c=biws,r=" + kClientNonce + kServerNonce + ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const std::string kServerFinal = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

const ScramKeys& rfc_keys() {
  static const ScramKeys keys = derive_scram_keys(Secret("pencil"), *base64_decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096);
  return keys;
}

RandomBytes counting_random() {
  return [next = std::uint8_t{1}](std::span<std::uint8_t> out) mutable {
    std::generate(out.begin(), out.end(), [&] { return next++; });
  };
}

TEST(Scram, ServerFollowsTheRfcVector) {
  ScramServer server(&rfc_keys(), kServerNonce);
  EXPECT_EQ(server.on_client_first(kFirst).value(), kServerFirst);
  EXPECT_EQ(server.on_client_final(kFinal).value(), kServerFinal);
}

TEST(Scram, ClientFollowsTheRfcVector) {
  ScramClient client(kClientNonce, "user");
  EXPECT_EQ(client.client_first(), kFirst);
  const auto challenge = client.on_server_first(kServerFirst);
  ASSERT_TRUE(challenge);
  EXPECT_EQ(challenge->iterations, 4096);
  EXPECT_EQ(client.client_final(rfc_keys()), kFinal);
  EXPECT_TRUE(client.on_server_final(kServerFinal));
}

TEST(Scram, RoundTripsWithAnyPassword) {
  RandomBytes random = counting_random();
  for (const std::string& password :
       {std::string("x"), std::string("pässwörd ✓"), std::string(2000, 'p'), std::string()}) {
    const ScramKeys keys = derive_scram_keys(Secret(password), "salt of sixteen.", 10);
    ScramServer server(&keys, make_scram_nonce(random));
    ScramClient client(make_scram_nonce(random));
    const auto challenge = client.on_server_first(server.on_client_first(client.client_first()).value());
    ASSERT_TRUE(challenge);
    const ScramKeys derived = derive_scram_keys(Secret(password), challenge->salt, challenge->iterations);
    const auto final = server.on_client_final(client.client_final(derived));
    ASSERT_TRUE(final);
    EXPECT_TRUE(client.on_server_final(*final));
  }
}

TEST(Scram, WrongPasswordAndUnknownUserLookTheSame) {
  const ScramKeys mock = mock_scram_keys("nobody", "process secret");
  EXPECT_EQ(mock.salt, mock_scram_keys("nobody", "process secret").salt);
  EXPECT_NE(mock.salt, mock_scram_keys("somebody", "process secret").salt);
  EXPECT_EQ(mock.salt.size(), 16u);
  const ScramKeys right = derive_scram_keys(Secret("right"), mock.salt, mock.iterations);
  const ScramKeys wrong = derive_scram_keys(Secret("wrong"), mock.salt, mock.iterations);
  for (const auto& [keys, mode] : {std::pair{&right, ScramServer::Mode::kVerify},
                                   {&mock, ScramServer::Mode::kMock},
                                   // Even keys that fit do not let a mock through.
                                   {&wrong, ScramServer::Mode::kMock}}) {
    ScramServer server(keys, "servernonce", mode);
    ScramClient client("clientnonce");
    const auto reply = server.on_client_first(client.client_first());
    EXPECT_EQ(reply->size(), std::string("r=clientnonceservernonce,s=,i=4096").size() + 24);
    ASSERT_TRUE(client.on_server_first(*reply));
    EXPECT_EQ(server.on_client_final(client.client_final(wrong)).error(), make_error_code(Error::kWrongProof));
  }
}

TEST(Scram, ServerRefusesMalformedFirstMessages) {
  struct Case {
    std::string message;
    Error error;
  };
  const std::vector<Case> cases = {
      {"", Error::kMalformed},
      {"n", Error::kMalformed},
      {"n,,", Error::kMalformed},
      {"x,,n=,r=abc", Error::kMalformed},
      {"n.,n=,r=abc", Error::kMalformed},
      {"n,n=,r=abc", Error::kMalformed},
      {"p=tls-server-end-point,,n=,r=abc", Error::kChannelBinding},
      {"n,a=admin,n=,r=abc", Error::kExtension},
      {"n,,m=x,n=,r=abc", Error::kExtension},
      {"n,,r=abc", Error::kMalformed},
      {"n,,n=user", Error::kMalformed},
      {"n,,n=,r=", Error::kMalformed},
      {"n,,n=,r=a c", Error::kMalformed},
      {std::string("n,,n=,r=a\0c", 11), Error::kMalformed},
      {"n,,n=,r=a\xc3\xa4", Error::kMalformed},
      {"n,,n=,r=abc,", Error::kMalformed},
      {"n,,n=,r=abc,1=x", Error::kMalformed},
      {"n,,n=,r=abc,nonsense", Error::kMalformed},
      {"n,,n=,r=" + std::string(1025, 'r'), Error::kTooLong},
      {"n,,n=" + std::string(9000, 'u') + ",r=abc", Error::kTooLong},
  };
  for (const Case& c : cases) {
    ScramServer server(&rfc_keys(), kServerNonce);
    const auto result = server.on_client_first(c.message);
    ASSERT_FALSE(result) << c.message;
    EXPECT_EQ(result.error(), make_error_code(c.error)) << c.message;
    // The machine is finished: a second try on it does not log in.
    EXPECT_EQ(server.on_client_first(kFirst).error(), make_error_code(Error::kOutOfOrder));
  }
}

TEST(Scram, ServerTakesOptionalExtensionsAndTheOtherHeader) {
  ScramServer server(&rfc_keys(), kServerNonce);
  EXPECT_TRUE(server.on_client_first("n,,n=,r=abc,x=later"));
  ScramServer y(&rfc_keys(), kServerNonce);
  ASSERT_TRUE(y.on_client_first("y,,n=,r=abc"));
  // The binding must repeat the header that was sent: "biws" is "n,,".
  EXPECT_EQ(y.on_client_final("c=biws,r=abc" + kServerNonce + ",p=" + base64_encode(std::string(32, 'x'))).error(),
            make_error_code(Error::kBindingMismatch));
  ScramServer y2(&rfc_keys(), kServerNonce);
  ASSERT_TRUE(y2.on_client_first("y,,n=,r=abc"));
  EXPECT_EQ(y2.on_client_final("c=eSws,r=abc" + kServerNonce + ",p=" + base64_encode(std::string(32, 'x'))).error(),
            make_error_code(Error::kWrongProof));
  ScramServer downgrade(&rfc_keys(), kServerNonce, ScramServer::Mode::kVerify, "hash");
  EXPECT_EQ(downgrade.on_client_first("y,,n=,r=abc").error(), make_error_code(Error::kBindingDowngrade));
}

TEST(Scram, BindsToTheChannel) {
  const std::string hash(32, '\xAB');
  ScramServer server(&rfc_keys(), "servernonce", ScramServer::Mode::kVerify, hash);
  ScramClient client("clientnonce");
  EXPECT_EQ(client.bind(hash, true), kScramPlusMechanism);
  EXPECT_EQ(client.client_first(), "p=tls-server-end-point,,n=,r=clientnonce");
  ScramServer other(&rfc_keys(), "servernonce", ScramServer::Mode::kVerify, std::string(32, 'x'));
  for (ScramServer* at : {&server, &other}) {
    const auto reply = at->on_client_first(client.client_first(), true);
    ASSERT_TRUE(reply);
    ScramClient mine = client;
    ASSERT_TRUE(mine.on_server_first(*reply));
    ScramKeys keys = rfc_keys();
    const auto final = at->on_client_final(mine.client_final(keys));
    if (at == &other) {  // the client has seen another certificate than this server's
      EXPECT_EQ(final.error(), make_error_code(Error::kBindingMismatch));
    } else {
      ASSERT_TRUE(final);
      EXPECT_TRUE(mine.on_server_final(*final));
    }
  }
}

TEST(Scram, ClientSaysWhatItCouldHaveDone) {
  ScramClient none("abc"), could("abc");
  EXPECT_EQ(none.bind("", true), kScramMechanism);
  EXPECT_EQ(none.client_first(), "n,,n=,r=abc");
  EXPECT_EQ(could.bind("hash", false), kScramMechanism);
  EXPECT_EQ(could.client_first(), "y,,n=,r=abc");
}

TEST(Scram, ServerRefusesHeadersThatDoNotFitTheMechanism) {
  struct Case {
    const char* message;
    bool plus;
    bool offered;
    Error error;
  };
  for (const Case& c : std::vector<Case>{
           {"n,,n=,r=abc", true, true, Error::kChannelBinding},
           {"y,,n=,r=abc", true, true, Error::kChannelBinding},
           {"y,,n=,r=abc", false, true, Error::kBindingDowngrade},
           {"p=tls-server-end-point,,n=,r=abc", false, true, Error::kChannelBinding},
           {"p=tls-server-end-point,,n=,r=abc", true, false, Error::kChannelBinding},
           {"p=tls-unique,,n=,r=abc", true, true, Error::kChannelBinding},
           {"p=tls-server-end-point", true, true, Error::kMalformed},
           {"p=tls-server-end-point,", true, true, Error::kMalformed},
           {"p=tls-server-end-point,x", true, true, Error::kMalformed},
           {"p=tls-server-end-point,a=admin,n=,r=abc", true, true, Error::kExtension},
           {"p=,,n=,r=abc", true, true, Error::kChannelBinding},
           {"p", true, true, Error::kMalformed},
       }) {
    ScramServer server(&rfc_keys(), kServerNonce, ScramServer::Mode::kVerify, c.offered ? "hash" : "");
    const auto result = server.on_client_first(c.message, c.plus);
    ASSERT_FALSE(result) << c.message;
    EXPECT_EQ(result.error(), make_error_code(c.error)) << c.message;
  }
}

TEST(Scram, ServerRefusesEveryTruncationAndEveryChangedByte) {
  for (std::size_t cut = 0; cut < kFinal.size(); ++cut) {
    ScramServer server(&rfc_keys(), kServerNonce);
    ASSERT_TRUE(server.on_client_first(kFirst));
    EXPECT_FALSE(server.on_client_final(kFinal.substr(0, cut))) << cut;
    EXPECT_EQ(server.on_client_final(kFinal).error(), make_error_code(Error::kOutOfOrder));
  }
  for (std::size_t at = 0; at < kFinal.size(); ++at) {
    ScramServer server(&rfc_keys(), kServerNonce);
    ASSERT_TRUE(server.on_client_first(kFirst));
    std::string changed = kFinal;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    EXPECT_FALSE(server.on_client_final(changed)) << at;
  }
  for (std::size_t cut = 0; cut + kClientNonce.size() < kFirst.size(); ++cut) {
    ScramServer server(&rfc_keys(), kServerNonce);
    EXPECT_FALSE(server.on_client_first(kFirst.substr(0, cut))) << cut;
  }
}

TEST(Scram, ServerRefusesAnyOtherNonce) {
  const std::string proof = ",p=" + base64_encode(std::string(32, 'x'));
  for (const std::string& nonce :
       {std::string(), kClientNonce, kClientNonce + kServerNonce + "x", kServerNonce, std::string(4000, 'x')}) {
    ScramServer server(&rfc_keys(), kServerNonce);
    ASSERT_TRUE(server.on_client_first(kFirst));
    EXPECT_EQ(server.on_client_final("c=biws,r=" + nonce + proof).error(), make_error_code(Error::kNonceMismatch));
  }
  ScramServer server(&rfc_keys(), kServerNonce);
  ASSERT_TRUE(server.on_client_first(kFirst));
  EXPECT_EQ(server.on_client_final("c=biws" + proof).error(), make_error_code(Error::kMalformed));
}

TEST(Scram, ClientBoundsWhatTheServerSays) {
  struct Case {
    std::string message;
    Error error;
  };
  const std::string nonce = "r=" + kClientNonce + "server";
  const std::vector<Case> cases = {
      {"", Error::kMalformed},
      {"m=x," + nonce + ",s=AAAA,i=1", Error::kExtension},
      {"r=" + kClientNonce + ",s=AAAA,i=1", Error::kNonceMismatch},
      {"r=somebodyelsesveryownnonce,s=AAAA,i=1", Error::kNonceMismatch},
      {"r=" + kClientNonce + std::string(2000, 'x') + ",s=AAAA,i=1", Error::kTooLong},
      {nonce, Error::kMalformed},
      {nonce + ",s=AAAA", Error::kMalformed},
      {nonce + ",s=,i=1", Error::kMalformed},
      {nonce + ",s=A,i=1", Error::kMalformed},
      {nonce + ",s=AAA*,i=1", Error::kMalformed},
      {nonce + ",s=AA AA===,i=1", Error::kMalformed},
      {nonce + ",s=" + base64_encode(std::string(1025, 's')) + ",i=1", Error::kTooLong},
      {nonce + ",s=" + std::string(9000, 'A') + ",i=1", Error::kTooLong},
      {nonce + ",s=AAAA,i=", Error::kBadIteration},
      {nonce + ",s=AAAA,i=0", Error::kBadIteration},
      {nonce + ",s=AAAA,i=-1", Error::kBadIteration},
      {nonce + ",s=AAAA,i=1x", Error::kBadIteration},
      {nonce + ",s=AAAA,i=1000001", Error::kBadIteration},
      {nonce + ",s=AAAA,i=99999999999999999999", Error::kBadIteration},
      {nonce + ",s=AAAA,i=1,", Error::kMalformed},
  };
  for (const Case& c : cases) {
    ScramClient client(kClientNonce);
    const auto result = client.on_server_first(c.message);
    ASSERT_FALSE(result) << c.message;
    EXPECT_EQ(result.error(), make_error_code(c.error)) << c.message.substr(0, 100);
    EXPECT_EQ(client.client_final(rfc_keys()), "");
  }
  ScramClient client(kClientNonce);
  EXPECT_TRUE(client.on_server_first(nonce + ",s=AAAA,i=1000000,x=later"));
}

TEST(Scram, ClientChecksTheServersSignature) {
  struct Case {
    std::string message;
    Error error;
  };
  const std::vector<Case> cases = {{"", Error::kMalformed},
                                   {"v=", Error::kServerSignature},
                                   {"v=!!!!", Error::kMalformed},
                                   {"v=" + base64_encode(std::string(32, 'x')), Error::kServerSignature},
                                   {"e=invalid-proof", Error::kServerRefused},
                                   {kServerFinal + ",", Error::kMalformed}};
  for (const Case& c : cases) {
    ScramClient client(kClientNonce, "user");
    ASSERT_TRUE(client.on_server_first(kServerFirst));
    ASSERT_EQ(client.client_final(rfc_keys()), kFinal);
    EXPECT_EQ(client.on_server_final(c.message).error(), make_error_code(c.error)) << c.message;
  }
  ScramClient early(kClientNonce, "user");
  ASSERT_TRUE(early.on_server_first(kServerFirst));
  EXPECT_EQ(early.on_server_final(kServerFinal).error(), make_error_code(Error::kOutOfOrder));
  for (std::size_t cut = 0; cut < kServerFinal.size(); ++cut) {
    ScramClient client(kClientNonce, "user");
    ASSERT_TRUE(client.on_server_first(kServerFirst));
    ASSERT_EQ(client.client_final(rfc_keys()), kFinal);
    EXPECT_FALSE(client.on_server_final(kServerFinal.substr(0, cut)));
    EXPECT_FALSE(client.on_server_final(kServerFinal));
  }
}

TEST(Scram, ClientRefusesKeysForAnotherChallenge) {
  ScramClient client(kClientNonce, "user");
  ASSERT_TRUE(client.on_server_first(kServerFirst));
  EXPECT_EQ(client.client_final(derive_scram_keys(Secret("pencil"), "other salt", 4096)), "");
}

TEST(Scram, ClientEscapesTheUserName) {
  EXPECT_EQ(ScramClient("abc", "a=b,c").client_first(), "n,,n=a=3Db=2Cc,r=abc");
}

TEST(Base64, IsStrict) {
  for (const std::string& bytes :
       {std::string(), std::string("a"), std::string("ab"), std::string("abc"), std::string("\0\xff\x80", 3)})
    EXPECT_EQ(base64_decode(base64_encode(bytes)), bytes);
  for (const char* text : {"a", "ab", "abc", "=", "====", "a===", "ab=c", "YR==", "YW J", " YWI", "YWI\n", "YWJj="})
    EXPECT_EQ(base64_decode(text), std::nullopt) << text;
}

TEST(Errors, AllHaveWords) {
  for (int value = 1; value <= static_cast<int>(Error::kCrypto); ++value)
    EXPECT_NE(make_error_code(static_cast<Error>(value)).message(), "unknown authentication error");
}

}  // namespace
}  // namespace dbproxy::auth
