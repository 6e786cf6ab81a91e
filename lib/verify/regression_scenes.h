// The scenes behind the rows of verify/regressions.h: each connection does as it should, or not.
#pragma once

#include <span>

#include "verify/scene.h"

namespace lastack::verify {

std::span<const Scene> regression_scenes();

}  // namespace lastack::verify
