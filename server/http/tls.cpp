// SPDX-License-Identifier: Apache-2.0
#include "http/tls.hpp"

#include <fmt/core.h>
#include <openssl/ssl.h>
#include <sys/stat.h>

#include <boost/asio/ssl/context.hpp>

#include "carnot/carnot.hpp"
#include "core/log.hpp"

namespace carnot::serve {
namespace {

namespace ssl = boost::asio::ssl;

[[noreturn]] void refuse(const std::string& file, const std::string& what) {
  throw Exception(CARNOT_INVALID_ARGUMENT, fmt::format("TLS: '{}': {}", file, what));
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
  context_ = read();
  looked_ = std::chrono::steady_clock::now();
}

std::shared_ptr<ssl::context> TlsFiles::read() const {
  auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  boost::system::error_code error;
  context->set_options(ssl::context::default_workarounds | ssl::context::no_tlsv1 | ssl::context::no_tlsv1_1);
  SSL_CTX_set_options(context->native_handle(), SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_alpn_select_cb(context->native_handle(), choose_protocol, nullptr);
  // A key that asks for a passphrase would stop a server without a terminal.
  context->set_password_callback([](size_t, ssl::context::password_purpose) { return std::string(); });
  context->use_certificate_chain_file(certificate_, error);
  if (error) refuse(certificate_, error.message());
  context->use_private_key_file(key_, ssl::context::pem, error);
  if (error) refuse(key_, fmt::format("{}; it must be the key of '{}'", error.message(), certificate_));
  if (!client_ca_.empty()) {
    context->load_verify_file(client_ca_, error);
    if (error) refuse(client_ca_, error.message());
    // Names the authorities to the client, so that one with several certificates can choose.
    SSL_CTX_set_client_CA_list(context->native_handle(), SSL_load_client_CA_file(client_ca_.c_str()));
    context->set_verify_mode(ssl::verify_peer | ssl::verify_fail_if_no_peer_cert);
    // Tickets of a session would be taken without another look at the client's certificate.
    SSL_CTX_set_num_tickets(context->native_handle(), 0);
    SSL_CTX_set_session_cache_mode(context->native_handle(), SSL_SESS_CACHE_OFF);
  }
  return context;
}

std::string TlsFiles::state_of_files() const {
  std::string text;
  for (const std::string* file : {&certificate_, &key_, &client_ca_}) {
    struct stat s {};
    if (file->empty() || ::stat(file->c_str(), &s) != 0) continue;
    fmt::format_to(std::back_inserter(text), "{}:{}.{}:{} ", s.st_ino, s.st_mtim.tv_sec, s.st_mtim.tv_nsec, s.st_size);
  }
  return text;
}

std::shared_ptr<ssl::context> TlsFiles::context() {
  std::lock_guard lock(mutex_);
  const auto now = std::chrono::steady_clock::now();
  if (now - looked_ < kTlsRefresh) return context_;
  looked_ = now;
  std::string state = state_of_files();
  if (state == state_) return context_;
  state_ = std::move(state);
  try {
    context_ = read();
    log::info("TLS: the certificate files have changed and are in use");
  } catch (const Exception& e) {
    log::error("{}; the files from before stay in use", e.what());
  }
  return context_;
}

}  // namespace carnot::serve
