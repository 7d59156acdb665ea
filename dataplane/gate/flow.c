#include "dataplane/gate/flow.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include <rte_errno.h>
#include <rte_hash.h>
#include <rte_jhash.h>
#include <rte_spinlock.h>

#include "dataplane/core/dp.h"
#include "lib/base/rand.h"
#include "lib/ipc/wire.h"

#define FLOWS_PER_SESSION ICELITE_PAIRS
#define UFRAGS_PER_SESSION 2 // the current one and that of before an ICE restart

// Two workers may bind the same address at once (a NAT gives it to another client): one at a time, so that
// flow_del never removes what the other just entered.
static rte_spinlock_t flow_lock = RTE_SPINLOCK_INITIALIZER;

static void *pack(struct flow f)
{
	return (void *)(((uintptr_t)f.pair << 40) | ((uintptr_t)f.home << 32) | f.sid);
}

static struct flow unpack(const void *p)
{
	uintptr_t v = (uintptr_t)p;

	return (struct flow){.sid = (uint32_t)v, .home = (uint8_t)(v >> 32), .pair = (uint8_t)(v >> 40)};
}

// Enter and remove as many keys as there is room for: each page of the table is there then, and no packet waits for
// the kernel to hand one out.
static void touch(struct rte_hash *h, uint32_t entries, uint32_t key_len)
{
	uint8_t key[sizeof(struct flow_key)] = {};

	for (uint32_t i = 0; i < entries; i++) {
		int32_t at;

		memcpy(key, &i, RTE_MIN(sizeof(i), (size_t)key_len));
		at = rte_hash_add_key(h, key);
		if (at >= 0 && rte_hash_del_key(h, key) >= 0)
			rte_hash_free_key_with_position(h, at);
	}
}

static struct rte_hash *open_table(struct dp *dp, const char *name, uint32_t entries, uint32_t key_len)
{
	struct rte_hash_parameters params = {
		.name = name,
		.entries = RTE_MAX(entries, 64u),
		.key_len = key_len,
		.hash_func = rte_jhash,
		.hash_func_init_val = rand_u32(),
		.socket_id = SOCKET_ID_ANY,
		.extra_flag = RTE_HASH_EXTRA_FLAGS_RW_CONCURRENCY_LF | RTE_HASH_EXTRA_FLAGS_EXT_TABLE,
	};
	struct rte_hash_rcu_config rcu = {.v = dp->qsbr, .mode = RTE_HASH_QSBR_MODE_DQ};
	struct rte_hash *h = rte_hash_create(&params);

	if (h != NULL)
		touch(h, params.entries, key_len);
	if (h != NULL && rte_hash_rcu_qsbr_add(h, &rcu) != 0) {
		rte_hash_free(h);
		return NULL;
	}
	return h;
}

int flow_tables_open(struct dp *dp)
{
	dp->flows = open_table(dp, "flows", dp->max_sessions * FLOWS_PER_SESSION, sizeof(struct flow_key));
	dp->ufrags = open_table(dp, "ufrags", dp->max_sessions * UFRAGS_PER_SESSION, IPC_UFRAG_LEN);
	return dp->flows && dp->ufrags ? 0 : -ENOMEM;
}

void flow_tables_close(struct dp *dp)
{
	rte_hash_free(dp->flows);
	rte_hash_free(dp->ufrags);
	dp->flows = dp->ufrags = NULL;
}

struct flow flow_find(const struct dp *dp, const struct flow_key *key)
{
	void *data;

	return rte_hash_lookup_data(dp->flows, key, &data) < 0 ? (struct flow){} : unpack(data);
}

void flow_find_burst(const struct dp *dp, struct rte_mbuf **pkts, unsigned n, struct flow *out)
{
	const void *keys[BURST];
	void *data[BURST];
	uint64_t hit = 0;

	ASSERT_HOT(n <= BURST);
	for (unsigned i = 0; i < n; i++)
		keys[i] = &pkt_of(pkts[i])->key;
	if (n > 0)
		rte_hash_lookup_bulk_data(dp->flows, keys, n, &hit, data);
	for (unsigned i = 0; i < n; i++)
		out[i] = hit >> i & 1 ? unpack(data[i]) : (struct flow){};
}

bool flow_add(struct dp *dp, const struct flow_key *key, struct flow flow)
{
	int err;

	ASSERT_HOT(flow.sid != 0 && flow.home < PORT_MAX_WORKERS && flow.pair < ICELITE_PAIRS);
	rte_spinlock_lock(&flow_lock);
	bool is_new = flow_find(dp, key).sid == 0;
	err = rte_hash_add_key_data(dp->flows, key, pack(flow));
	dp->n_flows += err == 0 && is_new;
	rte_spinlock_unlock(&flow_lock);
	return err == 0;
}

void flow_del(struct dp *dp, const struct flow_key *key, uint32_t sid)
{
	rte_spinlock_lock(&flow_lock);
	if (flow_find(dp, key).sid == sid && rte_hash_del_key(dp->flows, key) >= 0)
		dp->n_flows--;
	rte_spinlock_unlock(&flow_lock);
}

uint32_t flow_count(const struct dp *dp)
{
	return dp->n_flows; // rte_hash_count would include deleted ones that wait for a grace period
}

bool ufrag_add(struct dp *dp, const char *ufrag, uint32_t sid, uint8_t home)
{
	assert(sid != 0 && home < PORT_MAX_WORKERS);
	if (ufrag_find(dp, ufrag).sid != 0)
		return false;
	return rte_hash_add_key_data(dp->ufrags, ufrag, pack((struct flow){.sid = sid, .home = home})) == 0;
}

void ufrag_del(struct dp *dp, const char *ufrag)
{
	rte_hash_del_key(dp->ufrags, ufrag);
}

struct flow ufrag_find(const struct dp *dp, const char *ufrag)
{
	void *data;

	return rte_hash_lookup_data(dp->ufrags, ufrag, &data) < 0 ? (struct flow){} : unpack(data);
}
