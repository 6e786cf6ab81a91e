// The scenes of the abnormal close: A1 to A6.
#pragma once

#include <span>

#include "verify/scene.h"

namespace lastack::verify {

std::span<const Scene> abort_scenes();

}  // namespace lastack::verify
