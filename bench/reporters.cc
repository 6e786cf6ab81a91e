#include "reporters.h"

#include <fmt/format.h>

#include <cerrno>
#include <cmath>
#include <iostream>
#include <sstream>

#include "output.h"
#include "report/csv.h"

namespace lastack {
namespace {

class Door : public std::stringbuf {
 protected:
  int sync() override {
    print_as_it_is(str());
    str("");
    return 0;
  }
};

std::string csv_line(const benchmark::BenchmarkReporter::Run& run) {
  std::string line = quoted(run.benchmark_name());
  if (run.error_occurred)
    line += ",,,,,,,,true," + quoted(run.error_message);
  else
    line += fmt::format(",{},{},{},{},,,{},,", run.iterations, run.GetAdjustedRealTime(),
                        run.GetAdjustedCPUTime(), benchmark::GetTimeUnitString(run.time_unit),
                        quoted(run.report_label));
  for (const std::string_view name : kCounterNames) {
    const auto counter = run.counters.find(std::string(name));
    const bool known = counter != run.counters.end() && std::isfinite(counter->second.value);
    line += known ? fmt::format(",{}", counter->second.value) : ",";
  }
  return line + "\n";
}

}  // namespace

bool JsonReporter::ReportContext(const Context& context) {
  if (!environment_.empty()) benchmark::AddCustomContext("environment", environment_);
  return JSONReporter::ReportContext(context);
}

void JsonReporter::ReportRuns(const std::vector<Run>& runs) {
  std::vector<Run> finite = runs;
  for (Run& run : finite)
    std::erase_if(run.counters,
                  [](const auto& counter) { return !std::isfinite(counter.second.value); });
  JSONReporter::ReportRuns(finite);
}

bool CsvReporter::ReportContext(const Context& context) {
  // Google Benchmark sends a file's errors into the file, which is a table and nothing else.
  if (&GetErrorStream() != &GetOutputStream()) PrintBasicContext(&GetErrorStream(), context);
  GetOutputStream() << "name,iterations,real_time,cpu_time,time_unit,bytes_per_second,"
                       "items_per_second,label,error_occurred,error_message";
  for (const std::string_view name : kCounterNames) GetOutputStream() << ',' << name;
  GetOutputStream() << '\n';
  return true;
}

void CsvReporter::ReportRuns(const std::vector<Run>& runs) {
  for (const Run& run : runs) GetOutputStream() << csv_line(run);
}

benchmark::BenchmarkReporter& FileReporter::format() {
  format_->SetOutputStream(&GetOutputStream());
  format_->SetErrorStream(&GetErrorStream());
  errno = 0;
  return *format_;
}

void FileReporter::look() {
  if (!GetOutputStream().flush() && !failed_)
    failed_ = make_error("write", errno ? errno : EIO, path_);
}

bool FileReporter::ReportContext(const Context& context) {
  const bool go_on = format().ReportContext(context);
  look();
  return go_on;
}

void FileReporter::ReportRuns(const std::vector<Run>& runs) {
  format().ReportRuns(runs);
  look();
}

void FileReporter::Finalize() {
  format().Finalize();
  look();
}

void send_cout_through_the_door() {
  static auto* const door = new Door;  // std::cout is flushed after all else has ended
  std::cout.rdbuf(door);
}

}  // namespace lastack
