// What `dbproxyctl top` paints: one answer of /events as lines of text, with what the answers before it make of it.
//
// Pure: time, size and answers are passed in.
#pragma once

#include <boost/json/value.hpp>
#include <chrono>
#include <deque>
#include <map>
#include <string>
#include <vector>

namespace dbproxy::ctl {

struct TopFormat {
  std::size_t width = 0, height = 0;  // in columns and lines; 0: as much as there is
  bool colour = false;                // emphasis by escape sequences; nothing is told by colour alone
};

class TopView {
 public:
  // `name`, `name_space`: as of every command; empty: all.
  TopView(std::string name, std::string name_space) : name_(std::move(name)), name_space_(std::move(name_space)) {}

  // The lines of a frame, each without its line break. `news` is an object of pages, as /events has it.
  std::vector<std::string> frame(const boost::json::value& news, std::chrono::steady_clock::time_point now,
                                 const TopFormat& format);
  // Whether the last frame had a DBProxy to show.
  bool found() const { return found_; }

 private:
  using Time = std::chrono::steady_clock::time_point;
  struct Sample {
    Time at{};
    std::vector<std::uint64_t> query, borrow;
  };
  bool wanted(const std::string& proxy) const;
  boost::json::array items(const boost::json::value& news, const std::string& page, bool are_proxies) const;
  void remember(const boost::json::value& news, Time now);
  std::string latency(const std::string& proxy, const std::vector<double>& bounds) const;

  const std::string name_, name_space_;
  bool found_ = false;
  std::map<std::string, std::deque<Sample>> samples_;         // by DBProxy, oldest first
  std::map<std::string, std::deque<std::uint64_t>> waiting_;  // likewise: clients that waited
};

}  // namespace dbproxy::ctl
