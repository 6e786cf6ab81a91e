#include "compare/compare_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "base/csv.h"
#include "base/rows.h"
#include "base/table.h"
#include "base/time_unit.h"

namespace lastack::compare {
namespace {

using OrderedJson = nlohmann::ordered_json;

// ---- Figures as text

// The quantity as its figures are shown: a time has the unit of the recordings.
Quantity in_unit(Quantity quantity, TimeUnit unit) {
  if (quantity.unit == time_unit_name(TimeUnit::ns)) quantity.unit = time_unit_name(unit);
  return quantity;
}

bool is_virtual(const Quantity& quantity) {
  return time_unit_named(quantity.unit) == TimeUnit::virtual_ns;
}

std::string figure(const Quantity& quantity, double value) {
  const TimeUnit unit = time_unit_named(quantity.unit);
  if (quantity.unit == time_unit_name(unit))
    return (value < 0 ? "-" : "") + format_rounded_duration(std::abs(value), unit);
  if (quantity.unit == "share") return fmt::format("{:.2f}%", value * 100);
  return fmt::format("{:.4g}", value);
}

std::string signed_figure(const Quantity& quantity, double value) {
  return (value < 0 ? "" : "+") + figure(quantity, value);
}

// "61.2us +-2%": the farther end of the median's interval; of a difference, the ends themselves.
std::string side_cell(const Quantity& quantity, const SideFigures& side) {
  if (side.values.empty()) return "-";
  std::string text = figure(quantity, side.median);
  if (!side.range) return text;
  if (quantity.change == Change::difference)
    return fmt::format("{} [{}..{}]", text, figure(quantity, side.range->low),
                       figure(quantity, side.range->high));
  if (side.median == 0) return text;
  const double half = std::max(side.range->high - side.median, side.median - side.range->low);
  const double percent = std::abs(half / side.median) * 100;
  return percent > 999 ? text + " +->999%"
                       : fmt::format("{} +-{:.{}f}%", text, percent, is_virtual(quantity) ? 2 : 0);
}

// Virtual time is read for differences of a thousandth.
std::string percent_text(const Quantity& quantity, double percent) {
  const int decimals = is_virtual(quantity) ? 2 : 1;
  return fmt::format("{:+.{}f}%", percent, std::abs(percent) < 100 ? decimals : 0);
}

bool shown_change(Verdict verdict) {
  return verdict == Verdict::worse || verdict == Verdict::better || verdict == Verdict::changed;
}

// By how much, with its interval; "" where that cannot be said.
std::string amount(const Quantity& quantity, const ChangeFigures& change) {
  std::string text;
  if (change.percent) {
    text = percent_text(quantity, *change.percent);
    if (change.percent_range)
      text += fmt::format(" [{}..{}]", percent_text(quantity, change.percent_range->low),
                          percent_text(quantity, change.percent_range->high));
  } else if (change.difference) {
    text = signed_figure(quantity, *change.difference);
    if (change.difference_range)
      text += fmt::format(" [{}..{}]", signed_figure(quantity, change.difference_range->low),
                          signed_figure(quantity, change.difference_range->high));
  }
  return text;
}

std::string change_cell(const Quantity& quantity, const ChangeFigures& change) {
  if (change.verdict == Verdict::untestable) return "?";
  if (!shown_change(change.verdict)) return "~";
  const std::string text = amount(quantity, change);
  return text.empty() ? std::string(verdict_name(change.verdict)) : text;
}

std::string p_cell(const ChangeFigures& change) {
  if (!change.adjusted_p) return "-";
  return *change.adjusted_p < 0.0005 ? "<0.001" : fmt::format("{:.3f}", *change.adjusted_p);
}

// ---- Tables, which text and Markdown draw each in its way

struct Block {
  std::string title;
  Table table;
  Cells after;  // lines below it
};

// The parts of a key that are not the same in all rows.
class KeyColumns {
 public:
  explicit KeyColumns(const std::vector<const ComparedRow*>& rows) {
    for (size_t part = 0; part < 5; ++part) {
      const bool varies = std::any_of(rows.begin(), rows.end(), [&](const ComparedRow* row) {
        return part_of(row->key, part) != part_of(rows.front()->key, part);
      });
      // What a line is about is said even where all are about it.
      const std::string& first = part_of(rows.front()->key, part);
      const bool needed = part <= 1 && !first.empty() && first != "-";
      if (varies || needed) parts_.push_back(part);
    }
    if (parts_.empty()) parts_.push_back(0);  // of a run as a whole
  }
  Cells header() const {
    constexpr std::string_view kNames[] = {"row", "strategy", "watch", "probe", "write path"};
    Cells names;
    for (const size_t part : parts_) names.emplace_back(kNames[part]);
    return names;
  }
  Cells cells(const RecordedKey& key) const {
    Cells cells;
    for (const size_t part : parts_) cells.push_back(part_of(key, part));
    if (parts_.size() == 1 && cells[0].empty()) cells[0] = "the run";
    return cells;
  }

