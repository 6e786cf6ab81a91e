// What a nanosecond of this machine's clock is: time, or instructions in a machine of the kernel
// lab (scripts/kernel_lab.py --deterministic; QEMU's docs/devel/tcg-icount.rst).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace lastack {

enum class TimeUnit : uint8_t { ns, virtual_ns };
// "ns", "virtual_ns".
std::string_view time_unit_name(TimeUnit unit);
// Of a name; of any other, ns: what an older lastack wrote is of time.
TimeUnit time_unit_named(std::string_view name);

// As the kernel's parameters say ("lastack.clock=virtual_ns", which the lab writes).
TimeUnit time_unit_in(std::string_view kernel_parameters);
TimeUnit read_time_unit();  // of /proc/cmdline

// For tables. Of time three significant digits, "7.81us"; of virtual time every digit, for it is
// read for differences of a thousandth: "16,057vns".
std::string format_rounded_duration(double duration_ns, TimeUnit unit);
// "12.3 s", "12.3 virtual s": of what takes long.
std::string format_seconds(int64_t duration_ns, TimeUnit unit);
// A unit as it is of this time: "ns", "ns/s", "1/s"; a "second" or "s" of a sentence.
std::string unit_text(std::string_view unit, TimeUnit time);

// What virtual time does not show.
std::span<const std::string_view> hidden_in(TimeUnit unit);
// What a reader of virtual time has to know, in a sentence; "" of time.
std::string time_unit_note(TimeUnit unit);

}  // namespace lastack
