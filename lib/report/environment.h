// The environment manifest: what a reader has to know of a host, its kernel and this build before
// believing that two runs may be compared.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "ledger/result.h"

namespace lastack {

// What the host is, as one JSON object. A fact that cannot be read is null. To be called outside
// the run's namespaces: inside, the limits and `privileged` would be those of the namespace.
nlohmann::ordered_json describe_environment(const RunResult& result);

// Version and commit of this build, for --version.
std::string build_version();

}  // namespace lastack
