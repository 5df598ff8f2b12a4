#include "tests/differential/native/session.hpp"

#include <algorithm>
#include <cctype>

#include "proxy/wire/postgres/reader.hpp"

namespace differential {

namespace wire = dbproxy::wire::postgres;

namespace {

constexpr std::uint32_t kFirstObjectId = 16384;
constexpr std::size_t kMostIdle = 5;  // of one start
constexpr std::size_t kMostStarts = 12;

// Temporary tables fix temp_buffers, libraries stay, and so does the seed of random().
bool outlives_discard(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower.find("temp_buffers") != std::string::npos || lower.find("load") != std::string::npos ||
         lower.find("seed") != std::string::npos;
}

wire::Parameters parameters_of(const std::string& start) {
  wire::Parameters parameters;
  for (const auto& part : split(start, " ")) {
    const auto equals = part.find('=');
    if (equals != std::string::npos) parameters.emplace_back(part.substr(0, equals), part.substr(equals + 1));
  }
  return parameters;
}

std::string fields_of(std::string_view body, bool& fatal) {
  std::vector<std::string> fields;
  wire::Reader reader(body);
  while (const auto type = reader.u8()) {
    const auto text = reader.cstring();
    if (!reader.ok()) break;
    if (type == 'V') fatal = text == "FATAL" || text == "PANIC";
    if (type != 'F' && type != 'L' && type != 'R') fields.push_back(static_cast<char>(type) + std::string(text));
  }
  std::sort(fields.begin(), fields.end());
  std::string out;
  for (const auto& field : fields) (out += field) += '\n';
  return out;
}

}  // namespace

void Session::add(char type, std::string_view body) {
  answer_ += type;
  answer_ += std::to_string(body.size());
  answer_ += ' ';
  answer_ += body;
}

std::uint32_t Session::known(std::uint32_t oid) {
  if (oid < kFirstObjectId) return oid;
  return oids_.emplace(oid, kFirstObjectId + static_cast<std::uint32_t>(oids_.size())).first->second;
}

void Session::add_columns(std::string_view body) {
  std::string out;
  wire::Reader reader(body);
  for (auto count = reader.u16(); count > 0 && reader.ok(); --count) {
    out += reader.cstring();
    out += ' ' + std::to_string(known(reader.u32())) + ' ' + std::to_string(reader.u16());
    out += ' ' + std::to_string(known(reader.u32())) + ' ';
    out += reader.bytes(8);
  }
  add('T', out);
}

void Session::close() {
  connection_.reset();
}

void Session::give_back() {
  if (!connection_) return;
  if (place_->idle.size() > kMostStarts) place_->idle.clear();
  auto& idle = place_->idle[start_];
  if (place_->reuse && like_new_ && idle.size() < kMostIdle) {
    std::string bytes;
    wire::query(bytes, "ROLLBACK");
    wire::query(bytes, "DISCARD ALL");
    connection_->send(bytes);
    idle.push_back(std::move(connection_));
  }
  close();
}

void Session::log_in(const std::string& start) {
  connection_ = std::make_unique<Connection>(place_->host, place_->port);
  auto error = connection_->login(*place_->credentials, place_->database, parameters_of(start));
  if (!error) return;
  bool fatal = false;
  const auto fields = fields_of(*error, fatal);
  add('!', fields);
  if (place_->reuse) place_->refused[start] = fields;
  close();
}

void Session::connect(const std::string& start) {
  give_back();
  start_ = start;
  like_new_ = true;
  if (place_->reuse) {
    if (const auto refused = place_->refused.find(start); refused != place_->refused.end())
      return add('!', refused->second);
    if (auto& idle = place_->idle[start]; !idle.empty()) {
      connection_ = std::move(idle.back());
      idle.pop_back();
      connection_->skip_answers(2);
    }
  }
  if (!connection_) log_in(start);
  if (!connection_) return;
  told_ = connection_->parameters();
  std::string greeting;
  for (const auto& [name, value] : connection_->parameters()) ((greeting += name) += '=') += value + '\n';
  add('@', greeting + connection_->status());
}

void Session::begin(const Step& step) try {
  answer_.clear();
  settings_.clear();
  ready_ = 0;
  if (step.kind == '@') return connect(step.text);
  if (!connection_) connect({});
  if (!connection_) return;
  like_new_ = like_new_ && !outlives_discard(step.text);
  std::string bytes;
  if (step.kind == '!' || step.kind == '$') {
    // What runs there would go on, and then be undone: that is had sooner.
    if (place_->reuse) return give_back();
    if (step.kind == '$') wire::terminate(bytes);
    if (step.kind == '!' && !step.text.empty()) wire::query(bytes, step.text);
    if (!bytes.empty()) connection_->send(bytes);
    return close();
  }
  auto messages = messages_of(step);
  ready_ = messages.ready;
  connection_->send(messages.bytes);
} catch (const Closed&) {
  add('x', "closed");
  close();
} catch (const NoAnswer&) {
  add('x', "no answer");
  close();
}

void Session::read_answers() {
  while (ready_ > 0) {
    const auto message = connection_->read();
    wire::Reader reader(message.body);
    switch (message.type) {
      case 'S': {
        const std::string name(reader.cstring());
        settings_[name] = reader.cstring();
        break;
      }
      case 'A':
        add(reader.u32() == connection_->process_id() ? 'a' : 'A', reader.rest());
        break;
      case 'E':
      case 'N': {
        bool fatal = false;
        add(message.type, fields_of(message.body, fatal));
        if (fatal) return close();
        break;
      }
      case 'T':
        add_columns(message.body);
        break;
      case 't': {
        std::string out;
        for (auto count = reader.u16(); count > 0 && reader.ok(); --count)
          out += std::to_string(known(reader.u32())) + ' ';
        add('t', out);
        break;
      }
      case 'Z':
        --ready_;
        add('Z', message.body);
        break;
      default:
        add(message.type, message.body);
        break;
    }
  }
  std::string told;
  for (const auto& [name, value] : settings_)
    if (auto& before = told_[name]; before != value) {
      before = value;
      ((told += name) += '=') += value + '\n';
    }
  if (!told.empty()) add('S', told);
}

std::string Session::finish() try {
  if (connection_) read_answers();
  return std::move(answer_);
} catch (const Closed&) {
  close();
  return answer_ + "closed";
} catch (const NoAnswer&) {
  close();
  return answer_ + "no answer";
}

void Session::leave() try { give_back(); } catch (const Closed&) {
  close();
}

}  // namespace differential
