/*
 * Answers for /dev/iommu and /dev/vfio/devices/vfioN in place of a kernel, from a table made of a recording.
 * Preloaded into a child process, so that the program's own system calls are what is tested.
 *
 * Only open, open64, flock and ioctl are intercepted. Which node a descriptor belongs to is read from /proc/self/fd each
 * time: libuv closes descriptors by a raw system call, so a table kept here would go stale.
 *
 * VSMMU_SHIM_TABLE names the table, one item a line, blank-separated:
 *   reply  NAME FLAGS IN_TYPE RC ERRNO STRUCT_HEX|- DATA_HEX|-
 *   fail   open|bind|hwpt|viommu NAME ERRNO        NAME is vfioN, or "iommu" for /dev/iommu
 *   fail   flock lock ERRNO                       every lock
 *   delay  bind NAME MILLISECONDS
 * VSMMU_SHIM_LOG names a file that gets one line for each call that was answered here.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define VFIO_DEVICE_BIND_IOMMUFD 0x3b76
#define IOMMU_GET_HW_INFO 0x3b8a
#define IOMMU_IOAS_ALLOC 0x3b81
#define IOMMU_HWPT_ALLOC 0x3b89
#define IOMMU_VIOMMU_ALLOC 0x3b90
#define MAX_ITEMS 1024
#define FIRST_DEV_ID 100

struct bind_iommufd { uint32_t argsz, flags; int32_t iommufd; uint32_t out_devid; };
struct hw_info {
  uint32_t size, flags, dev_id, data_len;
  uint64_t data_uptr;
  uint32_t data_type;
  uint8_t max_pasid_log2, reserved[3];
  uint64_t capabilities;
};

struct ioas_alloc { uint32_t size, flags, out_ioas_id; };
struct hwpt_alloc {
  uint32_t size, flags, dev_id, pt_id, out_hwpt_id, reserved, data_type, data_len;
  uint64_t data_uptr;
  uint32_t fault_id, reserved2;
};
struct viommu_alloc { uint32_t size, flags, type, dev_id, hwpt_id, out_viommu_id; };
enum { IOAS_ID = 7, HWPT_ID = 8, VIOMMU_ID = 9 };

struct item {
  char kind[8], step[8], name[32];
  unsigned flags, in_type;
  int rc, error;
  char *structure, *data;
};

static struct item items[MAX_ITEMS];
static int item_count;

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

static size_t from_hex(const char *hex, uint8_t *out, size_t limit) {
  size_t n = 0;
  if (hex == NULL || hex[0] == '-') return 0;
  while (n < limit && hex_digit(hex[2 * n]) >= 0 && hex_digit(hex[2 * n + 1]) >= 0) {
    out[n] = (uint8_t)(hex_digit(hex[2 * n]) << 4 | hex_digit(hex[2 * n + 1]));
    n++;
  }
  return n;
}

__attribute__((constructor)) static void read_table(void) {
  const char *path = getenv("VSMMU_SHIM_TABLE");
  FILE *table = path == NULL ? NULL : fopen(path, "r");
  if (table == NULL) return;
  char *line = NULL;
  size_t size = 0;
  while (item_count < MAX_ITEMS && getline(&line, &size, table) > 0) {
    struct item *item = &items[item_count];
    memset(item, 0, sizeof *item);
    char structure[256] = "-", data[1024] = "-";
    if (sscanf(line, "reply %31s %u %u %d %d %255s %1023s", item->name, &item->flags, &item->in_type,
               &item->rc, &item->error, structure, data) == 7) {
      strcpy(item->kind, "reply");
      item->structure = strdup(structure);
      item->data = strdup(data);
      item_count++;
    } else if (sscanf(line, "fail %7s %31s %d", item->step, item->name, &item->error) == 3) {
      strcpy(item->kind, "fail");
      item_count++;
    } else if (sscanf(line, "delay %7s %31s %d", item->step, item->name, &item->error) == 3) {
      strcpy(item->kind, "delay");
      item_count++;
    }
  }
  free(line);
  fclose(table);
}

static const struct item *find(const char *kind, const char *step, const char *name) {
  for (int i = 0; i < item_count; i++)
    if (strcmp(items[i].kind, kind) == 0 && strcmp(items[i].step, step) == 0 && strcmp(items[i].name, name) == 0)
      return &items[i];
  return NULL;
}

static void note(const char *text, const char *name) {
  const char *path = getenv("VSMMU_SHIM_LOG");
  FILE *log = path == NULL ? NULL : fopen(path, "a");
  if (log == NULL) return;
  fprintf(log, "%s %s\n", text, name);
  fclose(log);
}

/* "iommu", "vfioN", or "" for a path that is none of ours. */
static void node_name(const char *path, char *name, size_t size) {
  static const char cdev[] = "/dev/vfio/devices/";
  name[0] = '\0';
  const char *found = strstr(path, cdev);
  const char *slash = strrchr(path, '/');
  if (found != NULL)
    snprintf(name, size, "%s", found + strlen(cdev));
  else if (slash != NULL && slash - path >= 4 && strcmp(slash - 4, "/dev/iommu") == 0)
    snprintf(name, size, "iommu");
}

