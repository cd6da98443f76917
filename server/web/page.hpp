// SPDX-License-Identifier: Apache-2.0
// The page at /: web/page.html, which the build puts into the library.
#pragma once
#include "http/message.hpp"

namespace carnot::serve {

// With a content security policy that lets nothing run or load but what stands in the file.
HttpReply web_page();

}  // namespace carnot::serve
