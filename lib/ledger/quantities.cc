#include "ledger/quantities.h"

#include <algorithm>
#include <type_traits>

namespace lastack {
namespace {

template <auto Member>
Field at(LedgerRow& row) {
  return &(row.*Member);
}
template <auto Part, auto Member>
Field at(LedgerRow& row) {
  return &(row.*Part.*Member);
}

constexpr LedgerQuantity kQuantities[] = {
    {.column = "strategy",
     .help = "close strategy: how the victim went away",
     .field = at<&LedgerRow::strategy>,
     .place = "strategy"},
    {.column = "watch",
     .help = "how the survivor waited",
     .field = at<&LedgerRow::watch>,
     .place = "watch"},
    {.column = "probe",
     .help = "what made a silent peer noticeable",
     .field = at<&LedgerRow::probe>,
     .place = "probe"},
    {.column = "family",
     .help = "what the strategy puts on the wire first: fin, rst, fin-rst or silent",
     .field = at<&LedgerRow::family>,
     .place = "family"},
    {.column = "expected",
     .help = "findings that the model allows, separated by |",
     .field = at<&LedgerRow::expected>,
     .place = "expected"},
    {.column = "requested",
     .help = "connections of this row",
     .field = at<&LedgerRow::requested>,
     .place = "requested"},
    {.column = "established",
     .help = "connections that stood and whose two ends were joined",
     .field = at<&LedgerRow::established>,
     .place = "established"},
    {.column = "torn_down",
     .help = "successful acts",
     .field = at<&LedgerRow::torn_down>,
     .place = "torn_down"},
    {.column = "found",
     .help = "survivors that found out before the deadline",
     .field = at<&LedgerRow::found>,
     .place = "found"},
    {.column = "nothing",
     .help = "survivors that did not: right-censored at the deadline",
     .field = at<&LedgerRow::nothing>,
     .place = "nothing"},
    {.column = "late",
     .help = "those of `nothing` that found out after their deadline",
     .field = at<&LedgerRow::late>,
     .place = "late"},
    {.column = "undecided",
     .help = "interrupted before the deadline",
     .field = at<&LedgerRow::undecided>,
     .place = "undecided"},
    {.column = "unexpected",
     .help = "ended otherwise than `expected`, or before the act",
     .field = at<&LedgerRow::unexpected>,
     .place = "unexpected"},
    {.column = "findings",
     .help = "FINDING=COUNT separated by ;, without `nothing`",
     .field = at<&LedgerRow::findings>,
     .place = "findings"},
    {.column = "skipped",
     .help = "why the row did not run; empty when it ran",
     .field = at<&LedgerRow::skipped>,
     .place = "skipped"},
    {.column = "bytes_received",
     .help = "by the row's survivors, all in all",
     .field = at<&LedgerRow::bytes_received>,
     .place = "bytes_received"},
    {.column = "bytes_sent",
     .help = "accepted from the row's victims by their kernel; delivered or not",
     .field = at<&LedgerRow::bytes_sent>,
     .place = "bytes_sent"},
    {.column = "alive",
     .help = "answered an echo after their path had come back; empty where nobody was asked",
     .field = at<&LedgerRow::alive>,
     .place = "alive",
     .absent = -1},
    {.column = "latency_count",
     .help = "findings with a latency since the act (t0)",
     .field = at<&LedgerRow::issued>,
     .place = "latency_ns",
     .figure = Figure::count},
    {.column = "latency_min_ns",
     .help = "smallest latency since t0; empty without a finding, as the next ones",
     .field = at<&LedgerRow::issued>,
     .figure = Figure::min},
    {.column = "latency_p50_ns",
     .help = "median; all percentiles are exact of 1,024 findings at most, and at most 1.6 % too "
             "large of more",
     .field = at<&LedgerRow::issued>,
     .figure = Figure::p50},
    {.column = "latency_p90_ns",
     .help = "90th percentile",
     .field = at<&LedgerRow::issued>,
     .figure = Figure::p90},
    {.column = "latency_p99_ns",
     .help = "99th percentile",
     .field = at<&LedgerRow::issued>,
     .figure = Figure::p99},
    {.column = "latency_p999_ns",
     .help = "99.9th percentile",
     .field = at<&LedgerRow::issued>,
     .figure = Figure::p999},
    {.column = "latency_max_ns",
     .help = "largest latency",
     .field = at<&LedgerRow::issued>,
     .figure = Figure::max},
    {.column = "latency_mean_ns",
     .help = "mean",
     .field = at<&LedgerRow::issued>,
     .figure = Figure::mean},
    {.column = "mode_1_p50_ns",
     .help =
         "where the latencies are two groups (modes) with a gap between them: the median of the "
         "lower one; empty elsewhere, as the next ones. Each has 5 % of 50 findings or more, "
         "and the gap is 1 % of this median at least and four times as wide as either group is "
         "from its 10th to its 90th percentile",
     .field = at<&LedgerRow::issued>,
     .figure = Figure::mode_1_p50},
    {.column = "mode_1_share",
     .help = "its share of the findings, 0 to 1",
     .field = at<&LedgerRow::issued>,
     .figure = Figure::mode_1_share},
    {.column = "mode_2_p50_ns",
     .help = "the median of the upper one",
     .field = at<&LedgerRow::issued>,
     .figure = Figure::mode_2_p50},
    {.column = "mode_2_share",
     .help = "its share",
     .field = at<&LedgerRow::issued>,
     .figure = Figure::mode_2_share},
    {.column = "scheduled_p50_ns",
     .help = "median latency since the scheduled instant (open loop)",
     .field = at<&LedgerRow::scheduled>,
     .place = "scheduled_latency_ns",
     .figure = Figure::p50},
    {.column = "scheduled_p99_ns",
     .help = "99th percentile since the scheduled instant",
     .field = at<&LedgerRow::scheduled>,
     .figure = Figure::p99},
    {.column = "scheduled_max_ns",
     .help = "largest latency since the scheduled instant",
     .field = at<&LedgerRow::scheduled>,
     .figure = Figure::max},
    {.column = "written_p50_ns",
     .help = "median since the survivor's own write, where the strategy has one",
     .field = at<&LedgerRow::written>,
     .place = "written_latency_ns",
     .figure = Figure::p50},
    {.column = "write_path",
     .help = "how the survivor wrote; empty but for --watch writer",
     .field = at<&LedgerRow::write_path>,
     .place = "write_path"},
    {.column = "writes_attempted",
     .help = "by --watch writer; empty for other watches, as the next ones",
     .field = at<&LedgerRow::writes, &WriteSums::attempted>,
     .place = "writes.attempted",
     .of = Of::writers},
    {.column = "writes_accepted",
     .help = "of them: accepted by the kernel, whole or in part",
     .field = at<&LedgerRow::writes, &WriteSums::accepted>,
     .place = "writes.accepted",
     .of = Of::writers},
    {.column = "writes_short",
     .help = "of the accepted: in part",
     .field = at<&LedgerRow::writes, &WriteSums::short_writes>,
     .place = "writes.short",
     .of = Of::writers},
    {.column = "writes_failed",
     .help = "of the attempted: with an error",
     .field = at<&LedgerRow::writes, &WriteSums::errors>,
     .place = "writes.failed",
     .of = Of::writers},
    {.column = "writes_would_block",
     .help = "of the attempted: no room in the send queue (EAGAIN), or for send-zc within "
             "RLIMIT_MEMLOCK",
     .field = at<&LedgerRow::writes, &WriteSums::would_block>,
     .place = "writes.would_block",
     .of = Of::writers},
    {.column = "writes_cancelled",
     .help = "of the attempted: linked to one that was not accepted whole, or in flight at the end",
     .field = at<&LedgerRow::writes, &WriteSums::cancelled>,
     .place = "writes.cancelled",
     .of = Of::writers},
    {.column = "writes_accepted_after_act",
     .help = "accepted, and begun at t0 or later",
     .field = at<&LedgerRow::writes, &WriteSums::accepted_after_act>,
     .place = "writes.accepted_after_act",
     .of = Of::writers},
    {.column = "writes_accepted_after_fin",
     .help = "accepted, and begun when the FIN or RST had arrived at the survivor",
     .field = at<&LedgerRow::writes, &WriteSums::accepted_after_fin>,
     .place = "writes.accepted_after_fin",
     .of = Of::writers},
    {.column = "bytes_accepted",
     .help = "by the survivors' kernel; = delivered + lost + queued + untold",
     .field = at<&LedgerRow::writes, &WriteSums::accepted_bytes>,
     .place = "writes.bytes.accepted",
     .of = Of::writers},
    {.column = "bytes_delivered",
     .help = "that the victims' reads returned",
     .field = at<&LedgerRow::writes, &WriteSums::delivered_bytes>,
     .place = "writes.bytes.delivered",
     .of = Of::writers},
    {.column = "bytes_lost",
     .help = "of connections that ended: nobody will read them",
     .field = at<&LedgerRow::writes, &WriteSums::lost_bytes>,
     .place = "writes.bytes.lost",
     .of = Of::writers},
    {.column = "bytes_lost_after_act",
     .help = "of the lost: accepted at t0 or later",
     .field = at<&LedgerRow::writes, &WriteSums::lost_after_act_bytes>,
     .place = "writes.bytes.lost_after_act",
     .of = Of::writers},
    {.column = "bytes_queued",
     .help = "of connections that stand at the end: in the queues of either side",
     .field = at<&LedgerRow::writes, &WriteSums::queued_bytes>,
     .place = "writes.bytes.queued",
     .of = Of::writers},
    {.column = "bytes_untold",
     .help = "acknowledged by the kernel of a victim that cannot say whether it read them: a "
             "process that "
             "was killed or frozen, a host that rebooted",
     .field = at<&LedgerRow::writes, &WriteSums::untold_bytes>,
     .place = "writes.bytes.untold",
     .of = Of::writers},
    {.column = "bytes_unexplained",
     .help = "by which the sums do not add up",
     .field = at<&LedgerRow::writes, &WriteSums::unexplained_bytes>,
     .place = "writes.bytes.unexplained",
     .of = Of::writers},
    {.column = "sigpipes",
     .help = "SIGPIPEs that the writing threads got; none with --sigpipe ignore",
     .field = at<&LedgerRow::writes, &WriteSums::sigpipes>,
     .place = "writes.sigpipes",
     .of = Of::writers},
    {.column = "sigpipes_predicted",
     .help = "one for each EPIPE of a write path that raises it, and sigpipes_of_short",
     .field = at<&LedgerRow::writes, &WriteSums::sigpipes_predicted>,
     .place = "writes.sigpipes_predicted",
     .of = Of::writers},
    {.column = "sigpipes_of_short",
     .help = "of them: by sendfile(2) calls that returned a short count and no errno",
     .field = at<&LedgerRow::writes, &WriteSums::sigpipes_of_short>,
     .place = "writes.sigpipes_of_short",
     .of = Of::writers},
    {.column = "sigpipe_connections",
     .help = "connections with at least one",
     .field = at<&LedgerRow::writes, &WriteSums::sigpipe_connections>,
     .place = "writes.sigpipe_connections",
     .of = Of::writers},
    {.column = "killed",
     .help = "writes that killed their process (--sigpipe default); each counts as a failed one "
             "with EPIPE",
     .field = at<&LedgerRow::writes, &WriteSums::killed>,
     .place = "writes.killed",
     .of = Of::writers},
    {.column = "first_errors",
     .help = "ERRNO=CONNECTIONS separated by ;: what the first failed write said",
     .field = at<&LedgerRow::writes, &WriteSums::first_errors>,
     .place = "writes.first_errors"},
    {.column = "second_errors",
     .help = "the same of the write that failed next",
     .field = at<&LedgerRow::writes, &WriteSums::second_errors>,
     .place = "writes.second_errors"},
    {.column = "first_error_p50_ns",
     .help = "median from t0 to the first failed write",
     .field = at<&LedgerRow::writes, &WriteSums::first_error>,
     .place = "writes.first_error_ns",
     .figure = Figure::p50},
    {.column = "first_error_p99_ns",
     .help = "99th percentile of it",
     .field = at<&LedgerRow::writes, &WriteSums::first_error>,
     .figure = Figure::p99},
    {.column = "nominal_ns",
     .help = "the probe's time as configured; empty where it promises nothing, as the next ones",
     .field = at<&LedgerRow::probing, &ProbeSums::nominal_ns>,
     .place = "probing.prediction.nominal_ns",
     .of = Of::promises,
     .merge = Merge::first},
    {.column = "predicted_since",
     .help =
         "from when the prediction counts: heard (the last packet or byte that came), written (the "
         "first message that nobody answered) or shut (the window)",
     .field = at<&LedgerRow::probing, &ProbeSums::since>,
     .place = "probing.prediction.since"},
    {.column = "predicted_ns",
     .help = "computed before the run, LEAST..MOST after that: what kernel timers round and the "
             "mechanism "
             "leaves open; several separated by ; where an RTO a little longer ends it a whole RTO "
             "earlier",
     .field = at<&LedgerRow::probing, &ProbeSums::spans>,
     .place = "probing.prediction.spans_ns"},
    {.column = "predicted_early",
     .help = "deaths that the probe found earlier than that",
     .field = at<&LedgerRow::probing, &ProbeSums::early>,
     .place = "probing.early",
     .of = Of::promises},
    {.column = "predicted_within",
     .help = "deaths within the two",
     .field = at<&LedgerRow::probing, &ProbeSums::within>,
     .place = "probing.within",
     .of = Of::promises},
    {.column = "predicted_later",
     .help = "deaths later than that",
     .field = at<&LedgerRow::probing, &ProbeSums::later>,
     .place = "probing.later",
     .of = Of::promises},
    {.column = "after_predicted_min_ns",
     .help = "smallest time from `predicted_since` to the finding, less LEAST; below 0: early",
     .field = at<&LedgerRow::probing, &ProbeSums::after_predicted>,
     .place = "probing.after_predicted_ns",
     .figure = Figure::min},
    {.column = "after_predicted_p50_ns",
     .help = "median of it",
     .field = at<&LedgerRow::probing, &ProbeSums::after_predicted>,
     .figure = Figure::p50},
    {.column = "after_predicted_p99_ns",
     .help = "99th percentile",
     .field = at<&LedgerRow::probing, &ProbeSums::after_predicted>,
     .figure = Figure::p99},
    {.column = "after_predicted_max_ns",
     .help = "largest",
     .field = at<&LedgerRow::probing, &ProbeSums::after_predicted>,
     .figure = Figure::max},
    {.column = "after_nominal_min_ns",
     .help =
         "smallest latency since t0, less nominal_ns; below 0: the timer was running when the peer "
         "died",
     .field = at<&LedgerRow::probing, &ProbeSums::after_nominal>,
     .place = "probing.after_nominal_ns",
     .figure = Figure::min},
    {.column = "after_nominal_p50_ns",
     .help = "median of it",
     .field = at<&LedgerRow::probing, &ProbeSums::after_nominal>,
     .figure = Figure::p50},
    {.column = "after_nominal_p99_ns",
     .help = "99th percentile",
     .field = at<&LedgerRow::probing, &ProbeSums::after_nominal>,
     .figure = Figure::p99},
    {.column = "after_nominal_max_ns",
     .help = "largest",
     .field = at<&LedgerRow::probing, &ProbeSums::after_nominal>,
     .figure = Figure::max},
    {.column = "false_alarms",
     .help = "peers that the probe declared dead while they lived",
     .field = at<&LedgerRow::probing, &ProbeSums::false_alarms>,
     .place = "probing.false_alarms"},
    {.column = "longest_silence_ns",
     .help = "longest time between two bytes of a live peer that heartbeats watched: a shorter "
             "deadline "
             "would have been a false alarm",
     .field = at<&LedgerRow::probing, &ProbeSums::longest_silence_ns>,
     .place = "probing.longest_silence_ns",
     .absent = 0,
     .merge = Merge::most},
    {.column = "stalled",
     .help = "connections that were waiting for their finding while the run stood still: `host` of "
             "run.json",
     .field = at<&LedgerRow::stalled>,
     .place = "stalled"},
    {.column = "false_alarms_in_stalls",
     .help = "of false_alarms: the run stood still between the last byte and them",
     .field = at<&LedgerRow::probing, &ProbeSums::false_alarms_in_stalls>,
     .place = "probing.false_alarms_in_stalls"},
    {.column = "not_established",
     .help = "connections that do not stand; requested = established + these",
     .field = at<&LedgerRow::not_established>,
     .place = "not_established"},
    {.column = "not_established_errors",
     .help =
         "ERRNO=CONNECTIONS separated by ;: what connecting or accepting them said; `pending`: not "
         "tried, or without an answer, when the run ended",
     .field = at<&LedgerRow::not_established_by>,
     .place = "not_established_errors"},
    {.column = "not_torn_down",
     .help = "established, and their act failed or was not tried when the run ended; established = "
             "torn_down + these",
     .field = at<&LedgerRow::not_torn_down>,
     .place = "not_torn_down"},
    {.field = at<&LedgerRow::writes, &WriteSums::unexplained>,
     .place = "writes.unexplained_connections"},
    {.field = at<&LedgerRow::writes, &WriteSums::by_accepted_after_act>,
     .place = "writes.by_accepted_after_act"},
    {.field = at<&LedgerRow::writes, &WriteSums::by_accepted_after_fin>,
     .place = "writes.by_accepted_after_fin"},
    {.field = at<&LedgerRow::writes, &WriteSums::second_error>, .place = "writes.second_error_ns"},
    {.field = at<&LedgerRow::probing, &ProbeSums::promised>, .place = ".promised"},
};

// What is no column, or shows a field that another row owns, needs no name for it.
consteval bool unique_where_given(std::string_view LedgerQuantity::*name) {
  for (size_t i = 0; i < std::size(kQuantities); ++i)
    for (size_t j = 0; j < i; ++j)
      if (!(kQuantities[i].*name).empty() && kQuantities[i].*name == kQuantities[j].*name)
        return false;
  return true;
}
static_assert(unique_where_given(&LedgerQuantity::column) &&
              unique_where_given(&LedgerQuantity::place));

// Adds what can be added; anything else stays the first one's.
template <class Value>
void add(const Value& more, Value& sum, const LedgerQuantity& quantity) {
  if constexpr (std::is_same_v<Value, int64_t>) {
    if (quantity.absent == sum)
      sum = more;
    else if (quantity.absent != more)
      sum = quantity.merge == Merge::most ? std::max(sum, more) : sum + more;
  } else if constexpr (std::is_same_v<Value, std::array<int64_t, kFindingCount>>) {
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += more[i];
  } else if constexpr (std::is_same_v<Value, Histogram>) {
    sum.merge(more);
  } else if constexpr (std::is_same_v<Value, Spread>) {
    sum = {};
  } else if constexpr (requires { typename Value::mapped_type; }) {
    for (const auto& [key, connections] : more) sum[key] += connections;
  }
}

}  // namespace

std::span<const LedgerQuantity> ledger_quantities() { return kQuantities; }

bool applies_to(const LedgerQuantity& quantity, const LedgerRow& row) {
  switch (quantity.of) {
    case Of::all:
      return true;
    case Of::writers:
      return !row.write_path.empty();
    case Of::promises:
      return row.probing.promised;
  }
  return true;
}

void merge(const LedgerRow& more, LedgerRow& sum) {
  for (const LedgerQuantity& quantity : kQuantities) {
    if (quantity.place.empty() || quantity.merge == Merge::first) continue;
    read_field(quantity, more, [&](const auto& value) {
      add(value, *std::get<std::remove_cvref_t<decltype(value)>*>(quantity.field(sum)), quantity);
    });
  }
}

}  // namespace lastack
