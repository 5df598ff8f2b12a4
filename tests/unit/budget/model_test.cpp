// Random traces of a world where everything goes wrong, the invariant after every step, liveness at the end of each.
// A million steps; more by hand, and a seed: DBPROXY_MODEL_STEPS=100000000 DBPROXY_MODEL_SEED=7 test_budget. A
// violation is made as short as it gets, and printed step by step.
#include <cstdlib>
#include <gtest/gtest.h>
#include <random>

#include "world.hpp"

namespace dbproxy::model {
namespace {

using Trace = std::vector<std::uint32_t>;
constexpr std::size_t kLength = 2000;  // of one trace
constexpr int kParts = 10;             // tests that share the steps

Shape shape_of(std::uint32_t number) {
  Shape shape;
  shape.pods = 2 + static_cast<int>(number % 6);
  shape.per_pod = 2 + number / 7 % 8;
  shape.limits = {{"a", 4 + number / 60 % 8}, {"b", 4 + number / 500 % 8}};
  return shape;
}

// What does not hold, and after how many steps; {"", …}: all holds.
std::pair<std::string, std::size_t> run(const Shape& shape, const Trace& trace, std::string* story = nullptr) {
  World world(shape);
  for (std::size_t i = 0; i < trace.size(); ++i) {
    world.step(trace[i]);
    if (story != nullptr) *story += "  " + std::to_string(i + 1) + ". " + world.last() + "\n";
    if (std::string error = world.violation(); !error.empty()) return {error, i + 1};
  }
  return {world.settle(), trace.size()};
}

Trace shrink(const Shape& shape, Trace trace) {
  for (std::size_t size = trace.size() / 2; size > 0; size = size == 1 ? 0 : size / 2) {
    for (bool better = true; better;) {
      better = false;
      for (std::size_t from = 0; from + size <= trace.size();) {
        Trace shorter = trace;
        shorter.erase(shorter.begin() + static_cast<std::ptrdiff_t>(from),
                      shorter.begin() + static_cast<std::ptrdiff_t>(from + size));
        const auto [error, steps] = run(shape, shorter);
        if (error.empty()) {
          from += size;
          continue;
        }
        shorter.resize(steps);
        trace = std::move(shorter);
        better = true;
      }
    }
  }
  return trace;
}

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

class Model : public testing::TestWithParam<int> {};

TEST_P(Model, HoldsWhateverHappens) {
  const std::uint64_t steps = from_environment("DBPROXY_MODEL_STEPS", 1'000'000) / kParts;
  std::mt19937 random(
      static_cast<std::uint32_t>(from_environment("DBPROXY_MODEL_SEED", 1) * 1000 + static_cast<unsigned>(GetParam())));
  for (std::uint64_t done = 0; done < steps; done += kLength) {
    const Shape shape = shape_of(random());
    Trace trace(kLength);
    for (std::uint32_t& number : trace) number = random();
    const auto [error, at] = run(shape, trace);
    if (error.empty()) continue;
    trace.resize(at);
    trace = shrink(shape, std::move(trace));
    std::string story;
    const auto [last, length] = run(shape, trace, &story);
    FAIL() << "At first: " << error << ". Shortest: " << last << ", with " << shape.pods << " sidecars, after "
           << length << " steps:\n"
           << story;
  }
}

INSTANTIATE_TEST_SUITE_P(Parts, Model, testing::Range(0, kParts));

}  // namespace
}  // namespace dbproxy::model
