#include "dataplane/ctl/build.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_errno.h>
#include <rte_launch.h>
#include <rte_malloc.h>

#include "dataplane/core/dp.h"
#include "dataplane/core/payload.h"
#include "dataplane/core/tomb.h"
#include "dataplane/ctl/eal.h"
#include "dataplane/gate/flow.h"
#include "dataplane/media/stream.h"
#include "dataplane/publish/arrivals.h"
#include "dataplane/worker/worker.h"
#include "dataplane/worker/worker_life.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/rand.h"

#define RX_BUFFER (2048 + RTE_PKTMBUF_HEADROOM)
#define TX_BUFFER (1536 + RTE_PKTMBUF_HEADROOM)
#define SOCKET_BUFFERS 4096 // of each kind and per worker; kernel sockets hold the rest
#define POOL_CACHE 256
#define MIN_STREAMS 1024
#define MIN_FEW 128 // of what only some sessions have

static_assert(RTE_PKTMBUF_HEADROOM >= PORT_HEADROOM);

static bool is_socket_port(const char *spec)
{
	return strcmp(spec, "sockets") == 0;
}

static bool only_sockets(const struct conf *conf)
{
	for (unsigned i = 0; i < conf->dataplane.ports.n; i++)
		if (!is_socket_port(conf->dataplane.ports.item[i]))
			return false;
	return true;
}

// Devices hold thousands of buffers in their queues: a quarter of what video leaves for each direction then. Streams
// and tables need the other half, at the default number of sessions and the default of memory.
static unsigned n_buffers(const struct dp *dp, size_t size)
{
	unsigned n = SOCKET_BUFFERS * dp->n_workers;

	if (!only_sockets(dp->conf)) {
		uint32_t mib = dp->conf->dataplane.memory_mib - dp->conf->dataplane.video_memory_mib;
		uint64_t share = ((uint64_t)mib << 20) / 4;
		n = (unsigned)RTE_MIN(share / (size + sizeof(struct pkt) + 256), UINT64_C(1) << 20);
	}
	return RTE_MAX(n, 2 * SOCKET_BUFFERS);
}

static struct rte_mempool *open_pool(const char *name, unsigned n, size_t size)
{
	return rte_mempool_create(name, n, (unsigned)size, 32, 0, NULL, NULL, NULL, NULL, SOCKET_ID_ANY, 0);
}

static int open_pools(struct dp *dp)
{
	unsigned n = dp->max_sessions;

	dp->rx_pool = rte_pktmbuf_pool_create("rx", n_buffers(dp, RX_BUFFER), POOL_CACHE, sizeof(struct pkt),
					      RX_BUFFER, SOCKET_ID_ANY);
	dp->tx_pool = rte_pktmbuf_pool_create("tx", n_buffers(dp, TX_BUFFER), POOL_CACHE, sizeof(struct pkt),
					      TX_BUFFER, SOCKET_ID_ANY);
	dp->video = payload_store_open((uint64_t)dp->conf->dataplane.video_memory_mib << 20);
	dp->stream_pool = open_pool("streams", RTE_MAX(2 * n, (unsigned)MIN_STREAMS), sizeof(struct stream));
	dp->twcc_pool = open_pool("twcc", RTE_MAX(n / 4, (unsigned)MIN_STREAMS),
				  sizeof(struct twcc_state) + TWCC_SLOTS * sizeof(uint32_t));
	dp->twcc_wide_pool = open_pool("twcc_wide", RTE_MAX(n / 32, (unsigned)MIN_FEW),
				       sizeof(struct twcc_state) + TWCC_VIDEO_SLOTS * sizeof(uint32_t));
	dp->tomb_pool = open_pool("tombs", RTE_MAX(n / 8, (unsigned)MIN_FEW), sizeof(struct tombs));
	return dp->rx_pool && dp->tx_pool && dp->video && dp->stream_pool && dp->twcc_pool &&
			       dp->twcc_wide_pool && dp->tomb_pool
		       ? 0
		       : -ENOMEM;
}

static int open_shared(struct dp *dp)
{
	dp->qsbr = rte_zmalloc("qsbr", rte_rcu_qsbr_get_memsize(dp->n_workers), RTE_CACHE_LINE_SIZE);
	dp->session = calloc(dp->max_sessions, sizeof(*dp->session));
	dp->statseg = statseg_create(dp->n_workers + 2, rand_u64());
	dp->main_doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (dp->qsbr == NULL || dp->session == NULL || dp->statseg == NULL || dp->main_doorbell < 0)
		return -ENOMEM;
	if (rte_rcu_qsbr_init(dp->qsbr, dp->n_workers) != 0)
		return -ENOMEM;
	return flow_tables_open(dp);
}

static int open_ports(struct dp *dp, char *error, size_t error_size)
{
	const struct conf_list *list = &dp->conf->dataplane.ports;

	for (unsigned i = 0; i < list->n; i++) {
		struct port_env env = {.conf = dp->conf,
				       .index = (uint8_t)i,
				       .n_queues = (uint16_t)dp->n_workers,
				       .media_port = dp->conf->rtc.port_udp,
				       .rx_pool = dp->rx_pool,
				       .error = error,
				       .error_size = error_size};
		if (i == PORT_MAX - 1) { // the last one is ICE-TCP's
			snprintf(error, error_size, "dataplane.ports: at most %d ports", PORT_MAX - 1);
			return -EINVAL;
		}
		dp->port[i] = is_socket_port(list->item[i]) ? port_socket_open(&env)
							    : port_ethdev_open(&env, list->item[i]);
		if (dp->port[i] == NULL)
			return -errno;
		dp->n_ports++;
	}
	return 0;
}

