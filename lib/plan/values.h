// Values of parameters that are more than a number or names: how they are read and printed.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "plan/spec.h"

namespace lastack {

Result<std::vector<Weight>> parse_mix(std::string_view text);
Status read_mix(RunSpec& spec, std::string_view text);
std::string print_mix(const RunSpec& spec);

// Of --schedule.
Status parse_arrival(RunSpec& spec, std::string_view text);
std::string print_arrival(const RunSpec& spec);

Status read_traffic(std::string_view text, Traffic& traffic);
std::string print_traffic(const Traffic& traffic);

Status read_write_rate(RunSpec& spec, std::string_view text);
std::string print_write_rate(const RunSpec& spec);

Status read_write_paths(RunSpec& spec, std::string_view text);
std::string print_write_paths(const RunSpec& spec);

Status read_expect(RunSpec& spec, std::string_view text);
std::string print_expect(const RunSpec& spec);

}  // namespace lastack