 private:
  static const std::string& part_of(const RecordedKey& key, size_t part) {
    const std::string* parts[] = {&key.row, &key.strategy, &key.watch, &key.probe, &key.write_path};
    return *parts[part];
  }
  std::vector<size_t> parts_;
};

std::vector<const ComparedRow*> rows_with(const std::vector<ComparedRow>& rows,
                                          const Quantity& quantity) {
  std::vector<const ComparedRow*> result;
  for (const ComparedRow& row : rows)
    for (const ComparedQuantity& compared : row.quantities)
      if (compared.quantity == &quantity) result.push_back(&row);
  return result;
}

Block sides_block(const Comparison& comparison) {
  Table table({"side", "path", "suite", "lastack", "kernel", "repetitions", "time"}, 7);
  for (size_t i = 0; i < comparison.sides.size(); ++i) {
    const Recording& recording = comparison.recordings[i];
    const ComparedSide& side = comparison.sides[i];
    const auto or_dash = [](const std::string& text) { return text.empty() ? "-" : text; };
    table.add({side.label, recording.path,
               or_dash(recording.suite) + (recording.quick ? " --quick" : ""),
               or_dash(recording.version), or_dash(recording.kernel),
               fmt::format("{}", side.repetitions), or_dash(recording.time)});
  }
  return {"", std::move(table), {}};
}

Block environment_block(const Comparison& comparison) {
  Cells header = {"fact"};
  for (const ComparedSide& side : comparison.sides) header.push_back(side.label);
  Table table(header, header.size());
  for (const FactDifference& difference : comparison.environment) {
    Cells cells = {difference.key};
    for (const auto& value : difference.values) cells.push_back(value.value_or("-"));
    table.add(std::move(cells));
  }
  return {"environment: what differs", std::move(table), {}};
}

Block kinds_block(const Comparison& comparison) {
  std::vector<const ComparedRow*> changed;
  for (const ComparedRow& row : comparison.rows)
    if (row.changed_in_kind()) changed.push_back(&row);
  if (changed.empty()) return {};
  const KeyColumns columns(changed);
  Cells header = columns.header();
  header.emplace_back("what");
  Table table(header, header.size());
  for (const ComparedRow* row : changed)
    for (const KindChange& kind : row->kinds) {
      if (!kind.counted) continue;
      Cells cells = columns.cells(row->key);
      cells.push_back(kind.text + (kind.worse ? " (worse)" : ""));
      table.add(std::move(cells));
    }
  return {"changed in kind", std::move(table), {}};
}

// A row's figures side by side, and what the comparison says of them.
Cells compared_cells(const Quantity& quantity, const ComparedQuantity& compared, Cells cells) {
  std::string remark;
  for (size_t side = 0; side < compared.sides.size(); ++side) {
    cells.push_back(side_cell(quantity, compared.sides[side]));
    if (side == 0) continue;
    const ChangeFigures& change = compared.changes[side - 1];
    cells.push_back(change_cell(quantity, change));
    cells.push_back(p_cell(change));
    if (change.verdict == Verdict::worse || change.verdict == Verdict::better)
      remark += (remark.empty() ? "" : ", ") + std::string(verdict_name(change.verdict));
    else if (!change.reason.empty())
      remark += (remark.empty() ? "" : ", ") + change.reason;
  }
  cells.push_back(std::move(remark));
  return cells;
}

// The geometric means of all sides; empty where there is none. `keys`: columns before the figures.
Cells mean_cells(const Comparison& comparison, const Quantity& quantity, size_t keys) {
  Cells mean(keys);
  mean[0] = "geometric mean";
  bool any = false;
  size_t rows_of_mean = 0;
  const Quantity shown = in_unit(quantity, comparison.time_unit);
  for (size_t side = 0; side < comparison.sides.size(); ++side) {
    mean.emplace_back("");
    if (side == 0) continue;
    std::string change;
    for (const MeanChange& one : comparison.geometric_means)
      if (one.quantity == &quantity && one.side == side) {
        change = one.shown ? percent_text(shown, one.percent) : "~";
        if (one.percent_range)
          change += fmt::format(" [{}..{}]", percent_text(shown, one.percent_range->low),
                                percent_text(shown, one.percent_range->high));
        rows_of_mean = one.rows;
      }
    any = any || !change.empty();
    mean.insert(mean.end(), {change, ""});
  }
  mean.push_back(fmt::format("of {} rows", rows_of_mean));
  return any ? mean : Cells();
}

Block quantity_block(const Comparison& comparison, const Quantity& quantity) {
  const auto rows = rows_with(comparison.rows, quantity);
  if (rows.empty()) return {};
  const KeyColumns columns(rows);
  const Quantity shown = in_unit(quantity, comparison.time_unit);
  Block block;
  block.title = quantity.name;
  if (is_virtual(shown)) block.title += fmt::format(", {}", shown.unit);
  if (quantity.better != Better::neither)
    block.title += fmt::format(" ({} is better)", better_name(quantity.better));
  Cells header = columns.header();
  const size_t keys = header.size();
  for (size_t side = 0; side < comparison.sides.size(); ++side) {
    header.push_back(comparison.sides[side].label);
    if (side > 0) header.insert(header.end(), {"change", "p"});
  }
  header.emplace_back("");  // remarks
  block.table = Table(std::move(header), keys);
  size_t equal = 0;
  for (const ComparedRow* row : rows)
    for (const ComparedQuantity& compared : row->quantities) {
      if (compared.quantity != &quantity) continue;
      const bool all_equal =
          std::all_of(compared.changes.begin(), compared.changes.end(), [](const ChangeFigures& c) {
            return c.verdict == Verdict::same && c.p == 1.0 && !c.adjusted_p;
          });
      if (all_equal) {
        ++equal;  // a table of 100 % everywhere hides what matters
        continue;
      }
      block.table.add(compared_cells(shown, compared, columns.cells(row->key)));
    }
  if (Cells mean = mean_cells(comparison, quantity, keys); !mean.empty() && block.table.rows() > 1)
    block.table.add(std::move(mean));
  if (equal > 0)
    block.after.push_back(fmt::format("{}equal in all repetitions: {} row{}",
                                      block.table.rows() == 0 ? "" : "not listed, since ", equal,
                                      equal == 1 ? "" : "s"));
  return block;
}

Cells closing_lines(const Comparison& comparison) {
  Cells lines = {fmt::format("result  {} changed in kind, {} worse, {} better",
                             comparison.kind_changes, comparison.worse, comparison.better)};
  for (const std::string& refusal : comparison.refusals)
    lines.push_back(fmt::format("forced  {}", refusal));
  lines.push_back(fmt::format(
      "note    medians over repetitions +- 95 % interval; ~ no difference shown, ? cannot be "
      "tested; p: rank test over repetitions, corrected for {} test{} (Benjamini-Hochberg, {:.0f} "
      "%)",
      comparison.family, comparison.family == 1 ? "" : "s", kLevel * 100));
  for (const std::string& note : comparison.notes) lines.push_back(fmt::format("note    {}", note));
  for (const std::string& text : comparison.detectable)
    lines.push_back(fmt::format("power   {}", text));
  return lines;
}

std::vector<Block> blocks_of(const Comparison& comparison) {
  std::vector<Block> blocks = {sides_block(comparison)};
  const auto add = [&](Block block) {
    if (block.table.rows() > 0 || !block.after.empty()) blocks.push_back(std::move(block));
  };
  add(environment_block(comparison));
  add(kinds_block(comparison));
  for (const Quantity& quantity : quantities()) add(quantity_block(comparison, quantity));
  return blocks;
}

// ---- CSV

// One line: of a quantity, or of a change in kind.
struct CompareLine {
  const Comparison* comparison;
  const ComparedRow* row;
  const ComparedQuantity* quantity;  // null: a change in kind
  const ChangeFigures* change;
  const KindChange* kind;

