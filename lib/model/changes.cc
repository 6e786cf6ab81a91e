#include "model/changes.h"

#include <algorithm>

namespace lastack {
namespace {

// What the writes of such a survivor add. One segment draws one RST, and a victim's socket that is
// being closed may have some of them waiting.
void add_streaming(const Strategy& strategy, const Circumstances& when, Finding finding,
                   CounterValues& least, CounterValues& most) {
  const bool fin_first = strategy.finding == Finding::eof || strategy.finding == Finding::epipe;
  if (fin_first) {
    most[Counter::estab_resets] = 2;
    least = {};
    const bool drew_rst =
        finding == Finding::epipe && when.writing.before_write == BeforeWrite::none;
    if (drew_rst) least = counter_changes({{Counter::out_rsts, 1}, {Counter::estab_resets, 1}});
  }
  const bool many =
      when.veth || when.writing.writes_per_second == 0 || strategy.scope == Scope::process;
  most[Counter::out_rsts] += many ? 64 : 4;
  least[Counter::abort_on_data] = 0;
  most[Counter::abort_on_data] += 1;
  most[Counter::abort_on_close] += 1;
  // The orphan has data that a survivor who does not read never takes, and gives up
  // (tcp_orphan_retries).
  if (strategy.victim_sends) most[Counter::abort_on_timeout] += 1;
}

}  // namespace

std::pair<CounterValues, CounterValues> expected_changes(const Strategy& strategy,
                                                         const Circumstances& when,
                                                         Finding finding) {
  if (close_waits(strategy, when) && finding == Finding::nothing) {
    Circumstances cancelled = when;
    cancelled.victims.victim_requests = VictimRequests::recv_cancel;
    return {CounterValues{}, expected_changes(strategy, cancelled, finding).second};
  }
  CounterValues least = strategy.changes;
  // Data in flight suspends keepalive, whose end alone sends an RST.
  const Probe ended_by = pending_of(when) == Pending::nothing ? when.probe : Probe::retransmit;
  if (finding == Finding::etimedout || finding == Finding::ehostunreach)
    least += probe_row(ended_by).on_timeout;
  const bool drew_reset =
      finding == Finding::econnreset || (finding == Finding::epipe && is_writer(when));
  if (strategy.finding == Finding::nothing && drew_reset) {
    // The survivor's packet met no socket: tcp_v4_rcv() -> tcp_v4_send_reset().
    least[Counter::out_rsts] += 1;
    least[Counter::estab_resets] += 1;
  }
  const bool drew_rst =
      is_late(when) && finding == Finding::epipe && fin_answers_data_by_rst(strategy);
  if (drew_rst) least += counter_changes({{Counter::out_rsts, 1}, {Counter::estab_resets, 1}});
  // Data of a process that was killed while it sent is cut short by an RST as soon as the survivor
  // writes; and a late write that is faster than the end of the process lies unread there.
  const bool cut_short = (strategy.victim_sends || is_late(when)) &&
                         strategy.finding == Finding::eof && finding == Finding::econnreset;
  if (cut_short) least += counter_changes({{Counter::out_rsts, 1}, {Counter::estab_resets, 1}});
  CounterValues most = least;
  if (cut_short) {
    most[Counter::abort_on_data] += 1;
    most[Counter::abort_on_close] += 1;
    most[Counter::out_rsts] += 2;
    most[Counter::estab_resets] += 1;
  }
  if (drew_rst) {
    // As for fin-then-rst.
    most[Counter::abort_on_data] += 1;
    most[Counter::out_rsts] += 1;
  }
  // A live peer that keepalive gave up gets the RST, unless that is lost, too.
  if (peer_lives(strategy) && finding == Finding::etimedout && least[Counter::out_rsts] > 0)
    most[Counter::estab_resets] += 1;
  most += strategy.may_add;
  if (is_writer(when)) add_streaming(strategy, when, finding, least, most);

  if (sends_by_itself(when) && strategy.finding != Finding::nothing) {
    // Requests that arrive just before the act lie unread (__tcp_close counts TCPAbortOnClose and
    // looks at SO_LINGER only after that), those that arrive after it draw an RST.
    least[Counter::abort_on_data] = 0;
    most[Counter::abort_on_data] += 1;
    most[Counter::abort_on_close] += 1;
    most[Counter::out_rsts] += 2;
    most[Counter::estab_resets] += strategy.finding == Finding::eof ? 2 : 0;
  }
  const bool unacknowledged = when.victims.reader_stopped || sends_by_itself(when) ||
                              is_writer(when) || (is_late(when) && strategy.family == "silent");
  if (unacknowledged) {
    // Data that nobody acknowledges is sent again until the ledger closes: RTO >= 200 ms and
    // doubling (RFC 6298), so at most log2(deadline / RTO) + 1 times.
    const int64_t tries = 2 + std::max<int64_t>(0, when.deadline_ns / when.settings.rto_min_ns);
    // A silenced victim's answer is sent again, too; it draws an RST once the survivor gave up.
    if (finding == Finding::etimedout) most[Counter::out_rsts] += tries;
    // A survivor that gave up by itself leaves the kernel to it.
    if (finding == Finding::heartbeat_missed) most += probe_row(Probe::retransmit).on_timeout;
    most[Counter::timeouts] += tries;
    most[Counter::retrans_segs] += tries;
  }
  return {least, most};
}

}  // namespace lastack
