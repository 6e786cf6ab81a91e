// The scenes of the abnormal close: A1 to A6.
#pragma once

#include <span>

#include "run/verify_scene.h"

namespace lastack {

std::span<const Scene> abort_scenes();

}  // namespace lastack
