// Which sanitizers this build has: gcc defines macros, clang 14 answers __has_feature(). Neither
// tells of -fsanitize=undefined.
#pragma once

namespace lastack {

#ifdef __has_feature
#define LASTACK_HAS(feature) __has_feature(feature)
#else
#define LASTACK_HAS(feature) false
#endif

#if defined(__SANITIZE_ADDRESS__) || LASTACK_HAS(address_sanitizer)
constexpr bool kAddressSanitizer = true;
#else
constexpr bool kAddressSanitizer = false;
#endif

#if defined(__SANITIZE_THREAD__) || LASTACK_HAS(thread_sanitizer)
constexpr bool kThreadSanitizer = true;
#else
constexpr bool kThreadSanitizer = false;
#endif

#undef LASTACK_HAS

constexpr bool kSanitized = kAddressSanitizer || kThreadSanitizer;

}  // namespace lastack
