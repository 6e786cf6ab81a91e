// The result of `lastack verify` for people, for documents and for programs.
#pragma once

#include <string>

#include "verify/verify.h"

namespace lastack {

std::string verify_text(const verify::VerifyResult& result);
std::string verify_markdown(const verify::VerifyResult& result);
std::string verify_json(const verify::VerifyResult& result);

}  // namespace lastack
