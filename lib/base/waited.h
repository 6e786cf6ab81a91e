#pragma once

#include <algorithm>
#include <cstdint>

#include "base/clock.h"

namespace lastack {

// For how long somebody has waited, without the time in which it stood still itself: stopped by
// Ctrl-Z with all others, or without a CPU. Ask it more often than every second.
class Waited {
 public:
  bool longer_than(int64_t patience_ns) {
    const int64_t now = now_ns();
    waited_ns_ += std::min(now - last_ns_, kSecond_ns);
    last_ns_ = now;
    return waited_ns_ > patience_ns;
  }

 private:
  int64_t last_ns_ = now_ns();
  int64_t waited_ns_ = 0;
};

}  // namespace lastack
