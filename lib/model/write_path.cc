#include "model/write_path.h"

#include "base/rows.h"

namespace lastack {
namespace {

// Whether EPIPE raises SIGPIPE is decided by sk_stream_error() (net/core/stream.c): unless the call
// carries MSG_NOSIGNAL, send_sig() to `current`, the thread in which the write runs. A kernel
// worker thread of io_uring has every signal blocked, so that nobody gets it.
constexpr WritePathRow kRows[] = {
    {WritePath::none, "none", false, false, 0, false, false, WriteNeed::none, "no writer"},
    {WritePath::send, "send", true, false, 1, false, false, WriteNeed::none,
     "IORING_OP_SEND: forces MSG_NOSIGNAL (io_sendmsg_prep)"},
    {WritePath::sendmsg, "sendmsg", true, false, 1, false, false, WriteNeed::none,
     "IORING_OP_SENDMSG: forces MSG_NOSIGNAL (io_sendmsg_prep)"},
    {WritePath::send_zc, "send-zc", true, false, 1, false, false, WriteNeed::send_zc,
     "IORING_OP_SEND_ZC (Linux 6.0): forces MSG_NOSIGNAL (io_send_zc_prep)"},
    {WritePath::write, "write", true, true, 1, false, true, WriteNeed::none,
     "IORING_OP_WRITE, done within io_uring_enter(): the signal goes to the ring's thread"},
    {WritePath::writev, "writev", true, true, 1, false, true, WriteNeed::none,
     "IORING_OP_WRITEV, done within io_uring_enter(): the signal goes to the ring's thread"},
    {WritePath::write_async, "write-async", true, false, 1, false, true, WriteNeed::none,
     "IORING_OP_WRITE with IOSQE_ASYNC: runs in a kernel worker thread (io-wq), no signal"},
    {WritePath::write_sqpoll, "write-sqpoll", true, false, 1, false, true,
     WriteNeed::submission_thread,
     "IORING_OP_WRITE on a ring with SQPOLL: runs in its kernel thread, no signal"},
    {WritePath::splice, "splice", true, false, 1, true, false, WriteNeed::none,
     "IORING_OP_SPLICE from a pipe: always runs in a kernel worker thread (io_splice), no signal"},
    {WritePath::write_nosignal, "write-nosignal", true, false, 1, false, true,
     WriteNeed::nosignal_flag,
     "IORING_OP_WRITE with RWF_NOSIGNAL (Linux 6.18), which becomes MSG_NOSIGNAL"},
    {WritePath::write_linked, "write-linked", true, true, 2, false, true, WriteNeed::none,
     "two IORING_OP_WRITE linked: where the first one fails, the second one is cancelled"},
    {WritePath::send_call, "send-call", false, true, 1, false, false, WriteNeed::none,
     "send(2), no flag"},
    {WritePath::send_nosignal, "send-nosignal", false, false, 1, false, false, WriteNeed::none,
     "send(2) with MSG_NOSIGNAL"},
    {WritePath::write_call, "write-call", false, true, 1, false, false, WriteNeed::none,
     "write(2)"},
    {WritePath::sendfile, "sendfile", false, true, 1, true, false, WriteNeed::none,
     "sendfile(2) from a file in memory: takes no flag, so the signal comes, even with a short "
     "count"},
};
static_assert(indexed(kRows));

constexpr BeforeWriteRow kBeforeWrite[] = {
    {BeforeWrite::none, "none", "nothing: the survivor never reads"},
    {BeforeWrite::poll, "poll", "poll(2), and no write to a connection that it calls ended"},
    {BeforeWrite::recv, "recv",
     "non-blocking reads, which may take the errno; then it writes whatever they said"},
};
static_assert(indexed(kBeforeWrite));

constexpr SigpipeModeRow kSigpipeModes[] = {
    {SigpipeMode::handler, "handler", "counted by a handler, in the thread that writes"},
    {SigpipeMode::signalfd, "signalfd", "blocked, and collected by signalfd(2) after each write"},
    {SigpipeMode::ignore, "ignore", "SIG_IGN: nothing to count"},
    {SigpipeMode::kill, "default",
     "kills a child process that does the writing, which is then made anew"},
};
static_assert(indexed(kSigpipeModes));

}  // namespace

std::span<const WritePathRow> write_paths() { return std::span(kRows).subspan(1); }
const WritePathRow& write_path_row(WritePath path) { return kRows[static_cast<size_t>(path)]; }

std::string_view write_need_name(WriteNeed need) {
  constexpr std::string_view kNames[] = {"none", "IORING_OP_SEND_ZC (Linux 6.0)",
                                         "RWF_NOSIGNAL (Linux 6.18)",
                                         "IORING_SETUP_SQPOLL for this user"};
  return kNames[static_cast<size_t>(need)];
}

std::span<const BeforeWriteRow> before_writes() { return kBeforeWrite; }
std::span<const SigpipeModeRow> sigpipe_modes() { return kSigpipeModes; }

}  // namespace lastack
