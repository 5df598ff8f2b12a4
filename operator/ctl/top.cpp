#include "operator/ctl/top.hpp"

#include <boost/json.hpp>
#include <csignal>
#include <ctime>
#include <ostream>
#include <poll.h>
#include <sstream>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "operator/ctl/document.hpp"
#include "operator/ctl/session.hpp"
#include "operator/ctl/table.hpp"
#include "operator/ctl/top_view.hpp"

namespace dbproxy::ctl {
namespace {

volatile std::sig_atomic_t ended = 0;

// The terminal as a screen of its own with single keys, and as it was before again at the end.
class Terminal {
 public:
  explicit Terminal(std::ostream& out) : out_(out) {
    keys_ = ::isatty(STDIN_FILENO) == 1 && ::tcgetattr(STDIN_FILENO, &before_) == 0;
    if (keys_) {
      termios raw = before_;
      raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
      ::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    out_ << "\x1b[?1049h\x1b[?25l" << std::flush;
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;
  ~Terminal() {
    out_ << "\x1b[?25h\x1b[?1049l" << std::flush;
    if (keys_) ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }

  TopFormat format() const {
    winsize size{};
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_row < 3) return {80, 22, true};
    return {size.ws_col, static_cast<std::size_t>(size.ws_row) - 2, true};
  }
  void paint(const std::string& title, const std::vector<std::string>& lines) {
    // Over what stands there, line by line: nothing flickers.
    out_ << "\x1b[H" << title << "\x1b[K\r\n";
    for (const std::string& line : lines) out_ << line << "\x1b[K\r\n";
    out_ << "\x1b[J" << std::flush;
  }
  // False: it is to end.
  bool wait(int milliseconds) const {
    pollfd keys{keys_ ? STDIN_FILENO : -1, POLLIN, 0};
    if (::poll(&keys, 1, milliseconds) <= 0) return ended == 0;
    char key = 0;
    return ::read(STDIN_FILENO, &key, 1) == 1 && key != 'q' && key != 'Q' && key != 4 && ended == 0;
  }

 private:
  std::ostream& out_;
  termios before_{};
  bool keys_ = false;
};

std::string clock_text() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::localtime_r(&now, &parts);
  char text[16] = {};
  std::strftime(text, sizeof text, "%H:%M:%S", &parts);
  return text;
}

int print_once(const Options& options, const boost::json::value& news, std::ostream& out, std::ostream& err) {
  if (options.output == Output::kJson || options.output == Output::kYaml) {
    out << (options.output == Output::kYaml ? to_yaml(news) : to_json(news));
    return kOk;
  }
  TopView view(options.name, options.name_space);
  const auto lines = view.frame(news, std::chrono::steady_clock::now(), {});
  if (!view.found() && !options.name.empty()) {
    err << "error: there is no DBProxy " << printable(options.name) << "\n";
    return kRefused;
  }
  for (const std::string& line : lines) out << line << "\n";
  out.flush();
  return kOk;
}

}  // namespace

int top(const Options& options, const TopOptions& how, const Transport& transport, std::ostream& out,
        std::ostream& err) {
  Session session(options, transport, err);
  auto news = session.news();
  if (!news) return session.exit_code();
  if (how.once) return print_once(options, *news, out, err);

  const int pause = how.interval_seconds * 1000;
  TopView view(options.name, options.name_space);
  struct sigaction action {};
  action.sa_handler = [](int) { ended = 1; };
  for (const int each : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(each, &action, nullptr);
  if (::isatty(STDOUT_FILENO) != 1) {
    for (;;) {
      out << "-- " << session.place() << ", " << clock_text() << "\n";
      for (const std::string& line : view.frame(*news, std::chrono::steady_clock::now(), {})) out << line << "\n";
      out << "\n" << std::flush;
      if (!out || ended != 0 || ::poll(nullptr, 0, pause) != 0 || ended != 0) return kOk;
      news = session.news();
      if (!news) return session.exit_code();
    }
  }
  Terminal terminal(out);
  std::string shown_at = clock_text(), trouble;
  std::ostringstream errors;
  Session quiet(options, transport, errors);
  do {
    const TopFormat format = terminal.format();
    terminal.paint(session.place() + "  " + shown_at + "  q ends" + (trouble.empty() ? "" : "  ! " + trouble),
                   view.frame(*news, std::chrono::steady_clock::now(), format));
    if (!terminal.wait(pause)) break;
    auto next = quiet.news();
    trouble = next ? "" : "no answer any more: what is shown is old";
    errors.str("");
    if (next) {
      news = std::move(next);
      shown_at = clock_text();
    }
  } while (ended == 0);
  return kOk;
}

}  // namespace dbproxy::ctl
