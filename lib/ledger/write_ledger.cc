#include "ledger/write_ledger.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

namespace lastack {
namespace {

struct Bytes {
  int64_t lost = 0, queued = 0, untold = 0;
  int64_t unexplained = 0;
};

// Where the bytes are that were not delivered. With both kernels' accounts it follows from them
// alone, and what was counted as accepted and delivered is only compared with it. Where the victim
// could not be asked, what was delivered is taken from the survivor's account.
Bytes place_bytes(const WrittenPair& pair) {
  const WriteRecord& write = *pair.write;
  const ReadRecord& read = *pair.read;
  Bytes bytes;
  const auto accepted = static_cast<int64_t>(write.accepted_bytes);
  const auto delivered = static_cast<int64_t>(read.delivered_bytes);
  const auto acked = static_cast<int64_t>(write.acked_bytes);
  const auto handed_over = acked + static_cast<int64_t>(write.unacked_bytes);
  if (!write.has_tail) {
    bytes.unexplained = accepted;
    return bytes;
  }
  const Strategy& strategy = strategy_of(*pair.row);
  // The byte that stays unread was sent before the writes were counted.
  const int64_t before = strategy.survivor_sends_unread ? 1 : 0;
  bytes.unexplained = std::abs(accepted + before - handed_over);
  int64_t undelivered = 0;
  const bool may_be_silent = strategy.scope != Scope::connection;
  if (!read.told && !may_be_silent) {
    bytes.unexplained += accepted;
  } else if (read.told) {
    const auto received = static_cast<int64_t>(read.received_bytes);
    undelivered = static_cast<int64_t>(read.unread_bytes) + handed_over - received - before;
    bytes.unexplained += std::abs(accepted - delivered - undelivered);
    if (received > handed_over) bytes.unexplained += received - handed_over;
  } else {
    // Nothing was read where nobody accepts, or where the victim does something else.
    const bool reads = strategy.scope != Scope::listener && !strategy.survivor_sends_unread &&
                       !strategy.victim_sends;
    // What was read may be more than what was acknowledged, where the ACK was lost with the path.
    if (reads) bytes.untold = std::max<int64_t>(0, acked - delivered);
    undelivered = handed_over - before - delivered - bytes.untold;
    if (undelivered < 0) bytes.unexplained += -undelivered;
  }
  const bool ended = write.tail_state == kTcpClose;
  (ended ? bytes.lost : bytes.queued) = undelivered;
  return bytes;
}

}  // namespace

std::string add_writes(const WrittenPair& pair, SigpipeMode mode, WriteSums& sums) {
  const WriteRecord& write = *pair.write;
  std::string wrong;
  sums.attempted += write.attempted;
  sums.accepted += write.accepted;
  sums.short_writes += write.short_writes;
  sums.errors += write.errors;
  sums.would_block += write.would_block;
  sums.cancelled += write.cancelled;
  sums.accepted_after_act += write.accepted_after_act;
  sums.accepted_after_fin += write.accepted_after_fin;
  if (write.attempted != write.accepted + write.errors + write.would_block + write.cancelled)
    wrong = fmt::format(
        "{} writes attempted, {} accepted, {} failed, {} for want of room, {} "
        "cancelled",
        write.attempted, write.accepted, write.errors, write.would_block, write.cancelled);

  const Bytes bytes = place_bytes(pair);
  sums.accepted_bytes += static_cast<int64_t>(write.accepted_bytes);
  sums.delivered_bytes += static_cast<int64_t>(pair.read->delivered_bytes);
  sums.lost_bytes += bytes.lost;
  sums.lost_after_act_bytes +=
      std::min(bytes.lost, static_cast<int64_t>(write.accepted_after_act_bytes));
  sums.queued_bytes += bytes.queued;
  sums.untold_bytes += bytes.untold;
  sums.unexplained_bytes += bytes.unexplained;
  if (bytes.unexplained != 0)
    wrong = fmt::format(
        "{} bytes accepted, {} acknowledged and {} not by the survivor's kernel, {} delivered, {} "
        "received and {} unread by the victim's kernel",
        write.accepted_bytes, write.acked_bytes, write.unacked_bytes, pair.read->delivered_bytes,
        pair.read->received_bytes, pair.read->unread_bytes);

  // One for each EPIPE; and a call that hands a message over in pieces may fail with the last one,
  // and return what it had handed over.
  const bool in_pieces = write_path_row(pair.row->write_path).in_pieces;
  const uint32_t of_short = in_pieces ? std::min(write.sigpipes_of_short, write.short_writes) : 0;
  const int64_t raised =
      mode != SigpipeMode::ignore && pair.raises_sigpipe ? write.epipes + of_short : 0;
  sums.sigpipes += write.sigpipes;
  sums.sigpipes_predicted += raised;
  sums.sigpipes_of_short += write.sigpipes_of_short;
  sums.sigpipe_connections += write.sigpipes > 0;
  sums.killed += write.killed;
  if (write.sigpipes != raised)
    wrong = fmt::format("{} SIGPIPEs for {} EPIPEs, {} predicted", write.sigpipes, write.epipes,
                        raised);

  if (write.errors > 0) ++sums.first_errors[errno_name(write.first_error)];
  if (write.errors > 1) ++sums.second_errors[errno_name(write.second_error)];
  ++sums.by_accepted_after_act[write.accepted_after_act];
  ++sums.by_accepted_after_fin[write.accepted_after_fin];
  // An error before t0 is no latency; the ledger names that connection.
  const int64_t issued_ns = pair.victim->issued_ns;
  if (write.errors > 0 && write.first_error_ns >= issued_ns)
    sums.first_error.record(write.first_error_ns - issued_ns);
  if (write.errors > 1 && write.second_error_ns >= issued_ns)
    sums.second_error.record(write.second_error_ns - issued_ns);
  if (!wrong.empty()) ++sums.unexplained;
  return wrong;
}

}  // namespace lastack
