#include "proxy/manifest/files.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <openssl/evp.h>
#include <system_error>

namespace dbproxy::manifest {
namespace {

bool is_manifest(const std::filesystem::path& path) {
  std::string name = path.filename().string();
  return !name.empty() && name[0] != '.' && (path.extension() == ".yaml" || path.extension() == ".yml");
}

// One byte more than is allowed, so that the loader can tell and say so.
bool read_file(const std::filesystem::path& path, std::string& out) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return false;
  std::string buffer(64 * 1024, '\0');
  while (out.size() <= kMaxFileBytes && in) {
    in.read(buffer.data(), static_cast<std::streamsize>(buffer.size()));
    out.append(buffer.data(), static_cast<std::size_t>(in.gcount()));
  }
  return !in.bad();
}

void add(EVP_MD_CTX* context, const std::string& part) {
  std::uint64_t size = part.size();
  EVP_DigestUpdate(context, &size, sizeof(size));
  EVP_DigestUpdate(context, part.data(), part.size());
}

std::string digest_of(const std::vector<Source>& sources, const std::vector<Source>& problems) {
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr);
  for (const auto* list : {&sources, &problems}) {
    for (const auto& source : *list) {
      add(context.get(), source.name);
      add(context.get(), source.text);
    }
    add(context.get(), "/");  // no file has this name
  }
  unsigned char bytes[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  EVP_DigestFinal_ex(context.get(), bytes, &size);
  static constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  for (unsigned int i = 0; i < size; ++i) {
    out += kHex[bytes[i] >> 4];
    out += kHex[bytes[i] & 15];
  }
  return out;
}

}  // namespace

FileSet read_files(const std::filesystem::path& directory) {
  FileSet out;
  std::error_code error;
  std::filesystem::directory_iterator it(directory, error);
  if (error) {
    out.problems.push_back({directory.string(), "cannot be read as a directory: " + error.message()});
    return out;
  }
  std::vector<std::filesystem::path> paths;
  for (; it != std::filesystem::directory_iterator(); it.increment(error)) {
    if (error) break;
    std::error_code ignored;
    // Through symbolic links: kubelet mounts a ConfigMap's files as such.
    if (is_manifest(it->path()) && !std::filesystem::is_directory(it->path(), ignored)) paths.push_back(it->path());
  }
  if (error) out.problems.push_back({directory.string(), "cannot be listed: " + error.message()});
  std::sort(paths.begin(), paths.end());
  if (paths.size() > kMaxFiles) {
    out.problems.push_back({directory.string(), "holds more than " + std::to_string(kMaxFiles) + " manifest files"});
    paths.resize(kMaxFiles);
  }
  for (const auto& path : paths) {
    Source source{path.filename().string(), ""};
    std::error_code status;
    // A pipe or a device would block or never end.
    if (!std::filesystem::is_regular_file(path, status)) {
      out.problems.push_back({source.name, status ? "cannot be read: " + status.message() : "is not a regular file"});
    } else if (errno = 0; !read_file(path, source.text)) {
      out.problems.push_back({source.name, std::string("cannot be read: ") + std::strerror(errno)});
    } else {
      out.sources.push_back(std::move(source));
    }
  }
  return out;
}

std::string digest(const std::vector<Source>& sources) {
  return digest_of(sources, {});
}
std::string digest(const FileSet& files) {
  return digest_of(files.sources, files.problems);
}

}  // namespace dbproxy::manifest
