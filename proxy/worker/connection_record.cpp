#include "proxy/worker/connection_record.hpp"

#include <algorithm>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <sstream>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proxy/base/log.hpp"

namespace dbproxy::worker {
namespace {

// The first line is the heading; a line of blanks is a free place.
constexpr std::size_t kLine = 512;
constexpr std::size_t kMorePlaces = 32;
constexpr std::size_t kMostPlaces = 10'000;
constexpr std::size_t kMostKey = 64;  // bytes; PostgreSQL's are 4 or 32
constexpr std::string_view kHeading = "dbproxy-connections 1 ";
constexpr std::string_view kNothing = "-";

std::string to_hex(std::string_view bytes) {
  static constexpr char kHex[] = "0123456789abcdef";
  if (bytes.empty()) return std::string(kNothing);
  std::string out;
  for (const char c : bytes) {
    out += kHex[static_cast<unsigned char>(c) >> 4];
    out += kHex[c & 15];
  }
  return out;
}

std::optional<std::string> from_hex(std::string_view text) {
  if (text == kNothing) return std::string();
  const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; };
  if (text.size() % 2 != 0) return std::nullopt;
  std::string out;
  for (std::size_t i = 0; i < text.size(); i += 2) {
    const int high = digit(text[i]);
    const int low = digit(text[i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    out += static_cast<char>(high * 16 + low);
  }
  return out;
}

// "" where it does not fit.
std::string to_line(const RecordedConnection& connection) {
  std::string line = "+ " + std::to_string(connection.id) + ' ' + std::to_string(connection.port) + ' ' +
                     to_hex({reinterpret_cast<const char*>(&connection.address.storage), connection.address.size}) +
                     ' ' + to_hex(connection.target) + ' ' + to_hex(connection.user);
  const std::string key = to_hex(connection.cancel_key.size() > kMostKey ? "" : connection.cancel_key);
  line += ' ' + (line.size() + 1 + key.size() < kLine ? key : std::string(kNothing));
  if (line.size() >= kLine) return {};
  return line;
}

std::optional<RecordedConnection> from_line(const std::string& line) {
  std::istringstream in(line);
  std::string plus, address, target, user, key;
  RecordedConnection out;
  if (!(in >> plus >> out.id >> out.port >> address >> target >> user >> key) || plus != "+") return std::nullopt;
  const auto raw = from_hex(address);
  const auto target_name = from_hex(target);
  const auto user_name = from_hex(user);
  const auto cancel_key = from_hex(key);
  if (!raw || !target_name || !user_name || !cancel_key || raw->size() > sizeof out.address.storage)
    return std::nullopt;
  std::memcpy(&out.address.storage, raw->data(), raw->size());
  out.address.size = static_cast<socklen_t>(raw->size());
  out.target = *target_name;
  out.user = *user_name;
  out.cancel_key = *cancel_key;
  return out;
}

}  // namespace

std::string boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  file >> id;
  return id;
}

std::shared_ptr<ConnectionRecord> ConnectionRecord::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) {
    log::error("budget", "cannot keep a list of connections", {{"file", path}, {"error", std::strerror(errno)}});
    return nullptr;
  }
  std::shared_ptr<ConnectionRecord> made(new ConnectionRecord(fd));
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    log::error("budget", "another process has the state directory: nothing is kept", {{"file", path}});
    return nullptr;
  }
  made->read();
  if (made->places_ == 0 && !made->grow()) return nullptr;
  return made;
}

ConnectionRecord::~ConnectionRecord() {
  ::close(fd_);
}

void ConnectionRecord::read() {
  std::string heading = std::string(kHeading) + boot_id();
  heading.resize(kLine - 1, ' ');
  std::string line(kLine, '\0');
  if (::pread(fd_, line.data(), kLine, 0) != static_cast<ssize_t>(kLine) || !line.starts_with(heading)) {
    if (::ftruncate(fd_, 0) != 0 || !write(kNowhere, heading)) {
      log::error("budget", "the list of connections cannot be written", {{"error", std::strerror(errno)}});
    }
    return;
  }
  for (std::size_t place = 0; place < kMostPlaces; ++place) {
    const auto at = static_cast<off_t>((place + 1) * kLine);
    if (::pread(fd_, line.data(), kLine, at) != static_cast<ssize_t>(kLine)) break;
    ++places_;
    if (auto connection = from_line(line)) {
      left_.push_back({place, std::move(*connection)});
    } else {
      free_.push_back(place);
    }
  }
}

// Room is made ahead, so that a full disk is noticed before there is a connection.
bool ConnectionRecord::grow() {
  if (places_ + kMorePlaces > kMostPlaces) return false;
  for (std::size_t i = 0; i < kMorePlaces; ++i) {
    if (!write(places_, {})) {
      log::error("budget", "the list of connections cannot grow: nothing more is opened",
                 {{"error", std::strerror(errno)}});
      return false;
    }
    free_.push_back(places_++);
  }
  std::sort(free_.rbegin(), free_.rend());
  return true;
}

// One call, inside of one page: a process that dies leaves the line before or this one.
bool ConnectionRecord::write(Place place, const std::string& line) const {
  std::string text = line;
  text.resize(kLine - 1, ' ');
  text += '\n';
  const auto at = static_cast<off_t>((place + 1) * kLine);  // kNowhere: the heading
  return ::pwrite(fd_, text.data(), kLine, at) == static_cast<ssize_t>(kLine);
}

ConnectionRecord::Place ConnectionRecord::add(const RecordedConnection& connection) {
  const std::string line = to_line(connection);
  if (line.empty() || (free_.empty() && !grow())) return kNowhere;
  const Place place = free_.back();
  if (!write(place, line)) return kNowhere;
  free_.pop_back();
  return place;
}

void ConnectionRecord::update(Place place, const RecordedConnection& connection) {
  if (place != kNowhere) write(place, to_line(connection));
}

void ConnectionRecord::gone(Place place) {
  if (place == kNowhere) return;
  write(place, {});
  free_.push_back(place);
}

}  // namespace dbproxy::worker
