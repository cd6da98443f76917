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

inline constexpr std::chrono::seconds kTlsRefresh{2};  // between looks at the files, at the least

class TlsFiles {
 public:
  // PEM files: the certificate with its chain, its key, and the authorities whose clients are let in ("": any client).
  // Throws carnot::Exception, naming the file and the reason, if they cannot be used.
  TlsFiles(std::string certificate, std::string key, std::string client_ca);

  // Of the files as they are now. New files that cannot be used are logged, and the old ones stay.
  std::shared_ptr<boost::asio::ssl::context> context();

 private:
  std::shared_ptr<boost::asio::ssl::context> read() const;
  std::string state_of_files() const;

  const std::string certificate_, key_, client_ca_;
  std::mutex mutex_;
  std::chrono::steady_clock::time_point looked_;
  std::string state_;
  std::shared_ptr<boost::asio::ssl::context> context_;
};

}  // namespace carnot::serve
