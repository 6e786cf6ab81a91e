// What lastack-bench has beside Google Benchmark's own reporters.
#pragma once

#include <benchmark/benchmark.h>

#include <cstddef>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"

namespace lastack {

// A row's figures beside its time. A row may lack some.
inline constexpr std::string_view kCounterNames[] = {
    "p50_ns", "p99_ns", "p999_ns", "span_ns", "found", "nothing", "cpu_ns_per_connection",
};

// Google Benchmark's JSON, but for two things. It has the manifest, which would fill a console. And
// a deviation divided by a mean of 0, as of `nothing` over repetitions, is left out: JSON has no
// NaN.
class JsonReporter : public benchmark::JSONReporter {
 public:
  explicit JsonReporter(std::string environment) : environment_(std::move(environment)) {}
  bool ReportContext(const Context& context) override;
  void ReportRuns(const std::vector<Run>& runs) override;

 private:
  std::string environment_;
};

// The columns of Google Benchmark's own CSV reporter, which aborts where the second row has a
// counter that the first one lacks. Here it has a column, empty where a row lacks it.
class CsvReporter : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context& context) override;
  void ReportRuns(const std::vector<Run>& runs) override;
};

// Writes as another one does into the file of --benchmark_out, and keeps what goes wrong with it:
// Google Benchmark does not look.
class FileReporter : public benchmark::BenchmarkReporter {
 public:
  FileReporter(std::unique_ptr<BenchmarkReporter> format, std::string path)
      : format_(std::move(format)), path_(std::move(path)) {}
  bool ReportContext(const Context& context) override;
  void ReportRuns(const std::vector<Run>& runs) override;
  void Finalize() override;
  const Status& failed() const { return failed_; }

 private:
  BenchmarkReporter& format();
  void look();

  std::unique_ptr<BenchmarkReporter> format_;
  std::string path_;
  Status failed_;
};

// From now on what libraries write to std::cout goes through the door (output.h).
void send_cout_through_the_door();

}  // namespace lastack
