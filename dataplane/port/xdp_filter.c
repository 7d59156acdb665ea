#include "dataplane/port/xdp_filter.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "dataplane/port/xdp/media_filter.h"

#define PROGRAM "media_filter" // the function's name there
#define MAX_MAPS 8

asm(".section .rodata\n"
    ".balign 8\n"
    "media_filter_object:\n"
    ".incbin \"" BPF_OBJECT "\"\n"
    "media_filter_object_end:\n"
    ".previous\n");
extern const char media_filter_object[], media_filter_object_end[];

int xdp_filter_object(void)
{
	size_t len = (size_t)(media_filter_object_end - media_filter_object);
	int fd = memfd_create("media_filter.bpf.o", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (write(fd, media_filter_object, len) != (ssize_t)len) {
		close(fd);
		return -EIO;
	}
	return fd;
}

// Descriptor of the program on the interface with *info filled (and map_ids), 0 when there is none, -errno.
static int attached(int ifindex, struct bpf_prog_info *info, __u32 map_ids[MAX_MAPS])
{
	__u32 id = 0, len = sizeof(*info);
	int rc = bpf_xdp_query_id(ifindex, 0, &id);

	if (rc < 0 || id == 0)
		return rc;
	int fd = bpf_prog_get_fd_by_id(id);
	if (fd < 0)
		return -errno;
	memset(info, 0, sizeof(*info));
	info->nr_map_ids = MAX_MAPS;
	info->map_ids = (uintptr_t)map_ids;
	if (bpf_obj_get_info_by_fd(fd, info, &len) < 0) {
		rc = -errno;
		close(fd);
		return rc;
	}
	return fd;
}

int xdp_filter_prepare(int ifindex, char *error, size_t error_size)
{
	struct bpf_prog_info info;
	__u32 map_ids[MAX_MAPS];
	int fd = attached(ifindex, &info, map_ids);

	if (fd <= 0) {
		if (fd < 0)
			snprintf(error, error_size,
				 "XDP programs cannot be read: %s: AF_XDP needs CAP_NET_ADMIN, "
				 "CAP_NET_RAW and CAP_BPF",
				 strerror(-fd));
		return fd;
	}
	close(fd);
	if (strcmp(info.name, PROGRAM) != 0) {
		char iface[IF_NAMESIZE] = "?";
		if_indextoname((unsigned)ifindex, iface);
		snprintf(error, error_size,
			 "%s already has the XDP program \"%s\" (id %u): stop its owner, or remove it with "
			 "\"ip link set dev "
			 "%s xdp off\"",
			 iface, info.name, info.id, iface);
		return -EBUSY;
	}
	return bpf_xdp_detach(ifindex, 0, NULL);
}

static int set_addrs(int map, const struct frame_ours *ours)
{
	for (unsigned i = 0; i < ours->n; i++) {
		struct media_addr key = {.family = ours->addr[i].family};
		uint8_t one = 1;
		memcpy(key.ip, ours->addr[i].ip, sizeof(key.ip));
		if (bpf_map_update_elem(map, &key, &one, BPF_ANY) < 0)
			return -errno;
	}
	return 0;
}

static int set_conf(int map, const struct frame_ours *ours)
{
	struct media_conf conf = {.port_be = htons(ours->media_port)};
	__u32 zero = 0;

	return bpf_map_update_elem(map, &zero, &conf, BPF_ANY) < 0 ? -errno : 0;
}

// Apply set to the program's map of that name.
static int with_map(const struct bpf_prog_info *prog, const __u32 *ids, const char *name,
		    int (*set)(int, const struct frame_ours *), const struct frame_ours *ours)
{
	for (__u32 i = 0; i < prog->nr_map_ids && i < MAX_MAPS; i++) {
		struct bpf_map_info info = {};
		__u32 len = sizeof(info);
		int fd = bpf_map_get_fd_by_id(ids[i]);
		if (fd < 0)
			return -errno;
		int rc = bpf_obj_get_info_by_fd(fd, &info, &len) < 0 ? -errno : -ENOENT;
		if (rc == -ENOENT && strcmp(info.name, name) == 0)
			rc = set(fd, ours);
		close(fd);
		if (rc != -ENOENT)
			return rc;
	}
	return -ENOENT;
}

int xdp_filter_set(int ifindex, const struct frame_ours *ours)
{
	struct bpf_prog_info info;
	__u32 map_ids[MAX_MAPS];
	int fd = attached(ifindex, &info, map_ids);

	if (fd <= 0)
		return fd < 0 ? fd : -ENOENT;
	close(fd);
	if (strcmp(info.name, PROGRAM) != 0)
		return -ENOENT;
	// The port last: without it nothing is taken from the kernel.
	int rc = with_map(&info, map_ids, "media_addrs", set_addrs, ours);
	return rc < 0 ? rc : with_map(&info, map_ids, "media_conf", set_conf, ours);
}