  size_t side() const { return quantity ? change->side : kind->side; }
  const SideFigures* figures(size_t side) const {
    return quantity && !quantity->sides[side].values.empty() ? &quantity->sides[side] : nullptr;
  }
};

std::string exact(double value) { return fmt::format("{:.9g}", value); }
std::string exact(const std::optional<double>& value) { return value ? exact(*value) : ""; }

std::string count_of(const CompareLine& line, size_t side) {
  return line.quantity ? fmt::format("{}", line.quantity->sides[side].values.size()) : "";
}
std::string median_of(const CompareLine& line, size_t side) {
  const SideFigures* figures = line.figures(side);
  return figures ? exact(figures->median) : "";
}
std::string low_of(const CompareLine& line, size_t side) {
  const SideFigures* figures = line.figures(side);
  return figures && figures->range ? exact(figures->range->low) : "";
}
std::string high_of(const CompareLine& line, size_t side) {
  const SideFigures* figures = line.figures(side);
  return figures && figures->range ? exact(figures->range->high) : "";
}
const std::optional<Range>& range_of(const ChangeFigures& change) {
  return change.percent_range ? change.percent_range : change.difference_range;
}

using Line = CompareLine;
constexpr Column<Line> kColumns[] = {
    {"row", "of a suite", [](const Line& l) { return l.row->key.row; }},
    {"strategy", "- of what belongs to a whole run, as the next ones",
     [](const Line& l) { return l.row->key.strategy; }},
    {"watch", "", [](const Line& l) { return l.row->key.watch; }},
    {"probe", "", [](const Line& l) { return l.row->key.probe; }},
    {"write_path", "", [](const Line& l) { return l.row->key.write_path; }},
    {"quantity", "or `kind`: a change in kind",
     [](const Line& l) { return std::string(l.quantity ? l.quantity->quantity->name : "kind"); }},
    {"unit", "",
     [](const Line& l) {
       return l.quantity ? unit_text(l.quantity->quantity->unit, l.comparison->time_unit) : "";
     }},
    {"better", "less, more or neither",
     [](const Line& l) { return std::string(l.quantity ? better_name(l.quantity->better) : ""); }},
    {"first_side", "label", [](const Line& l) { return l.comparison->sides[0].label; }},
    {"first_n", "repetitions with a value", [](const Line& l) { return count_of(l, 0); }},
    {"first_median", "", [](const Line& l) { return median_of(l, 0); }},
    {"first_low", "of the 95 % interval", [](const Line& l) { return low_of(l, 0); }},
    {"first_high", "", [](const Line& l) { return high_of(l, 0); }},
    {"side", "label", [](const Line& l) { return l.comparison->sides[l.side()].label; }},
    {"n", "", [](const Line& l) { return count_of(l, l.side()); }},
    {"median", "", [](const Line& l) { return median_of(l, l.side()); }},
    {"low", "", [](const Line& l) { return low_of(l, l.side()); }},
    {"high", "", [](const Line& l) { return high_of(l, l.side()); }},
    {"percent", "change of the medians",
     [](const Line& l) { return l.quantity ? exact(l.change->percent) : ""; }},
    {"difference", "of the medians, where a ratio says nothing",
     [](const Line& l) { return l.quantity ? exact(l.change->difference) : ""; }},
    {"change_low", "of the 95 % interval of either",
     [](const Line& l) {
       const auto* range = l.quantity && range_of(*l.change) ? &*range_of(*l.change) : nullptr;
       return range ? exact(range->low) : "";
     }},
    {"change_high", "",
     [](const Line& l) {
       const auto* range = l.quantity && range_of(*l.change) ? &*range_of(*l.change) : nullptr;
       return range ? exact(range->high) : "";
     }},
    {"p", "of the rank test", [](const Line& l) { return l.quantity ? exact(l.change->p) : ""; }},
    {"adjusted_p", "corrected",
     [](const Line& l) { return l.quantity ? exact(l.change->adjusted_p) : ""; }},
    {"verdict", "worse, better, changed, same, untestable; of a kind also rare",
     [](const Line& l) {
       if (l.quantity) return std::string(verdict_name(l.change->verdict));
       return std::string(!l.kind->counted ? "rare" : l.kind->worse ? "worse" : "changed");
     }},
    {"reason", "", [](const Line& l) { return l.quantity ? l.change->reason : l.kind->text; }},
};
static_assert(named(kColumns, &Column<Line>::name));

// ---- JSON

template <class T>
OrderedJson or_null(const std::optional<T>& value) {
  return value ? OrderedJson(*value) : OrderedJson(nullptr);
}

OrderedJson or_null(const std::string& text) {
  return text.empty() ? OrderedJson(nullptr) : OrderedJson(text);
}

OrderedJson low_json(const std::optional<Range>& range) {
  return range ? OrderedJson(range->low) : OrderedJson();
}
OrderedJson high_json(const std::optional<Range>& range) {
  return range ? OrderedJson(range->high) : OrderedJson();
}

OrderedJson key_json(const RecordedKey& key) {
  return {{"row", key.row},
          {"strategy", key.strategy},
          {"watch", key.watch},
          {"probe", key.probe},
          {"write_path", key.write_path}};
}

OrderedJson sides_json(const Comparison& comparison) {
  OrderedJson list = OrderedJson::array();
  for (size_t i = 0; i < comparison.sides.size(); ++i) {
    const ComparedSide& side = comparison.sides[i];
    const Recording& recording = comparison.recordings[i];
    OrderedJson failed = OrderedJson::array();
    for (const RecordedRun& run : side.failed_runs)
      failed.push_back({{"run", run.folder},
                        {"status", run.status.empty() ? "not-played" : run.status},
                        {"error", or_null(run.error)}});
    list.push_back({{"label", side.label},
                    {"path", recording.path},
                    {"suite", or_null(recording.suite)},
                    {"kernel", recording.kernel},
                    {"lastack", recording.version},
                    {"time", recording.time},
                    {"repetitions", side.repetitions},
                    {"warm_up_left_out", side.warm_up_left_out},
                    {"runs", side.runs},
                    {"failed_runs", std::move(failed)},
                    {"drift", {{"tests", side.drift.tests}, {"different", side.drift.different}}}});
  }
  return list;
}

// Why nothing is claimed; of a difference, how large it is.
std::string reason_of(const Quantity& quantity, const ChangeFigures& change) {
  if (quantity.change == Change::difference && shown_change(change.verdict))
    return amount(quantity, change);
  return change.reason;
}

OrderedJson quantities_json(const ComparedRow& row, TimeUnit unit) {
  OrderedJson list = OrderedJson::array();
  for (const ComparedQuantity& compared : row.quantities) {
    const Quantity shown = in_unit(*compared.quantity, unit);
    OrderedJson sides = OrderedJson::array(), changes = OrderedJson::array();
    for (const SideFigures& side : compared.sides) {
      if (side.values.empty())
        sides.push_back(nullptr);
      else
        sides.push_back({{"n", side.values.size()},
                         {"median", side.median},
                         {"low", low_json(side.range)},
                         {"high", high_json(side.range)},
                         {"values", side.values}});
    }
    for (const ChangeFigures& change : compared.changes)
      changes.push_back({{"side", change.side},
                         {"percent", or_null(change.percent)},
                         {"low", low_json(change.percent_range)},
                         {"high", high_json(change.percent_range)},
                         {"difference", or_null(change.difference)},
                         {"difference_low", low_json(change.difference_range)},
                         {"difference_high", high_json(change.difference_range)},
                         {"p", or_null(change.p)},
                         {"adjusted_p", or_null(change.adjusted_p)},
                         {"verdict", verdict_name(change.verdict)},
                         {"reason", reason_of(shown, change)}});
    list.push_back({{"name", compared.quantity->name},
                    {"unit", shown.unit},
                    {"better", better_name(compared.better)},
                    {"sides", std::move(sides)},
                    {"changes", std::move(changes)}});
  }
  return list;
}

OrderedJson row_json(const ComparedRow& row, TimeUnit unit) {
  OrderedJson skipped = OrderedJson::array(), kinds = OrderedJson::array(),
              rare = OrderedJson::array();
  for (const std::string& reason : row.skipped) skipped.push_back(or_null(reason));
  for (const KindChange& kind : row.kinds) (kind.counted ? kinds : rare).push_back(kind.text);
  OrderedJson json = key_json(row.key);
  json["skipped"] = std::move(skipped);
  json["findings"] = row.findings;
  json["changes_in_kind"] = std::move(kinds);
  json["rare"] = std::move(rare);
  json["quantities"] = quantities_json(row, unit);
  return json;
}

OrderedJson detectable_json(const Comparison& comparison) {
  OrderedJson repetitions = OrderedJson::array(), rows = OrderedJson::array();
  for (const ComparedSide& side : comparison.sides) repetitions.push_back(side.repetitions);
  for (const ComparedRow& row : comparison.rows)
    for (const ComparedQuantity& quantity : row.quantities) {
      OrderedJson json = key_json(row.key);
      json["quantity"] = quantity.quantity->name;
      json["repetitions"] = or_null(quantity.repetitions_needed);
      rows.push_back(std::move(json));
    }
  return {{"repetitions", std::move(repetitions)},
          {"percent", comparison.options.shown_change * 100},
          {"rows", std::move(rows)},
          {"text", comparison.detectable}};
}

}  // namespace

std::string compare_text(const Comparison& comparison) {
  std::string text;
  for (const Block& block : blocks_of(comparison)) {
    if (!text.empty()) text += "\n";
    if (!block.title.empty()) text += block.title + "\n";
    if (block.table.rows() > 0) text += block.table.text();
    for (const std::string& line : block.after) text += line + "\n";
  }
  text += "\n";
  for (const std::string& line : closing_lines(comparison)) text += line + "\n";
  return text;
}

std::string compare_markdown(const Comparison& comparison) {
  std::string text = "# Comparison\n";
  for (const Block& block : blocks_of(comparison)) {
    if (!block.title.empty()) text += fmt::format("\n## {}\n", block.title);
    if (block.table.rows() > 0) text += "\n" + block.table.markdown(Markup::foreign);
    for (const std::string& below : block.after)
      text += fmt::format("\n{}\n", escaped(below, Markup::foreign));
  }
  text += "\n";
  for (const std::string& line : closing_lines(comparison))
    text += fmt::format("* {}\n", escaped(line, Markup::foreign));
  return text;
}

std::string compare_csv(const Comparison& comparison) {
  Csv<CompareLine> csv(kColumns);
  for (const ComparedRow& row : comparison.rows) {
    for (const KindChange& kind : row.kinds) csv.add({&comparison, &row, nullptr, nullptr, &kind});
    for (const ComparedQuantity& quantity : row.quantities)
      for (const ChangeFigures& change : quantity.changes)
        csv.add({&comparison, &row, &quantity, &change, nullptr});
  }
  return csv.take();
}

CsvSchema compare_csv_schema() {
  return {"lastack compare --format csv",
          "one row per compared row, quantity and later side, and one per change in kind",
          names_and_help(std::span<const Column<CompareLine>>(kColumns))};
}

OrderedJson compare_document(const Comparison& comparison, const std::string& command) {
  OrderedJson environment = OrderedJson::array(), rows = OrderedJson::array(),
              means = OrderedJson::array();
  for (const FactDifference& difference : comparison.environment) {
    OrderedJson values = OrderedJson::array();
    for (const auto& value : difference.values) values.push_back(or_null(value));
    environment.push_back({{"key", difference.key},
                           {"values", std::move(values)},
                           {"blocking", difference.blocking}});
  }
  for (const ComparedRow& row : comparison.rows)
    rows.push_back(row_json(row, comparison.time_unit));
  for (const MeanChange& mean : comparison.geometric_means)
    means.push_back(
        {{"quantity", mean.quantity->name},
         {"side", mean.side},
         {"percent", mean.percent},
         {"low", mean.percent_range ? OrderedJson(mean.percent_range->low) : OrderedJson(nullptr)},
         {"high",
          mean.percent_range ? OrderedJson(mean.percent_range->high) : OrderedJson(nullptr)},
         {"adjusted_p", mean.adjusted_p},
         {"shown", mean.shown},
         {"rows", mean.rows}});
  return {{"schema_version", kSchemaVersion},
          {"command", command},
          {"confidence", 1 - kLevel},
          {"family", comparison.family},
          {"correction", "benjamini-hochberg"},
          {"sides", sides_json(comparison)},
          {"environment", std::move(environment)},
          {"refusals", comparison.refusals},
          {"rows", std::move(rows)},
          {"geometric_means", std::move(means)},
          {"detectable", detectable_json(comparison)},
          {"notes", comparison.notes},
          {"kind_changes", comparison.kind_changes},
          {"worse", comparison.worse},
          {"better", comparison.better}};
}

}  // namespace lastack::compare
