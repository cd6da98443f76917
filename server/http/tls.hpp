// SPDX-License-Identifier: Apache-2.0
// The certificate files of a server. They are looked at again while it runs, so a renewed certificate needs no restart.
#pragma once
#include <chrono>
#include <memory>
#include <mutex>
#include <string>

namespace boost::asio::ssl {
class context;
}

namespace carnot::serve {

// What the files held when they were read last. `context` is made of it, so all of it is good.
struct TlsSecrets {
  std::string certificate, key, client_ca;  // PEM
  std::shared_ptr<boost::asio::ssl::context> context;
};

class TlsFiles {
 public:
  // PEM files: the certificate with its chain, its key, and the authorities whose clients are let in ("": any client).
  // Throws carnot::Exception, naming the file and the reason, if they cannot be used.
  TlsFiles(std::string certificate, std::string key, std::string client_ca);

  // Of the files as they are now; the same object while they stay the same. New files that cannot be used (half
  // written, perhaps) are logged, and what there was stays.
  std::shared_ptr<const TlsSecrets> current();

 private:
  std::shared_ptr<const TlsSecrets> read() const;
  std::string state_of_files() const;

  const std::string certificate_, key_, client_ca_;
  std::mutex mutex_;
  std::chrono::steady_clock::time_point looked_;
  std::string state_;
  std::shared_ptr<const TlsSecrets> secrets_;
};

}  // namespace carnot::serve
