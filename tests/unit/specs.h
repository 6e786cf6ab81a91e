// What unit tests ask runs for.
#pragma once

#include <cstdint>
#include <string_view>

#include "plan/values.h"

namespace lastack {

inline RunSpec spec_of(std::string_view mix, int64_t connections) {
  RunSpec spec;
  spec.connections = connections;
  spec.mix = *parse_mix(mix);
  return spec;
}

}  // namespace lastack