static void node_of(int fd, char *name, size_t size) {
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  path[length < 0 ? 0 : length] = '\0';
  node_name(path, name, size);
}

static int open_node(const char *symbol, const char *path, int flags, mode_t mode) {
  int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, symbol);
  char name[64];
  node_name(path, name, sizeof name);
  if (name[0] != '\0') {
    const struct item *failure = find("fail", "open", name);
    note("open", name);
    if (failure != NULL) { errno = failure->error; return -1; }
  }
  return real(path, flags, mode);
}

int open(const char *path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = (mode_t)va_arg(arguments, unsigned);
  va_end(arguments);
  return open_node("open", path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  mode_t mode = (mode_t)va_arg(arguments, unsigned);
  va_end(arguments);
  return open_node("open64", path, flags, mode);
}

int flock(int fd, int operation) {
  int (*real)(int, int) = (int (*)(int, int))dlsym(RTLD_NEXT, "flock");
  const struct item *failure = find("fail", "flock", "lock");
  if (failure != NULL) { errno = failure->error; return -1; }
  return real(fd, operation);
}

/* A device's id is its number above FIRST_DEV_ID, so that no table of bound devices is needed. */
static int bind_device(const char *name, struct bind_iommufd *bind) {
  char iommu[64];
  const struct item *delay = find("delay", "bind", name);
  const struct item *failure = find("fail", "bind", name);
  note("bind", name);
  if (delay != NULL) {
    struct timespec time = {delay->error / 1000, (delay->error % 1000) * 1000000L};
    nanosleep(&time, NULL);
  }
  if (failure != NULL) { errno = failure->error; return -1; }
  if (bind->argsz < 16 || bind->flags != 0 || bind->iommufd < 0) { errno = EINVAL; return -1; }
  node_of(bind->iommufd, iommu, sizeof iommu);
  if (strcmp(iommu, "iommu") != 0) { errno = EBADF; return -1; }
  bind->out_devid = FIRST_DEV_ID + (uint32_t)atoi(name + strlen("vfio"));
  return 0;
}

static int answer(struct hw_info *info) {
  char name[32];
  if (info->size < 32) { errno = EINVAL; return -1; }
  if (info->dev_id < FIRST_DEV_ID) { errno = ENOENT; return -1; }
  snprintf(name, sizeof name, "vfio%u", info->dev_id - FIRST_DEV_ID);
  note(info->flags == 0 ? "hw_info" : "hw_info(input type)", name);
  for (int i = 0; i < item_count; i++) {
    const struct item *item = &items[i];
    if (strcmp(item->kind, "reply") != 0 || strcmp(item->name, name) != 0) continue;
    if (item->flags != info->flags || item->in_type != (info->flags == 0 ? 0 : info->data_type)) continue;
    if (item->rc != 0) { errno = item->error; return -1; }
    struct hw_info recorded;
    uint8_t data[512];
    uint8_t *buffer = (uint8_t *)(uintptr_t)info->data_uptr;
    uint32_t room = info->data_len;
    if (from_hex(item->structure, (uint8_t *)&recorded, sizeof recorded) < 32) { errno = EIO; return -1; }
    size_t length = from_hex(item->data, data, sizeof data);
    if (length > recorded.data_len) length = recorded.data_len;
    if (length > room) length = room;
    memcpy(buffer, data, length);
    memset(buffer + length, 0, room - length); /* as the kernel zeroes what it does not fill */
    recorded.size = info->size;
    recorded.flags = info->flags;
    recorded.dev_id = info->dev_id;
    recorded.data_uptr = info->data_uptr;
    memcpy(info, &recorded, info->size < sizeof recorded ? info->size : sizeof recorded);
    return 0;
  }
  errno = info->flags == 0 ? ENOENT : EOPNOTSUPP;
  return -1;
}

/* Checks every field that the kernel would, so that a wrong layout in the caller shows. */
static int allocate(unsigned long request, void *argument) {
  char name[32];
  const struct item *failure = NULL;
  if (request == IOMMU_IOAS_ALLOC) {
    struct ioas_alloc *ioas = argument;
    if (ioas->size != sizeof *ioas || ioas->flags != 0) { errno = EINVAL; return -1; }
    ioas->out_ioas_id = IOAS_ID;
    return 0;
  }
  uint32_t dev_id = request == IOMMU_HWPT_ALLOC ? ((struct hwpt_alloc *)argument)->dev_id
                                                : ((struct viommu_alloc *)argument)->dev_id;
  if (dev_id < FIRST_DEV_ID) { errno = ENOENT; return -1; }
  snprintf(name, sizeof name, "vfio%u", dev_id - FIRST_DEV_ID);
  failure = find("fail", request == IOMMU_HWPT_ALLOC ? "hwpt" : "viommu", name);
  note(request == IOMMU_HWPT_ALLOC ? "hwpt_alloc" : "viommu_alloc", name);
  if (failure != NULL) { errno = failure->error; return -1; }
  if (request == IOMMU_HWPT_ALLOC) {
    struct hwpt_alloc *hwpt = argument;
    if (hwpt->size != sizeof *hwpt || hwpt->flags != 1 || hwpt->pt_id != IOAS_ID || hwpt->reserved != 0 ||
        hwpt->data_type != 0 || hwpt->data_len != 0 || hwpt->fault_id != 0 || hwpt->reserved2 != 0) {
      errno = EINVAL;
      return -1;
    }
    hwpt->out_hwpt_id = HWPT_ID;
  } else {
    struct viommu_alloc *viommu = argument;
    if (viommu->size != sizeof *viommu || viommu->flags != 0 || viommu->type != 1 || viommu->hwpt_id != HWPT_ID) {
      errno = EINVAL;
      return -1;
    }
    viommu->out_viommu_id = VIOMMU_ID;
  }
  return 0;
}

int ioctl(int fd, unsigned long request, ...) {
  int (*real)(int, unsigned long, ...) = (int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl");
  va_list arguments;
  va_start(arguments, request);
  void *argument = va_arg(arguments, void *);
  va_end(arguments);
  if ((request & ~0xffUL) == 0x3b00) {
    char name[64];
    node_of(fd, name, sizeof name);
    if (request == VFIO_DEVICE_BIND_IOMMUFD && strncmp(name, "vfio", 4) == 0) return bind_device(name, argument);
    if (strcmp(name, "iommu") == 0) {
      if (request == IOMMU_GET_HW_INFO) return answer(argument);
      if (request == IOMMU_IOAS_ALLOC || request == IOMMU_HWPT_ALLOC || request == IOMMU_VIOMMU_ALLOC)
        return allocate(request, argument);
    }
  }
  return real(fd, request, argument);
}
