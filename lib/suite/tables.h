// Suites: tables of runs that answer one question together, with the prices of the probes among
// them.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace lastack::suite {

// Parameters as (flag without dashes, value).
using Parameters = std::vector<std::pair<std::string, std::string>>;

struct Row {
  std::string name;  // unique within the suite; where two suites share a name, it is the same run
  Parameters parameters;
  // Above 0: not one run, but what its probes cost, in so many rounds of such windows.
  int64_t rounds = 0;
  int64_t window_ns = 0;
  // How often it is played, beside one warm-up that nobody counts; 1: once, and no warm-up.
  int64_t repetitions = 1;

  bool prices() const { return rounds > 0; }
};

struct Suite {
  std::string_view name;
  std::string_view help;
  // `quick`: the same kinds of rows with small numbers, to see that everything works.
  std::vector<Row> (*rows)(bool quick);
  bool collects = false;  // its rows are those of other suites
};
std::span<const Suite> suites();
Result<const Suite*> find_suite(std::string_view name);

// "mix=silent=1,alive=1 probe=keepalive" in pairs.
Parameters parse_parameters(std::string_view text);

}  // namespace lastack::suite
