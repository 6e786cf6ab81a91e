// Every file that a command writes, with its columns.
#pragma once

#include <string>
#include <vector>

#include "base/csv.h"

namespace lastack {

std::vector<CsvSchema> csv_schemas();

// results/README.md: what the files hold, from the tables.
std::string schema_markdown();

}  // namespace lastack
