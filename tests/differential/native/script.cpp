#include "tests/differential/native/script.hpp"

#include <cstdio>
#include <cstdlib>

#include "proxy/wire/postgres/messages.hpp"

namespace differential {

namespace wire = dbproxy::wire::postgres;

namespace {

constexpr std::string_view kKinds = ":?+*-~<!$@";

std::string_view stripped(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

void append_bind(std::string& out, std::string_view portal, std::string_view statement,
                 const std::vector<std::optional<std::string>>& values, bool binary) {
  wire::MessageWriter writer(out, 'B');
  writer.cstring(portal).cstring(statement).u16(0).u16(static_cast<std::uint16_t>(values.size()));
  for (const auto& value : values) {
    if (value)
      writer.u32(static_cast<std::uint32_t>(value->size())).bytes(*value);
    else
      writer.u32(~std::uint32_t{0});
  }
  if (binary) writer.u16(1);
  writer.u16(binary ? 1 : 0);
}

void append_describe(std::string& out, char type, char what, std::string_view name) {
  wire::MessageWriter(out, type).u8(static_cast<std::uint8_t>(what)).cstring(name);
}

void append_execute(std::string& out, std::string_view portal, std::uint32_t rows) {
  wire::MessageWriter(out, 'E').cstring(portal).u32(rows);
}

std::string unnamed(const std::string& name) {
  return name == "_" ? std::string() : name;
}

Messages pipeline(std::string_view text) {
  Messages out;
  out.ready = 0;
  bool open = false;
  for (const auto& piece : split(text, " ;; ")) {
    const auto part = stripped(piece);
    const auto blank = part.find(' ');
    const auto word = part.substr(0, blank);
    const auto rest = blank == std::string_view::npos ? std::string_view() : part.substr(blank + 1);
    open = word != "sync" && word != "query";
    out.ready += open ? 0 : 1;
    const auto words = split(rest, " ");
    if (word == "sync") {
      wire::sync(out.bytes);
    } else if (word == "flush") {
      wire::empty_message(out.bytes, 'H');
    } else if (word == "query") {
      wire::query(out.bytes, rest);
    } else if (word == "parse") {
      wire::parse(out.bytes, unnamed(words[0]), rest.substr(std::min(rest.size(), words[0].size() + 1)), "");
    } else if (word == "bind") {
      std::vector<std::optional<std::string>> values(words.begin() + 2, words.end());
      append_bind(out.bytes, unnamed(words[0]), unnamed(words[1]), values, false);
    } else if (word == "execute") {
      append_execute(out.bytes, unnamed(words[0]),
                     words.size() > 1 ? static_cast<std::uint32_t>(std::stoul(words[1])) : 0);
    } else if (word == "describe" || word == "close") {
      append_describe(out.bytes, word == "close" ? 'C' : 'D', words[0].at(0),
                      words.size() > 1 ? unnamed(words[1]) : std::string());
    } else {
      std::fprintf(stderr, "unknown message in a pipeline: %s\n", std::string(part).c_str());
      std::abort();
    }
  }
  if (open) {
    wire::sync(out.bytes);
    ++out.ready;
  }
  return out;
}

Messages copy(const std::vector<std::string>& parts) {
  Messages out;
  wire::query(out.bytes, parts[0]);
  for (std::size_t i = 1; i < parts.size(); ++i) {
    if (parts[i] == "\\fail") {
      wire::MessageWriter(out.bytes, 'f').cstring("as asked");
      return out;
    }
    wire::MessageWriter(out.bytes, 'd').bytes(parts[i]).bytes("\n");
  }
  wire::empty_message(out.bytes, 'c');
  return out;
}

}  // namespace

std::vector<std::string> split(std::string_view text, std::string_view separator) {
  std::vector<std::string> parts;
  for (std::size_t at; (at = text.find(separator)) != std::string_view::npos; text.remove_prefix(at + separator.size()))
    parts.emplace_back(text.substr(0, at));
  parts.emplace_back(text);
  return parts;
}

std::optional<Step> parse_step(std::string_view line) {
  if (line.size() < 2 || kKinds.find(line[1]) == std::string_view::npos) return std::nullopt;
  Step step{line[0], line[1], false, {}};
  auto rest = line.substr(2);
  if (step.kind == '?' && rest.starts_with("b ")) {
    step.binary = true;
    rest.remove_prefix(1);
  }
  step.text = stripped(rest);
  return step;
}

Messages messages_of(const Step& step) {
  Messages out;
  if (step.kind == ':') {
    wire::query(out.bytes, step.text);
    return out;
  }
  if (step.kind == '~') return pipeline(step.text);
  const auto parts = split(step.text, " | ");
  if (step.kind == '<') return copy(parts);
  std::vector<std::optional<std::string>> values;
  for (std::size_t i = 1; i < parts.size(); ++i)
    values.push_back(parts[i] == "\\N" ? std::nullopt : std::optional(parts[i]));
  const auto& head = parts[0];
  switch (step.kind) {
    case '?':
      wire::parse(out.bytes, "", head, "");
      append_bind(out.bytes, "", "", values, step.binary);
      append_describe(out.bytes, 'D', 'P', "");
      append_execute(out.bytes, "", 0);
      break;
    case '+': {
      const auto colon = head.find(": ");
      const auto name = head.substr(0, colon);
      wire::parse(out.bytes, name, head.substr(colon + 2), "");
      append_describe(out.bytes, 'D', 'S', name);
      break;
    }
    case '*':
      append_bind(out.bytes, "", head, values, step.binary);
      append_describe(out.bytes, 'D', 'P', "");
      append_execute(out.bytes, "", 0);
      break;
    default:
      append_describe(out.bytes, 'C', 'S', head);
      break;
  }
  wire::sync(out.bytes);
  return out;
}

}  // namespace differential
