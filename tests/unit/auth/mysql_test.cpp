#include "proxy/auth/mysql.hpp"

#include <gtest/gtest.h>
#include <memory>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

namespace dbproxy::auth {
namespace {

constexpr std::string_view kNonce = "abcdefghijklmnopqrst";
const Secret kPassword("app-secret");

std::string hex(std::string_view bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    out += kDigits[static_cast<unsigned char>(c) >> 4];
    out += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return out;
}

TEST(MysqlNative, KnownVector) {
  // As PyMySQL computes it.
  EXPECT_EQ(hex(*mysql_native_response(kPassword, kNonce)), "a0e3e85960da8d9873a4ba2e3ef44f86a82492fb");
  EXPECT_TRUE(mysql_native_verify(*mysql_native_response(kPassword, kNonce), kPassword, kNonce));
}

TEST(MysqlSha2, KnownVector) {
  EXPECT_EQ(hex(*mysql_sha2_response(kPassword, kNonce)),
            "337b0472bb1348d7b59521d09e1f13b3c2734a2aa6b1b0b6279a5343f2597f81");
  EXPECT_TRUE(mysql_sha2_verify(*mysql_sha2_response(kPassword, kNonce), kPassword, kNonce));
}

TEST(MysqlPasswords, AnotherPasswordOrNonceOrLengthIsWrong) {
  for (const auto& [respond, verify] :
       {std::pair(&mysql_native_response, &mysql_native_verify), std::pair(&mysql_sha2_response, &mysql_sha2_verify)}) {
    const std::string right = *respond(kPassword, kNonce);
    EXPECT_EQ(verify(right, Secret("other"), kNonce).error(), make_error_code(Error::kWrongProof));
    EXPECT_EQ(verify(right, kPassword, "tsrqponmlkjihgfedcba").error(), make_error_code(Error::kWrongProof));
    EXPECT_FALSE(verify(right.substr(1), kPassword, kNonce));
    EXPECT_FALSE(verify("", kPassword, kNonce));
    // No password at all has an empty proof, and only that.
    EXPECT_EQ(*respond(Secret(), kNonce), "");
    EXPECT_TRUE(verify("", Secret(), kNonce));
    EXPECT_FALSE(verify(right, Secret(), kNonce));
  }
}

TEST(MysqlPasswords, ClearTextEndsWithAZeroByte) {
  EXPECT_EQ(mysql_clear_response(kPassword).reveal(), std::string_view("app-secret\0", 11));
}

TEST(MysqlPasswords, NoncesHaveNoZeroByteAndNoDollar) {
  std::string all;
  for (int i = 0; i < 256; ++i) all += static_cast<char>(i);
  const std::string nonce = mysql_nonce(all);
  EXPECT_EQ(nonce.size(), 256u);
  for (const char c : nonce) {
    EXPECT_GT(c, 0);
    EXPECT_NE(c, '$');
  }
}

struct Key {
  explicit Key(unsigned bits) : pair(EVP_RSA_gen(bits), EVP_PKEY_free) {
    BIO* bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PUBKEY(bio, pair.get());
    char* text = nullptr;
    const long size = BIO_get_mem_data(bio, &text);
    pem.assign(text, static_cast<std::size_t>(size));
    BIO_free(bio);
  }
  std::string decrypt(const std::string& bytes) const {
    std::unique_ptr<EVP_PKEY_CTX, void (*)(EVP_PKEY_CTX*)> context(EVP_PKEY_CTX_new(pair.get(), nullptr),
                                                                   EVP_PKEY_CTX_free);
    EVP_PKEY_decrypt_init(context.get());
    EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_OAEP_PADDING);
    std::string out(1024, '\0');
    std::size_t size = out.size();
    if (EVP_PKEY_decrypt(context.get(), reinterpret_cast<unsigned char*>(out.data()), &size,
                         reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()) != 1)
      return "not decrypted";
    out.resize(size);
    return out;
  }
  std::unique_ptr<EVP_PKEY, void (*)(EVP_PKEY*)> pair;
  std::string pem;
};

TEST(MysqlRsa, TheServerReadsThePassword) {
  const Key key(2048);
  const auto sent = mysql_rsa_response(kPassword, kNonce, key.pem);
  ASSERT_TRUE(sent);
  std::string masked = key.decrypt(*sent);
  for (std::size_t i = 0; i < masked.size(); ++i) masked[i] = static_cast<char>(masked[i] ^ kNonce[i % kNonce.size()]);
  EXPECT_EQ(masked, std::string_view("app-secret\0", 11));
}

TEST(MysqlRsa, RefusesWhatIsNoKeyAndWhatDoesNotFit) {
  EXPECT_EQ(mysql_rsa_response(kPassword, kNonce, "no key").error(), make_error_code(Error::kMalformed));
  EXPECT_EQ(mysql_rsa_response(kPassword, "", "").error(), make_error_code(Error::kMalformed));
  const Key key(1024);
  EXPECT_TRUE(mysql_rsa_response(Secret(std::string(85, 'x')), kNonce, key.pem));
  EXPECT_EQ(mysql_rsa_response(Secret(std::string(86, 'x')), kNonce, key.pem).error(),
            make_error_code(Error::kTooLong));
}

}  // namespace
}  // namespace dbproxy::auth
