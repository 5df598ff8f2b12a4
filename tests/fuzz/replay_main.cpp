// Runs each file of the given directories through a fuzz target without libFuzzer: seeds and old crashes stay fixed.
// Of small files every prefix is tried too, as bytes come off a wire in any pieces. An empty corpus is fine.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

constexpr std::size_t kEveryPrefixUpTo = 512;

// A copy of exactly that size on the heap: AddressSanitizer sees a read of one byte too many.
void run(const std::vector<char>& bytes, std::size_t size) {
  const std::vector<std::uint8_t> exact(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(size));
  static const std::uint8_t kNothing = 0;
  LLVMFuzzerTestOneInput(exact.empty() ? &kNothing : exact.data(), exact.size());
}

}  // namespace

int main(int argc, char** argv) {
  std::size_t inputs = 0;
  run({}, 0);
  for (int i = 1; i < argc; ++i) {
    if (!std::filesystem::is_directory(argv[i])) continue;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[i])) {
      if (!entry.is_regular_file()) continue;
      std::ifstream file(entry.path(), std::ios::binary);
      const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
      // Said before: when the input crashes, the last line names it.
      std::printf("%s\n", entry.path().filename().c_str());
      std::fflush(stdout);
      if (bytes.size() <= kEveryPrefixUpTo) {
        for (std::size_t size = 0; size < bytes.size(); ++size) run(bytes, size);
      }
      run(bytes, bytes.size());
      ++inputs;
    }
  }
  std::printf("%zu inputs\n", inputs);
}
