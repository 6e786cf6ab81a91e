#include "model/finding.h"

#include <poll.h>

#include <cerrno>

#include "base/rows.h"

namespace lastack {

constexpr FindingRow kFindings[kFindingCount] = {
    {Finding::nothing, "nothing", 0, "no call said anything before the deadline"},
    {Finding::eof, "eof", 0, "a FIN and no RST: a read returned 0, the connection is half open"},
    {Finding::econnreset, "econnreset", ECONNRESET, "an RST, without a FIN before it"},
    {Finding::epipe, "epipe", EPIPE, "a FIN, then an RST: reads return 0, writes fail"},
    {Finding::etimedout, "etimedout", ETIMEDOUT, "a kernel timer declared the peer dead"},
    {Finding::ehostunreach, "ehostunreach", EHOSTUNREACH,
     "a kernel timer declared the peer dead after a router had said that it is unreachable"},
    {Finding::heartbeat_missed, "heartbeat-missed", 0,
     "the application's own deadline passed without a byte from the peer"},
    {Finding::other, "other", 0, "an error that no row of the model expects"},
};
static_assert(indexed(kFindings));

const FindingRow& finding_row(Finding finding) { return kFindings[static_cast<size_t>(finding)]; }

Classified classify(const Evidence& evidence) {
  const int errors[] = {evidence.read_error, evidence.write_error, evidence.socket_error};
  const auto saw = [&](int error_number) {
    for (const int error : errors)
      if (error == error_number) return true;
    return false;
  };
  // A reset or timeout names itself once, to one of the calls; EPIPE is what the other calls get
  // afterwards (sk_stream_error), so it says less and comes later in this list.
  if (saw(ECONNRESET)) return {Finding::econnreset, ECONNRESET};
  if (saw(ETIMEDOUT)) return {Finding::etimedout, ETIMEDOUT};
  if (saw(EHOSTUNREACH)) return {Finding::ehostunreach, EHOSTUNREACH};
  for (const int error : errors)
    if (error != 0 && error != EPIPE) return {Finding::other, error};
  // tcp_reset() stores EPIPE only when the RST came after a FIN (state CLOSE_WAIT).
  if (saw(EPIPE)) return {Finding::epipe, EPIPE};

  const bool told_of_end = evidence.read_eof || (evidence.poll_events & (POLLRDHUP | POLLHUP));
  if (!told_of_end) return {Finding::nothing, 0};
  // A read of 0 after a reset whose errno went to a call that nobody recorded.
  const bool closed = evidence.tcp_state == kTcpClose || (evidence.poll_events & POLLHUP);
  if (closed) return {Finding::econnreset, 0};
  return {Finding::eof, 0};
}

}  // namespace lastack
