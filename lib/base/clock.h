// The one clock of the measurement: CLOCK_MONOTONIC in nanoseconds.
#pragma once

#include <time.h>

#include <cstdint>

namespace lastack {

constexpr int64_t kMicrosecond_ns = 1'000;
constexpr int64_t kMillisecond_ns = 1'000'000;
constexpr int64_t kSecond_ns = 1'000'000'000;

// CLOCK_MONOTONIC is shared by all processes of a host (not by two hosts), is read through the
// vDSO, and does not jump. CLOCK_MONOTONIC_RAW would drift against the kernel's own timers.
inline int64_t now_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * kSecond_ns + now.tv_nsec;
}

// How long a tick of the kernel's timers is, 1 / CONFIG_HZ: what the coarse clock advances by
// (clock_getres(2)).
inline int64_t kernel_tick_ns() {
  timespec resolution;
  clock_getres(CLOCK_MONOTONIC_COARSE, &resolution);
  return resolution.tv_sec * kSecond_ns + resolution.tv_nsec;
}

inline timespec to_timespec(int64_t duration_ns) {
  return {duration_ns / kSecond_ns, static_cast<long>(duration_ns % kSecond_ns)};
}

// Sleeps until the instant; returns early on a signal.
inline void sleep_until(int64_t instant_ns) {
  const timespec until = to_timespec(instant_ns);
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
}

inline void sleep_for(int64_t duration_ns) { sleep_until(now_ns() + duration_ns); }

}  // namespace lastack
