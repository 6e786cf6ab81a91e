// How a writing survivor hands its messages to the kernel, and what that means for SIGPIPE.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace lastack {

enum class WritePath : uint8_t {
  none,  // a survivor of another watch than `writer`
  send,
  sendmsg,
  send_zc,
  write,
  writev,
  write_async,
  write_sqpoll,
  splice,
  write_nosignal,
  write_linked,
  send_call,
  send_nosignal,
  write_call,
  sendfile,
};

enum class WriteNeed : uint8_t { none, send_zc, nosignal_flag, submission_thread };

struct WritePathRow {
  WritePath id;
  std::string_view name;
  bool ring;            // an io_uring request; else a system call
  bool raises_sigpipe;  // an EPIPE comes with the signal, to the thread that writes
  int writes_at_once;   // one instant makes so many writes
  // The kernel hands a message over in pieces: one may be accepted and the next one fail within the
  // same call, which then returns a short count and no errno (splice_direct_to_actor).
  bool in_pieces;
  bool nowait_flag;  // only RWF_NOWAIT keeps it from waiting for room in the kernel
  WriteNeed need;
  std::string_view help;
};

// All rows but `none`.
std::span<const WritePathRow> write_paths();
const WritePathRow& write_path_row(WritePath path);
std::string_view write_need_name(WriteNeed need);

// What a writing survivor does before each write.
enum class BeforeWrite : uint8_t { none, poll, recv };
// What becomes of the SIGPIPE of a writing survivor.
enum class SigpipeMode : uint8_t { handler, signalfd, ignore, kill };

// How survivors of Watch::writer write.
struct WriteSettings {
  bool poisson_writes = false;    // else evenly spaced
  double writes_per_second = 10;  // of each connection; 0: as fast as it can
  BeforeWrite before_write = BeforeWrite::none;
  SigpipeMode sigpipe = SigpipeMode::handler;
  bool operator==(const WriteSettings&) const = default;
};

struct BeforeWriteRow {
  BeforeWrite id;
  std::string_view name;
  std::string_view help;
};
std::span<const BeforeWriteRow> before_writes();

struct SigpipeModeRow {
  SigpipeMode id;
  std::string_view name;
  std::string_view help;
};
std::span<const SigpipeModeRow> sigpipe_modes();

}  // namespace lastack