// ICE-TCP is for those whose network lets nothing else through: when the port it has by default is taken, calls go on
// without it; one that was asked for must be there.
static int open_tcp(struct dp *dp, char *error, size_t error_size)
{
	struct port_env env = {.conf = dp->conf,
			       .index = (uint8_t)dp->n_ports,
			       .n_queues = (uint16_t)dp->n_workers,
			       .media_port = dp->conf->rtc.port_tcp,
			       .rx_pool = dp->rx_pool,
			       .stats = statseg_block(dp->statseg, dp->n_workers + 1),
			       .error = error,
			       .error_size = error_size};

	dp->tcp = port_tcp_open(&env);
	if (dp->tcp == NULL && errno == EADDRINUSE && conf_is_default(dp->conf, "rtc.ice_port_tcp")) {
		log_warn("%s. Serving UDP only", error);
		return 0;
	}
	if (dp->tcp == NULL)
		return -errno;
	dp->port[dp->n_ports++] = dp->tcp;
	return 0;
}

static int open_workers(struct dp *dp, bool sleeps)
{
	for (unsigned i = 0; i < dp->n_workers; i++) {
		dp->worker[i] = worker_new(dp, i, sleeps);
		if (dp->worker[i] == NULL)
			return -errno;
	}
	return 0;
}

struct dp *dp_open(const struct conf *conf, const struct eal_plan *plan, char *error, size_t error_size)
{
	struct dp *dp = calloc(1, sizeof(*dp));
	int err;

	if (dp == NULL)
		return err_null(ENOMEM);
	dp->conf = conf;
	dp->n_workers = plan->n_workers;
	dp->max_sessions = conf->dataplane.max_sessions;
	dp->rx_burst = (uint16_t)RTE_MIN(conf->dataplane.rx_burst, (uint32_t)BURST);
	dp->tx_burst = (uint16_t)RTE_MIN(conf->dataplane.tx_burst, (uint32_t)BURST);
	dp->main_doorbell = -1;
	dp->wall_offset = clock_wall() - clock_now();
	snprintf(error, error_size, "memory is too small for %u sessions: raise dataplane.memory_mib (%u)",
		 dp->max_sessions, conf->dataplane.memory_mib);
	err = open_pools(dp);
	if (err == 0)
		err = open_shared(dp);
	if (err == 0)
		err = open_ports(dp, error, error_size);
	if (err == 0)
		err = open_tcp(dp, error, error_size);
	if (err == 0)
		err = open_workers(dp, plan->sleeps);
	if (err < 0) {
		dp_close(dp);
		return err_null(-err);
	}
	return dp;
}

void dp_close(struct dp *dp)
{
	if (dp == NULL)
		return;
	for (unsigned i = 0; i < dp->n_workers; i++)
		worker_free(dp->worker[i]);
	for (unsigned i = 0; i < dp->n_ports; i++)
		dp->port[i]->ops->close(dp->port[i]);
	flow_tables_close(dp);
	if (dp->main_doorbell >= 0)
		close(dp->main_doorbell);
	statseg_close(dp->statseg);
	free(dp->session);
	rte_free(dp->qsbr);
	payload_store_close(dp->video);
	rte_mempool_free(dp->tomb_pool);
	rte_mempool_free(dp->twcc_wide_pool);
	rte_mempool_free(dp->twcc_pool);
	rte_mempool_free(dp->stream_pool);
	rte_mempool_free(dp->tx_pool);
	rte_mempool_free(dp->rx_pool);
	free(dp);
}

int dp_launch(struct dp *dp)
{
	for (unsigned i = 0; i < dp->n_workers; i++) {
		int err = rte_eal_remote_launch(worker_run, dp->worker[i], i + 1);
		if (err < 0)
			return err;
	}
	return 0;
}

void dp_stop(struct dp *dp)
{
	atomic_store_explicit(&dp->stop, true, memory_order_seq_cst);
	for (unsigned i = 0; i < dp->n_workers; i++)
		worker_wake(dp->worker[i]);
	rte_eal_mp_wait_lcore();
	for (unsigned i = 0; i < dp->n_workers;
	     i++) // acquire: all it wrote; pairs with the end of worker_run
		// cannot: rte_eal_mp_wait_lcore has waited for each worker to return
		MUST(atomic_load_explicit(&dp->worker[i]->returned, memory_order_acquire));
}

uint16_t dp_tcp_port(const struct dp *dp)
{
	return dp->tcp ? port_tcp_port(dp->tcp) : 0;
}

uint16_t dp_media_port(const struct dp *dp)
{
	for (unsigned i = 0; i < dp->n_ports; i++)
		if (strcmp(dp->port[i]->ops->name, "sockets") == 0)
			return port_socket_port(dp->port[i]);
	return dp->conf->rtc.port_udp;
}
