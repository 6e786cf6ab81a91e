// The traffic on the connections while the survivors wait.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace lastack {

enum class Load : uint8_t { idle, echo, bulk };

struct LoadRow {
  Load id;
  std::string_view name;
  std::string_view help;
};

// What some connections of a run carry together.
struct Traffic {
  Load load = Load::idle;
  double round_trips_per_second = 0;  // echo
  bool operator==(const Traffic&) const = default;
};

std::span<const LoadRow> loads();
const LoadRow& load_row(Load load);

}  // namespace lastack
