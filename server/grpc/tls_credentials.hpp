// SPDX-License-Identifier: Apache-2.0
// gRPC's side of TlsFiles.
#pragma once
#include <grpcpp/security/server_credentials.h>

#include "http/tls.hpp"

namespace carnot::serve {

// Each new connection gets the files as they are by then.
std::shared_ptr<grpc::ServerCredentials> tls_credentials(const std::shared_ptr<TlsFiles>& files);

}  // namespace carnot::serve
