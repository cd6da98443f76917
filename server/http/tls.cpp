// SPDX-License-Identifier: Apache-2.0
#include "http/tls.hpp"

#include <fmt/core.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <boost/asio/ssl/context.hpp>
#include <fstream>
#include <iterator>

#include "carnot/carnot.hpp"
#include "core/file_state.hpp"
#include "core/log.hpp"

namespace carnot::serve {
namespace {

namespace ssl = boost::asio::ssl;

constexpr std::chrono::seconds kRefresh{2};  // between looks at the files, at the least

[[noreturn]] void refuse(const std::string& file, const std::string& what) {
  throw Exception(CARNOT_INVALID_ARGUMENT, fmt::format("TLS: '{}': {}", file, what));
}

std::string text_of(const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  std::string text(std::istreambuf_iterator<char>(in), {});
  if (!in.is_open() || text.empty()) refuse(file, "cannot be read or is empty");
  return text;
}

// Takes the authorities of a PEM text, and names them to clients, so that one with several certificates can choose.
bool trust(const std::string& pem, ssl::context& context) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())),
                                                     BIO_free);
  size_t count = 0;
  while (X509* authority = PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr)) {
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context.native_handle()), authority);
    SSL_CTX_add_client_CA(context.native_handle(), authority);
    X509_free(authority);
    ++count;
  }
  ERR_clear_error();  // of the end of the text
  return count > 0;
}

// Clients that offer HTTP/2 first are told that it is HTTP/1.1 here.
int choose_protocol(SSL*, const unsigned char** out, unsigned char* size, const unsigned char* in, unsigned in_size,
                    void*) {
  static constexpr unsigned char kOurs[] = "\x08http/1.1";
  unsigned char* chosen = nullptr;
  if (SSL_select_next_proto(&chosen, size, kOurs, sizeof kOurs - 1, in, in_size) != OPENSSL_NPN_NEGOTIATED)
    return SSL_TLSEXT_ERR_NOACK;
  *out = chosen;
  return SSL_TLSEXT_ERR_OK;
}

}  // namespace

TlsFiles::TlsFiles(std::string certificate, std::string key, std::string client_ca)
    : certificate_(std::move(certificate)), key_(std::move(key)), client_ca_(std::move(client_ca)) {
  if (certificate_.empty() || key_.empty())
    throw Exception(CARNOT_INVALID_ARGUMENT, "TLS needs both a certificate (--tls-cert) and its key (--tls-key)");
  state_ = state_of_files();
  secrets_ = read();
  looked_ = std::chrono::steady_clock::now();
}

std::shared_ptr<const TlsSecrets> TlsFiles::read() const {
  auto secrets = std::make_shared<TlsSecrets>();
  secrets->certificate = text_of(certificate_);
  secrets->key = text_of(key_);
  secrets->context = std::make_shared<ssl::context>(ssl::context::tls_server);
  ssl::context& context = *secrets->context;
  context.set_options(ssl::context::default_workarounds | ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1);
  SSL_CTX_set_options(context.native_handle(), SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_alpn_select_cb(context.native_handle(), choose_protocol, nullptr);
  // A key that asks for a passphrase would stop a server without a terminal.
  context.set_password_callback([](size_t, ssl::context::password_purpose) { return std::string(); });
  boost::system::error_code error;
  context.use_certificate_chain(boost::asio::buffer(secrets->certificate), error);
  if (error) refuse(certificate_, error.message());
  context.use_private_key(boost::asio::buffer(secrets->key), ssl::context::pem, error);
  if (error) refuse(key_, fmt::format("{}; it must be the key of '{}'", error.message(), certificate_));
  if (!client_ca_.empty()) {
    secrets->client_ca = text_of(client_ca_);
    if (!trust(secrets->client_ca, context)) refuse(client_ca_, "holds no certificate");
    context.set_verify_mode(ssl::verify_peer | ssl::verify_fail_if_no_peer_cert);
    // Tickets of a session would be taken without another look at the client's certificate.
    SSL_CTX_set_num_tickets(context.native_handle(), 0);
    SSL_CTX_set_session_cache_mode(context.native_handle(), SSL_SESS_CACHE_OFF);
  }
  return secrets;
}

std::string TlsFiles::state_of_files() const {
  return file_state(certificate_) + ' ' + file_state(key_) + ' ' + file_state(client_ca_);
}

std::shared_ptr<const TlsSecrets> TlsFiles::current() {
  std::lock_guard lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (now - looked_ < kRefresh) return secrets_;
  looked_ = now;
  std::string state = state_of_files();
  if (state == state_) return secrets_;
  state_ = std::move(state);
  try {
    secrets_ = read();
    log::info("TLS: the certificate files have changed and are in use");
  } catch (const Exception& e) {
    log::error("{}; the files from before stay in use", e.what());
  }
  return secrets_;
}

}  // namespace carnot::serve
