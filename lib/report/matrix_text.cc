#include "report/matrix_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/table.h"
#include "report/json_text.h"

namespace lastack {
namespace {

std::string cell_text(const LedgerRow& row) {
  if (!row.skipped.empty()) return "skipped";
  std::vector<std::string> parts;
  for (const FindingRow& finding : kFindings) {
    const int64_t count = row.findings[static_cast<size_t>(finding.id)];
    if (count == 0) continue;
    parts.push_back(count == row.torn_down ? std::string(finding.name)
                                           : fmt::format("{} {}", finding.name, count));
  }
  return fmt::format("{}{}", fmt::join(parts, " + "), row.unexpected > 0 ? " UNEXPECTED" : "");
}

// The header line, then a line per strategy; rows and columns in the order of their tables.
Table grid_of(const MatrixRun& run) {
  std::map<std::pair<std::string, std::string>, std::string> cells;
  for (const LedgerRow& row : run.result.ledger) cells[{row.strategy, row.watch}] = cell_text(row);
  Cells header = {"strategy"};
  for (const WatchRow& watch : watches()) header.emplace_back(watch.name);
  Table grid(header, header.size());
  for (const size_t index : close_strategies()) {
    const Strategy& strategy = strategies()[index];
    Cells line = {std::string(strategy.name)};
    for (const WatchRow& watch : watches()) {
      const std::string& cell = cells[{std::string(strategy.name), std::string(watch.name)}];
      line.push_back(cell.empty() ? "skipped" : cell);
    }
    grid.add(std::move(line));
  }
  return grid;
}

std::string title_of(const MatrixRun& run) {
  return fmt::format("the {} survives, {}", side_name(run.spec.survivor),
                     run.spec.veth ? "veth" : "loopback");
}

}  // namespace

RunSpec matrix_spec(Side survivor, bool veth, int64_t connections_each) {
  RunSpec spec;
  spec.survivor = survivor;
  spec.veth = veth;
  spec.watches.clear();
  for (const WatchRow& watch : watches()) spec.watches.push_back(watch.id);
  spec.mix = effective_mix(spec);
  std::erase_if(spec.mix, [&](const Weight& weight) {
    return !may_survive(strategies()[weight.strategy], survivor);
  });
  spec.connections = connections_each * static_cast<int64_t>(spec.mix.size() * spec.watches.size());
  return spec;
}

std::string matrix_text(std::span<const MatrixRun> runs) {
  std::string text;
  for (const MatrixRun& run : runs) {
    text += fmt::format("{}{}\n{}", text.empty() ? "" : "\n", title_of(run), grid_of(run).text());
    for (const Strategy& strategy : strategies())
      if (!may_survive(strategy, run.spec.survivor))
        text += fmt::format("skipped: the {} cannot be the survivor of '{}'\n",
                            side_name(run.spec.survivor), strategy.name);
    text += fmt::format("status {}\n", status_row(run.result.status).name);
  }
  return text;
}

std::string matrix_markdown(std::span<const MatrixRun> runs) {
  std::string text;
  for (const MatrixRun& run : runs)
    text += fmt::format("{}## {}\n\n{}", text.empty() ? "" : "\n", title_of(run),
                        grid_of(run).markdown());
  return text;
}

std::string matrix_json(std::span<const MatrixRun> runs) {
  auto cells = nlohmann::ordered_json::array();
  for (const MatrixRun& run : runs) {
    for (const LedgerRow& row : run.result.ledger) {
      nlohmann::ordered_json findings = nlohmann::ordered_json::object();
      for (const FindingRow& finding : kFindings)
        if (const int64_t count = row.findings[static_cast<size_t>(finding.id)])
          findings[std::string(finding.name)] = count;
      cells.push_back({{"path", run.spec.veth ? "veth" : "loopback"},
                       {"survivor", side_name(run.spec.survivor)},
                       {"strategy", row.strategy},
                       {"watch", row.watch},
                       {"requested", row.requested},
                       {"findings", findings},
                       {"unexpected", row.unexpected},
                       {"status", status_row(run.result.status).name}});
    }
  }
  return json_text(cells);
}

}  // namespace lastack
