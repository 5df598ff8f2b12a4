// Table: aligned columns as kubectl prints them. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dbproxy::ctl {

struct Column {
  std::string title;
  bool wide = false;  // printed with -o wide only
};

class Table {
 public:
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  // As many cells as there are columns; an empty one is printed as <none>.
  void add(std::vector<std::string> cells);
  bool empty() const { return rows_.empty(); }

  struct Format {
    bool wide = false;
    bool headers = true;
    std::string indent;
  };
  std::string print(const Format& format) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// Control characters written as \xNN: a name that a client chose must not steer the terminal.
std::string printable(std::string_view text);

// 95 → "95s", 3700 → "61m", as kubectl's ages; "0.25s" below a second.
std::string duration(double seconds);

}  // namespace dbproxy::ctl
