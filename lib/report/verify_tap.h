// The result of `lastack verify` for harnesses of kernel tests: TAP version 13, in the form that
// kselftest writes (Documentation/dev-tools/ktap.rst, tools/testing/selftests/kselftest.h).
#pragma once

#include <string>

#include "verify/verify.h"

namespace lastack {

// A test per row and path, in the order of the table, named CASE/VARIANT/PATH:
//   ok N NAME                 the kernel does what the table expects
//   not ok N NAME             it does not; what differs stands above it
//   ok N NAME # SKIP REASON   the host lacks something: nothing is said about the kernel
//   not ok N NAME # ERROR ..  the row's process died, which no host should do to it
// Without any row: "1..0 # SKIP REASON" where the host lacks something, "Bail out!" otherwise.
// No text of a row ends its line or begins a directive.
std::string verify_tap(const verify::VerifyResult& result);

}  // namespace lastack
