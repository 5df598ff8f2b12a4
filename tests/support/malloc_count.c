/* Counts allocations of the process that it is preloaded into, in a file that others can read while it runs.
 * Build: cc -O2 -shared -fPIC -o malloc_count.so malloc_count.c; use: LD_PRELOAD, MALLOC_COUNT_FILE. glibc only. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

extern void* __libc_malloc(size_t);
extern void* __libc_calloc(size_t, size_t);
extern void* __libc_realloc(void*, size_t);
extern void* __libc_memalign(size_t, size_t);

static uint64_t before_start;
static uint64_t* counter = &before_start;

__attribute__((constructor)) static void start(void) {
  const char* path = getenv("MALLOC_COUNT_FILE");
  int fd = path ? open(path, O_RDWR | O_CREAT, 0600) : -1;
  if (fd < 0 || ftruncate(fd, sizeof *counter) != 0) return;
  void* shared = mmap(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (shared != MAP_FAILED) counter = shared;
}

static void count(void) {
  __atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

void* malloc(size_t size) {
  count();
  return __libc_malloc(size);
}
void* calloc(size_t number, size_t size) {
  count();
  return __libc_calloc(number, size);
}
void* realloc(void* old, size_t size) {
  count();
  return __libc_realloc(old, size);
}
void* memalign(size_t alignment, size_t size) {
  count();
  return __libc_memalign(alignment, size);
}
void* aligned_alloc(size_t alignment, size_t size) {
  count();
  return __libc_memalign(alignment, size);
}
int posix_memalign(void** out, size_t alignment, size_t size) {
  count();
  *out = __libc_memalign(alignment, size);
  return *out ? 0 : 12; /* ENOMEM */
}
