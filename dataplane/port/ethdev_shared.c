// An ethdev beside a kernel interface (net_af_packet, net_af_xdp): what both must agree on before it is opened.
#include "dataplane/port/ethdev.h"

#include <stdio.h>
#include <string.h>

#include "dataplane/port/xdp_filter.h"

#define AF_PACKET_MAX_PAIRS 16

static bool conf_has_sockets(const struct conf *conf)
{
	for (unsigned i = 0; i < conf->dataplane.ports.n; i++)
		if (strcmp(conf->dataplane.ports.item[i], "sockets") == 0)
			return true;
	return false;
}

// A copy of each packet would come by the kernel's sockets as well.
static bool is_seen_twice(const struct ethdev *d, const struct conf *conf)
{
	return conf_has_sockets(conf) && conf->rtc.address_udp.n == 0 && !d->is_af_xdp;
}

int shared_prepare(struct ethdev *d, const struct port_env *env, const char *spec)
{
	spec_get(spec, "iface", d->iface, sizeof(d->iface));
	if (if_nametoindex(d->iface) == 0) {
		snprintf(env->error, env->error_size,
			 "port %u: %s: there is no interface \"%s\": see \"ip link\"", env->index, spec,
			 d->iface);
		return -ENODEV;
	}
	if (is_seen_twice(d, env->conf))
		return ethdev_fail(env, -EINVAL, "sockets beside net_af_packet would get each packet twice",
				   "list the sockets' addresses in rtc.ice_address_udp, or use net_af_xdp");
	int err = kernel_claim_open(&d->claim, &d->ours, env->error, env->error_size);
	// Our own sockets on all addresses hold the port as well as a claim does.
	return err == -EADDRINUSE && conf_has_sockets(env->conf) ? 0 : err;
}

int shared_complete_args(const struct ethdev *d, const struct port_env *env, char *args, int *object)
{
	char given[SPEC_SIZE];
	size_t len = strlen(args);

	if (!d->is_af_xdp) {
		spec_get(args, "qpairs", given, sizeof(given));
		if (!*given)
			snprintf(args + len, SPEC_SIZE - len, ",qpairs=%u",
				 RTE_MIN(env->n_queues, (uint16_t)AF_PACKET_MAX_PAIRS));
		return 0;
	}
	struct kernel_queues queues;
	int err = xdp_filter_prepare((int)if_nametoindex(d->iface), env->error, env->error_size);
	if (err == 0)
		err = kernel_queues(d->iface, &queues);
	if (err < 0)
		return err;
	if (queues.n_rx > queues.n_combined) { // a queue without a socket would lose its media to the kernel
		snprintf(env->error, env->error_size,
			 "port %u: %s has %u receive queues, DPDK's AF_XDP can serve %u: set \"ethtool -L %s "
			 "rx %u\", "
			 "or make a veth with numrxqueues 1",
			 env->index, d->iface, queues.n_rx, queues.n_combined, d->iface, queues.n_combined);
		return -ENODEV;
	}
	spec_get(args, "queue_count", given, sizeof(given));
	if (!*given)
		len += (size_t)snprintf(args + len, SPEC_SIZE - len, ",queue_count=%u", queues.n_combined);
	*object = xdp_filter_object();
	if (*object < 0)
		return ethdev_fail(env, *object, "XDP filter", "");
	snprintf(args + len, SPEC_SIZE - len, ",xdp_prog=/proc/self/fd/%d", *object);
	return 0;
}
