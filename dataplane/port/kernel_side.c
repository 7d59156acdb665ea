#include "dataplane/port/kernel_side.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/filter.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dataplane/port/sockaddr.h"

// --- claim -------------------------------------------------------------------------------------
static void address_of(const struct frame_ours *ours, unsigned i, union sockaddr_any *a)
{
	memset(a, 0, sizeof(*a));
	if (ours->addr[i].family == 4) {
		a->v4.sin_family = AF_INET;
		a->v4.sin_port = htons(ours->media_port);
		memcpy(&a->v4.sin_addr, ours->addr[i].ip, 4);
		return;
	}
	a->v6.sin6_family = AF_INET6;
	a->v6.sin6_port = htons(ours->media_port);
	memcpy(&a->v6.sin6_addr, ours->addr[i].ip, 16);
}

static int claim_one(const struct frame_ours *ours, unsigned i)
{
	struct sock_filter drop_all = BPF_STMT(BPF_RET | BPF_K, 0);
	struct sock_fprog filter = {1, &drop_all};
	const int on = 1;
	union sockaddr_any a;
	int fd;

	address_of(ours, i, &a);
	fd = socket(a.sa.sa_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	// The address may be put on the interface later.
	if (a.sa.sa_family == AF_INET6) {
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
		setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof(on));
	} else {
		setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on));
	}
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) < 0 ||
	    bind(fd, &a.sa, sockaddr_len(&a)) < 0) {
		int err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

int kernel_claim_open(struct kernel_claim *c, const struct frame_ours *ours, char *error, size_t error_size)
{
	c->n = 0;
	for (unsigned i = 0; i < ours->n; i++) {
		int fd = claim_one(ours, i);
		if (fd < 0) {
			snprintf(error, error_size,
				 "UDP port %u of dataplane.addresses entry %u: %s: see who holds it with "
				 "\"ss -ulpn "
				 "sport = :%u\", or set rtc.ice_port_udp to a free one",
				 ours->media_port, i + 1, strerror(-fd), ours->media_port);
			kernel_claim_close(c);
			return fd;
		}
		c->fd[c->n++] = fd;
	}
	return 0;
}

void kernel_claim_close(struct kernel_claim *c)
{
	while (c->n > 0)
		close(c->fd[--c->n]);
}

// --- interfaces --------------------------------------------------------------------------------
int kernel_queues(const char *iface, struct kernel_queues *out)
{
	struct ethtool_channels channels = {.cmd = ETHTOOL_GCHANNELS};
	struct ifreq req = {.ifr_data = (void *)&channels};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), err = 0;

	if (fd < 0)
		return -errno;
	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", iface);
	if (ioctl(fd, SIOCETHTOOL, &req) < 0 && errno != EOPNOTSUPP)
		err = -errno;
	close(fd);
	out->n_combined = channels.combined_count ? channels.combined_count : 1;
	out->n_rx = channels.rx_count + channels.combined_count;
	out->n_rx = out->n_rx ? out->n_rx : 1;
	return err;
}

// Of linux/ipv6.h, which cannot be included beside netinet/in.h.
struct in6_ifreq {
	struct in6_addr ifr6_addr;
	uint32_t ifr6_prefixlen;
	int ifr6_ifindex;
};

static int set_ipv6(int fd, const char *iface, const uint8_t *ip, uint8_t prefix)
{
	struct in6_ifreq req = {.ifr6_prefixlen = prefix, .ifr6_ifindex = (int)if_nametoindex(iface)};

	memcpy(&req.ifr6_addr, ip, 16);
	return ioctl(fd, SIOCSIFADDR, &req) < 0 && errno != EEXIST ? -errno : 0;
}

// label: the interface's name, or "name:1" and so on for further addresses.
static int set_ipv4(int fd, const char *label, const uint8_t *ip, uint8_t prefix)
{
	struct ifreq req = {};
	struct sockaddr_in a = {.sin_family = AF_INET};

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", label);
	memcpy(&a.sin_addr, ip, 4);
	memcpy(&req.ifr_addr, &a, sizeof(a));
	if (ioctl(fd, SIOCSIFADDR, &req) < 0)
		return -errno;
	a.sin_addr.s_addr = htonl(prefix ? UINT32_MAX << (32 - prefix) : 0);
	memcpy(&req.ifr_netmask, &a, sizeof(a));
	return ioctl(fd, SIOCSIFNETMASK, &req) < 0 ? -errno : 0;
}

static int set_up(int fd, const char *iface)
{
	struct ifreq req = {};

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", iface);
	if (ioctl(fd, SIOCGIFFLAGS, &req) < 0)
		return -errno;
	req.ifr_flags |= IFF_UP;
	return ioctl(fd, SIOCSIFFLAGS, &req) < 0 ? -errno : 0;
}

int kernel_set_addresses(const char *iface, const struct frame_ours *ours)
{
	int fd4 = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0),
	    fd6 = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int rc = fd4 < 0 ? -errno : set_up(fd4, iface);
	unsigned n_v4 = 0;

	for (unsigned i = 0; rc == 0 && i < ours->n; i++) {
		char label[IFNAMSIZ];
		if (ours->addr[i].family == 6) {
			rc = fd6 < 0 ? -EAFNOSUPPORT
				     : set_ipv6(fd6, iface, ours->addr[i].ip, ours->addr[i].prefix);
			continue;
		}
		if (n_v4 == 0)
			snprintf(label, sizeof(label), "%s", iface);
		else
			snprintf(label, sizeof(label), "%.9s:%u", iface, (uint8_t)n_v4);
		n_v4++;
		rc = set_ipv4(fd4, label, ours->addr[i].ip, ours->addr[i].prefix);
	}
	if (fd4 >= 0)
		close(fd4);
	if (fd6 >= 0)
		close(fd6);
	return rc;
}
