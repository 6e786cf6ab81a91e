#include "report/document.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "base/modes.h"
#include "base/parse.h"
#include "ledger/quantities.h"
#include "report/csv.h"
#include "report/json_text.h"

namespace lastack {
namespace {

using Json = nlohmann::ordered_json;

Json latency_json(const Histogram& histogram) {
  const bool any = histogram.count() > 0;
  const auto value = [&](int64_t number) { return any ? Json(number) : Json(nullptr); };
  Json json = {{"count", histogram.count()},
               {"min", value(histogram.min())},
               {"p50", value(histogram.quantile(0.5))},
               {"p90", value(histogram.quantile(0.9))},
               {"p99", value(histogram.quantile(0.99))},
               {"p999", value(histogram.quantile(0.999))},
               {"max", value(histogram.max())},
               {"mean", any ? Json(histogram.mean()) : Json(nullptr)}};
  if (const auto two = modes(histogram))
    for (const Mode& mode : *two)
      json["modes"].push_back({{"p50", mode.p50_ns}, {"share", mode.share}});
  return json;
}

Json known(int64_t figure) { return figure == kNotKnown ? Json(nullptr) : Json(figure); }

// The histogram of writes as [[writes, connections], ...].
Json counts_json(const std::map<int64_t, int64_t>& counts) {
  Json list = Json::array();
  for (const auto& [writes, connections] : counts) list.push_back({writes, connections});
  return list;
}

Json spread_json(const Spread& spread) {
  if (spread.count == 0) return nullptr;
  return {{"count", spread.count}, {"min", spread.min_ns}, {"p50", spread.p50_ns},
          {"p90", spread.p90_ns},  {"p99", spread.p99_ns}, {"max", spread.max_ns}};
}

Json findings_json(const LedgerRow& row) {
  Json findings = Json::object();
  for (const FindingRow& finding : kFindings)
    if (const int64_t count = row.findings[static_cast<size_t>(finding.id)])
      findings[std::string(finding.name)] = count;
  return findings;
}

Json json_of(const LedgerQuantity& quantity, const LedgerRow& row) {
  Json json;
  read_field(quantity, row, [&]<class Value>(const Value& value) {
    if constexpr (std::is_same_v<Value, int64_t>)
      json = quantity.absent == value ? Json(nullptr) : Json(value);
    else if constexpr (std::is_same_v<Value, std::string>)
      json = value.empty() ? Json(nullptr) : Json(value);
    else if constexpr (std::is_same_v<Value, std::map<int64_t, int64_t>>)
      json = counts_json(value);
    else if constexpr (std::is_same_v<Value, std::map<int, int64_t>>)
      json = not_established_by_name(row);
    else if constexpr (std::is_same_v<Value, decltype(row.findings)>)
      json = findings_json(row);
    else if constexpr (std::is_same_v<Value, Histogram>)
      json = latency_json(value);
    else if constexpr (std::is_same_v<Value, Spread>)
      json = spread_json(value);
    else
      json = value;
  });
  return json;
}

// Objects that are null where they do not apply, instead of what is in them.
const std::pair<std::string_view, bool (*)(const LedgerRow&)> kWholes[] = {
    {"writes", [](const LedgerRow& row) { return !row.write_path.empty(); }},
    {"probing.prediction", [](const LedgerRow& row) { return row.probing.promised; }},
};

// The object that `place` lies in, made where it is missing; `place` becomes the name in it.
Json& enclosing(Json& object, std::string_view& place) {
  const size_t dot = place.find('.');
  if (dot == std::string_view::npos) return object;
  Json& inner = object[std::string(place.substr(0, dot))];
  place.remove_prefix(dot + 1);
  return enclosing(inner, place);
}

Json row_json(const LedgerRow& row) {
  Json json = Json::object();
  for (const LedgerQuantity& quantity : ledger_quantities()) {
    std::string_view place = quantity.place;
    if (place.empty() || place.starts_with('.')) continue;
    const auto whole = std::ranges::find_if(kWholes, [&](const auto& one) {
      return place.starts_with(one.first) && place[one.first.size()] == '.';
    });
    const bool absent = whole != std::end(kWholes) && !whole->second(row);
    if (absent) place = whole->first;
    Json& in = enclosing(json, place);
    in[std::string(place)] = absent ? Json(nullptr) : json_of(quantity, row);
  }
  return json;
}

Json ledger_json(const RunResult& result) {
  Json ledger = Json::array();
  for (const LedgerRow& row : result.ledger) ledger.push_back(row_json(row));
  return ledger;
}

Json reconciliation_json(const RunResult& result) {
  Json checks = Json::array();
  for (const Check& check : result.checks) {
    // One number when the check is exact, else the two bounds.
    Json expected = check.least;
    if (check.least != check.most) expected = {{"min", check.least}, {"max", check.most}};
    checks.push_back({{"counter", check.counter},
                      {"phase", check.phase},
                      {"kind", check.least == check.most ? "exact" : "bounds"},
                      {"expected", std::move(expected)},
                      {"observed", check.observed},
                      {"ok", check.ok}});
  }
  return {{"balanced", result.balanced},
          {"exclusive", result.exclusive},
          {"backlog_drops", known(result.backlog_drops)},
          {"note", result.exclusive ? Json(nullptr)
                                    : Json("not exclusive: other programs of this network "
                                           "namespace move the counters, too")},
          {"checks", std::move(checks)},
          {"counters", result.counters}};
}

Json surprises_json(const RunResult& result) {
  Json list = Json::array();
  for (const Surprise& surprise : result.surprises)
    list.push_back({{"pair", surprise.pair},
                    {"strategy", surprise.strategy},
                    {"watch", surprise.watch},
                    {"probe", surprise.probe},
                    {"survivor", surprise.survivor_address},
                    {"expected", surprise.expected},
                    {"seen", surprise.seen},
                    {"errno", surprise.error},
                    {"before_act", surprise.before_act}});
  return list;
}

Json role_cost_json(const RoleCost& cost) {
  return {{"user_ns", cost.user_ns},
          {"system_ns", cost.system_ns},
          {"context_switches", cost.spins ? Json(nullptr) : Json(cost.context_switches)},
          {"ring_enters", cost.ring_enters}};
}

Json frequencies_json(const Frequencies& khz) {
  if (khz.most_khz == 0) return nullptr;
  return {{"min", khz.least_khz}, {"max", khz.most_khz}};
}

// What the run got of the host, and when it got nothing.
Json host_json(const RunResult& result) {
  constexpr size_t kMost = 100;
  Json stalls = Json::array();
  int64_t longest_ns = 0;
  for (const Stall& stall : result.stalls) {
    longest_ns = std::max(longest_ns, stall.duration_ns);
    if (stalls.size() < kMost)
      stalls.push_back({{"process", stall.process},
                        {"shard", stall.shard < 0 ? Json(nullptr) : Json(stall.shard)},
                        {"cause", stall.cause},
                        {"start_ns", stall.start_ns},
                        {"duration_ns", stall.duration_ns}});
  }
  const HostService& host = result.host;
  return {{"load_average_before",
           host.load.load_average < 0 ? Json(nullptr) : Json(host.load.load_average)},
          {"others_running_before", host.load.others},
          {"busy_before", host.load.busy()},
          {"frequency_khz_before", frequencies_json(host.frequencies_before)},
          {"frequency_khz_after", frequencies_json(host.frequencies_after)},
          {"quota_cpus", host.quota_cpus < 0 ? Json(nullptr) : Json(host.quota_cpus)},
          {"quota_file", host.quota_file.empty() ? Json(nullptr) : Json(host.quota_file)},
          {"throttled_ns", host.throttled_ns},
          {"steal_ns", known(host.steal_ns)},
          {"victims_waited_ns", host.victims_waited_ns},
          {"survivors_waited_ns", host.survivors_waited_ns},
          {"stalls",
           {{"least_ns", result.least_stall_ns},
            {"count", result.stalls.size()},
            {"sum_ns", sum_ns(result.stalls)},
            {"longest_ns", longest_ns},
            {"first", std::move(stalls)}}}};
}

Json traffic_json(const TrafficCounters& traffic) {
  return {{"in_segments", traffic.in_segments},
          {"out_segments", traffic.out_segments},
          {"in_bytes", traffic.in_bytes},
          {"out_bytes", traffic.out_bytes},
          {"interface_packets", traffic.interface_packets},
          {"interface_bytes", traffic.interface_bytes}};
}

int64_t connections_of(const RunResult& result) {
  int64_t connections = 0;
  for (const LedgerRow& row : result.ledger) connections += row.requested;
  return connections;
}

}  // namespace

Json spec_json(const std::vector<std::pair<std::string, std::string>>& values) {
  Json spec = Json::object();
  for (const auto& [name, text] : values) {
    const auto parameter = std::find_if(parameters().begin(), parameters().end(),
                                        [&, wanted = std::string_view(name)](const Parameter& row) {
                                          return row.flag.substr(2) == wanted;
                                        });
    const bool known = parameter != parameters().end();
    if (known && parameter->access.kind == ParameterKind::count) {
      const auto count = parse_count(text);
      spec[name] = count ? Json(*count) : Json(text);
    } else if (known && parameter->access.kind == ParameterKind::flag) {
      spec[name] = text == "true";
    } else {
      spec[name] = text;
    }
  }
  return spec;
}

Json run_document(const RunResult& result, const Json& environment) {
  const Cost& cost = result.cost;
  const int64_t connections = connections_of(result);
  Json phases = Json::array();
  for (const Phase& phase : result.phases)
    phases.push_back(
        {{"name", phase.name}, {"start_ns", phase.start_ns}, {"duration_ns", phase.duration_ns}});
  Json threads = Json::array();
  for (const WriterThread& thread : result.writer_threads)
    threads.push_back(
        {{"shard", thread.shard}, {"process", thread.process}, {"sigpipes", thread.sigpipes}});
  const auto rate = [](double value) { return value > 0 ? Json(value) : Json(nullptr); };
  return {
      {"schema_version", kSchemaVersion},
      {"status", status_row(result.status).name},
      {"exit_code", status_row(result.status).exit_code},
      {"error", result.error.empty() ? Json(nullptr) : Json(result.error)},
      {"spec", spec_json(result.spec)},
      {"notes", result.notes},
      {"environment", environment},
      {"ledger", ledger_json(result)},
      {"unexpected", surprises_json(result)},
      {"reconciliation", reconciliation_json(result)},
      {"cost",
       {{"user_ns", cost.user_ns()},
        {"system_ns", cost.system_ns()},
        {"victims", role_cost_json(cost.victims)},
        {"survivors", role_cost_json(cost.survivors)},
        {"softirq_ns", known(cost.softirq_ns)},
        {"host_busy_ns", known(cost.host_busy_ns)},
        {"wall_ns", cost.wall_ns},
        {"bytes_per_connection",
         connections > 0 ? Json(cost.memory_peak_bytes / connections) : Json(nullptr)},
        {"memory_armed_bytes", cost.memory_armed_bytes},
        {"memory_peak_bytes", cost.memory_peak_bytes},
        {"kernel_slab_bytes", known(cost.slab_bytes)},
        {"kernel_tcp_bytes", known(cost.tcp_memory_bytes)},
        {"traffic", traffic_json(cost.traffic)},
        {"completion_overflows", result.completion_overflows}}},
      {"rates",
       {{"requested_per_second", rate(result.requested_rate)},
        {"achieved_per_second", rate(result.achieved_rate)},
        {"requested_round_trips_per_second", rate(result.requested_round_trips)},
        {"achieved_round_trips_per_second", rate(result.achieved_round_trips)},
        {"span_ns", result.span_ns}}},
      {"writers",
       {{"threads", std::move(threads)},
        {"sigpipes_unblamed", result.sigpipes_unblamed},
        {"worst_lag_ns", result.write_lag_ns}}},
      {"phases", std::move(phases)},
      {"host", host_json(result)},
  };
}

Result<Folder> prepare_output_folder(const std::string& path) {
  const auto refused = [](const Error& error) { return plain_error("--out: " + error.message()); };
  auto folder = Folder::make(path);
  if (!folder) return refused(folder.error());
  Status bad = folder->reserve();
  const auto names = folder->names();
  if (!bad && !names) bad = names.error();
  if (!bad && !names->empty())
    bad = plain_error(
        fmt::format("folder '{}' is not empty; allowed: a new or an empty folder", path));
  // Before hours are spent on what cannot be kept.
  if (!bad && access(path.c_str(), W_OK | X_OK) != 0) bad = errno_error("write to", path);
  if (!bad) return folder;
  folder->undo();
  return refused(*bad);
}

Status write_results(Folder& folder, const RunResult& result, const Json& document) {
  for (const CsvFile& file : csv_files())
    if (file.wanted(result))
      if (Status failed = folder.write(std::string(file.name), file.content(result))) return failed;
  // Last: a folder with a run.json is complete.
  return folder.write("run.json", json_text(document));
}

}  // namespace lastack
