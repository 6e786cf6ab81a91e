// What lastack-bench says of host and build beside its rows.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace lastack {

struct BenchContext {
  std::vector<std::pair<std::string, std::string>> facts;  // for people, one line each
  std::string environment;  // the whole manifest, JSON in one line of ASCII
};

// Makes one connection, to see the network that runs make for themselves.
BenchContext describe_bench_context();

}  // namespace lastack
