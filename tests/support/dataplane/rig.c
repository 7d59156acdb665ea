#include "tests/support/dataplane/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/ctl/build.h"
#include "dataplane/ctl/eal.h"
#include "dataplane/worker/worker.h"

struct rig rig;
static bool has_eal; // one for all suites of the runner

bool rig_is_rtp(const struct rig_out *o, uint32_t ssrc)
{
	return o->len >= 12 && o->data[0] >> 6 == 2 && (o->data[1] < 192 || o->data[1] > 223) &&
	       be32_get(o->data + 8) == ssrc;
}

static unsigned rig_rx(struct port *p, unsigned queue, struct rte_mbuf **pkts, unsigned n)
{
	unsigned got = rig.n_in[queue];

	memcpy(pkts, rig.in[queue], got * sizeof(*pkts));
	rig.n_in[queue] = 0;
	return got;
}

static void rig_tx(struct port *p, unsigned queue, struct rte_mbuf **pkts, const struct path *const *paths,
		   unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		// Workers may run in threads of a test.
		unsigned at = __atomic_load_n(&rig.n_sent, __ATOMIC_RELAXED);

		while (at < RIG_SENT && !__atomic_compare_exchange_n(&rig.n_sent, &at, at + 1, true,
								     __ATOMIC_RELAXED, __ATOMIC_RELAXED))
			;
		if (at < RIG_SENT) {
			struct rig_out *o = &rig.sent[at];
			o->to = paths[i]->key;
			o->len = pkts[i]->data_len;
			memcpy(o->data, rte_pktmbuf_mtod(pkts[i], void *), o->len);
		}
		mbuf_done(pkts[i]);
	}
}

static void rig_path_fill(struct port *p, struct rte_mbuf *rx, struct path *out)
{
	*out = (struct path){.key = pkt_of(rx)->key};
}

static void rig_close_port(struct port *p)
{
}

const struct port_ops rig_ops = {
	.name = "rig", .rx = rig_rx, .tx = rig_tx, .path_fill = rig_path_fill, .close = rig_close_port};

bool rig_open(unsigned n)
{
	struct conf_error conf_error;
	struct eal_plan plan = {.n_workers = 2, .sleeps = 1};
	char error[512] = "";

	memset(&rig, 0, sizeof(rig));
	if (conf_load(&rig.conf, NULL, &conf_error) < 0)
		return false;
	rig.conf.rtc.port_udp = 0;
	rig.conf.rtc.port_tcp = 0;
	rig.conf.rtc.enable_ipv6 = false;
	rig.conf.dataplane.max_sessions = 64;
	rig.conf.dataplane.memory_mib = 128;
	rig.conf.dataplane.video_memory_mib = 8;
	if (!has_eal && eal_start(&rig.conf, &plan, error, sizeof(error)) < 0) {
		printf("# %s\n", error);
		return false;
	}
	has_eal = true;
	plan.n_workers = n;
	rig.dp = dp_open(&rig.conf, &plan, error, sizeof(error));
	if (rig.dp == NULL) {
		printf("# %s\n", error);
		return false;
	}
	rig.dp->port[0]->ops->close(rig.dp->port[0]);
	rig.dp->port[1]->ops->close(rig.dp->port[1]); // ICE-TCP: port_tcp_test.c opens its own
	rig.dp->tcp = NULL;
	rig.dp->n_ports = 1;
	rig.port = (struct port){.ops = &rig_ops, .n_queues = (uint16_t)n};
	rig.dp->port[0] = &rig.port;
	rig.model = model_new(rig.dp);
	rig.seal = seal_engine_new(NULL);
	rig.sent = calloc(RIG_SENT, sizeof(*rig.sent));
	rig.now = rig.dp->worker[0]->now;
	for (unsigned i = 0; i < n; i++) {
		rte_rcu_qsbr_thread_register(rig.dp->qsbr, i);
		rte_rcu_qsbr_thread_online(rig.dp->qsbr, i);
	}
	return rig.model && rig.seal && rig.sent;
}

void rig_close(void)
{
	for (unsigned i = 0; i < rig.dp->n_workers; i++) {
		rte_rcu_qsbr_thread_offline(rig.dp->qsbr, i);
		rte_rcu_qsbr_thread_unregister(rig.dp->qsbr, i);
	}
	atomic_store(&rig.dp->stop, true);
	model_free(rig.model);
	seal_engine_free(rig.seal);
	dp_close(rig.dp);
	conf_fini(&rig.conf);
	free(rig.sent);
}

void rig_run(ns_t dt)
{
	rig.now += dt;
	for (unsigned round = 0; round < 2; round++)
		for (unsigned i = 0; i < rig.dp->n_workers; i++)
			worker_round(rig.dp->worker[i], rig.now);
	model_flush(rig.model);
}

uint64_t rig_counter(enum counter id)
{
	return statseg_sum(rig.dp->statseg, id);
}

int rig_command(void *msg, size_t size, enum ipc_type type)
{
	union ipc_msg cmd = {};

	memcpy(&cmd, msg, size);
	cmd.hdr = (struct ipc_hdr){.type = (uint16_t)type, .len = (uint16_t)size, .seq = ++rig.seq};
	int err = model_apply(rig.model, &cmd);
	model_flush(rig.model);
	return err;
}
