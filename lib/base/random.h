// Random numbers that repeat exactly for a seed on every compiler and library: the standard
// engines do, the standard distributions do not.
#pragma once

#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

namespace lastack {

// SplitMix64 (Steele, Lea, Flood 2014): 64 bits of state, passes BigCrush, enough for schedules.
struct Random {
  uint64_t state;

  uint64_t next() {
    state += 0x9e3779b97f4a7c15;
    uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  // Uniform in [0, 1).
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  // Uniform in [0, bound); the modulo bias is below 2^-32 for bounds up to 2^32.
  uint64_t below(uint64_t bound) { return next() % bound; }
  // Exponential with mean 1: the gaps of a Poisson process.
  double exponential() { return -std::log1p(-uniform()); }
};

template <class T>
void shuffle(std::vector<T>& items, Random& random) {
  for (size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[random.below(i)]);
}

}  // namespace lastack
