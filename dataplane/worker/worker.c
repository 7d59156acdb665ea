// One worker: passes over bursts, in one loop. Reading worker_run is reading the design.
#include "dataplane/core/dp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_pause.h>
#include <rte_ring_elem.h>

#include "dataplane/gate/classify.h"
#include "dataplane/media/fanout.h"
#include "dataplane/worker/feedback.h"
#include "dataplane/gate/flow.h"
#include "dataplane/gate/ice.h"
#include "dataplane/core/mailbox.h"
#include "dataplane/gate/punt.h"
#include "dataplane/core/session.h"
#include "dataplane/media/stream.h"
#include "dataplane/media/video.h"
#include "dataplane/deliver/viewer.h"
#include "lib/base/err.h"
#include "lib/base/rand.h"

#define STATS_NS (250 * NS_PER_MS)
#define HANDOFF_BURSTS 4 // per ring and round
#define TIMERS_PER_ROUND 64
#define TIMERS_AT_ONCE 8 // then it is looked how much they sent
#define NAP_MS 1         // sleep of a worker whose port has no descriptor to wait on

// --- small services ---------------------------------------------------------------------------------

void drop(struct worker *w, struct rte_mbuf *m, enum counter why)
{
	count(w, why, 1);
	mbuf_lost(m);
}

uint64_t worker_random(struct worker *w)
{
	uint64_t *s = w->random, t = s[1] << 17, r = s[1] * 5;

	r = ((r << 7) | (r >> 57)) * 9;
	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = (s[3] << 45) | (s[3] >> 19);
	return r;
}

static uint64_t ice_random(void *w)
{
	return worker_random(w);
}

static void ice_hmac(void *w, const uint8_t *key, size_t key_len, const uint8_t *msg, size_t len,
		     uint8_t out[STUN_MAC_LEN])
{
	seal_hmac_sha1(((struct worker *)w)->seal, key, key_len, msg, len, out);
}

void worker_wake(struct worker *w)
{
	const uint64_t one = 1;

	atomic_thread_fence(memory_order_seq_cst); // the ring entry before the look; pairs with may_sleep
	if (atomic_load_explicit(&w->asleep, memory_order_relaxed))
		// A failing write means the counter is full, so the worker is being woken already.
		(void)!write(w->doorbell, &one, sizeof(one));
}

// --- sending ----------------------------------------------------------------------------------------

static void flush_port(struct worker *w, unsigned port)
{
	struct outq *q = &w->out[port];
	struct port *p = w->dp->port[port];

	if (q->n == 0)
		return;
	p->ops->tx(p, w->id, q->m, q->path, q->n);
	count(w, CTR_TX_BURSTS, 1);
	q->n = 0;
}

void worker_send(struct worker *w, const struct path *path, struct rte_mbuf *m)
{
	struct outq *q = &w->out[path->key.port];

	q->m[q->n] = m;
	q->path[q->n] = path;
	if (++q->n >= w->dp->tx_burst)
		flush_port(w, path->key.port);
}

void worker_send_queued(struct worker *w)
{
	for (unsigned i = 0; i < w->dp->n_ports; i++)
		flush_port(w, i);
}

struct rte_mbuf *worker_packet(struct worker *w, const void *data, size_t len)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(w->dp->tx_pool);

	if (m == NULL) {
		count(w, DROP_NO_MBUF, 1);
		return NULL;
	}
	pkt_of(m)->class = CLASS_CONTROL;
	memcpy(rte_pktmbuf_mtod(m, void *), data, len);
	m->data_len = (uint16_t)len;
	m->pkt_len = m->data_len;
	return m;
}

static void flush_handoff(struct worker *w, unsigned to)
{
	struct handoff *h = &w->hand[to];
	unsigned n;

	if (h->n == 0)
		return;
	n = rte_ring_sp_enqueue_burst(w->dp->worker[to]->in[w->id], (void **)h->m, h->n, NULL);
	for (unsigned i = n; i < h->n; i++)
		drop(w, h->m[i], DROP_RING_FULL);
	h->n = 0;
	worker_wake(w->dp->worker[to]);
}

void worker_hand_over(struct worker *w, unsigned to, struct rte_mbuf *m)
{
	struct handoff *h = &w->hand[to];

	h->m[h->n] = m;
	if (++h->n == BURST)
		flush_handoff(w, to);
}

// End of a round: everything queued goes out, so nothing borrowed is held across a grace period.
static void flush(struct worker *w)
{
	worker_send_queued(w);
	for (unsigned i = 0; i < w->dp->n_workers; i++)
		flush_handoff(w, i);
	note_flush(w);
	punt_flush(w);
}

// --- receiving --------------------------------------------------------------------------------------

// The pair the packet came in on as the session knows it now; false: the address is no longer its.
static bool check_pair(const struct session *s, struct pkt *pkt)
{
	int pair = pkt->pair;

	if (pair >= ICELITE_PAIRS || memcmp(&s->pair_path[pair].key, &pkt->key, sizeof(pkt->key)) != 0)
		pair = ice_pair(s, &pkt->key);
	pkt->pair = (uint8_t)pair;
	return pair >= 0;
}

// Packets of sessions at home here. All are consumed.
static void serve(struct worker *w, struct rte_mbuf **pkts, unsigned n)
{
	struct rte_mbuf *rtp[BURST], *rtcp[BURST];
	struct session *reporter[BURST];
	unsigned n_rtp = 0, n_rtcp = 0;

	if (n > 0)
		mail_drain(w); // a client may answer a command before the round of its mail
	for (unsigned i = 0; i < n; i++) {
		struct pkt *pkt = pkt_of(pkts[i]);
		struct session *s = session_find(w, pkt->sid);

		bool has_pair = pkt->kind != PKT_STUN && pkt->kind != PKT_INJECT;
		bool is_lost = s == NULL || (has_pair && !check_pair(s, pkt));

		if (is_lost && pkt->kind == PKT_GONE)
			mbuf_done(pkts[i]); // nobody's any more
		else if (is_lost)
			drop(w, pkts[i], DROP_NO_FLOW);
		else if (pkt->kind == PKT_RTP)
			rtp[n_rtp++] = pkts[i];
		else if (pkt->kind == PKT_STUN)
			ice_input(w, s, pkts[i]);
		else if (pkt->kind == PKT_DTLS)
			punt_input(w, s, pkts[i]);
		else if (pkt->kind == PKT_GONE)
			ice_gone(w, s, pkts[i]);
		else if (pkt->kind == PKT_INJECT)
			punt_inject(w, s, pkts[i]);
		else {
			rtcp[n_rtcp] = pkts[i];
			reporter[n_rtcp++] = s;
		}
	}
	stream_receive(w, rtp, n_rtp);
	for (unsigned i = 0; i < n_rtcp; i++) // after voice: reading what was received takes long
		feedback_input(w, reporter[i], rtcp[i]);
}

// A burst from a port: find each packet's session and its home.
static void receive(struct worker *w, struct rte_mbuf **pkts, unsigned n)
{
	struct flow flow[BURST];
	struct rte_mbuf *mine[BURST];
	unsigned n_mine = 0;

	n = classify(w, pkts, n);
	flow_find_burst(w->dp, pkts, n, flow);
	for (unsigned i = 0; i < n; i++) {
		struct pkt *pkt = pkt_of(pkts[i]);

		if (pkt->kind == PKT_STUN)
			flow[i] = ice_route(w, pkts[i], flow[i]);
		if (flow[i].sid == 0) {
			if (pkt->kind == PKT_STUN || pkt->kind == PKT_GONE)
				mbuf_done(pkts[i]); // ice_route has counted it; a notice
			else
				drop(w, pkts[i], DROP_NO_FLOW);
			continue;
		}
		pkt->sid = flow[i].sid;
		pkt->pair = flow[i].pair;
		if (flow[i].home == w->id) {
			mine[n_mine++] = pkts[i];
		} else {
			count(w, CTR_HANDOFF_PACKETS, 1);
			worker_hand_over(w, flow[i].home, pkts[i]);
		}
	}
	serve(w, mine, n_mine);
}

static unsigned poll_ports(struct worker *w)
{
	struct rte_mbuf *pkts[BURST];
	unsigned total = 0;

	for (unsigned i = 0; i < w->dp->n_ports; i++) {
		struct port *p = w->dp->port[i];
		unsigned n;

		if (w->n_skip[i] > 0) {
			w->n_skip[i]--;
			continue;
		}
		n = p->ops->rx(p, w->id, pkts, w->dp->rx_burst);
		w->n_skip[i] = w->may_skip && n > 0 &&
			       n < w->dp->rx_burst; // it was emptied: then sleep tells of more
		if (n == 0)
			continue;
		count(w, CTR_RX_BURSTS, 1);
		receive(w, pkts, n);
		total += n;
	}
	return total;
}

static unsigned drain_handoff(struct worker *w)
{
	struct rte_mbuf *pkts[BURST], *raw[BURST];
	unsigned total = 0;

	for (unsigned from = 0; from < w->dp->n_workers; from++) {
		for (unsigned k = 0; w->in[from] && k < HANDOFF_BURSTS; k++) {
			unsigned n = rte_ring_sc_dequeue_burst(w->in[from], (void **)pkts, BURST, NULL),
				 n_raw = 0;

			for (unsigned i = 0; i < n; i++) {
				if (pkt_of(pkts[i])->kind == PKT_FANOUT)
					fanout_arrive(w, pkts[i]);
				else
					raw[n_raw++] = pkts[i];
			}
			serve(w, raw, n_raw);
			total += n;
			if (n < BURST)
				break;
		}
	}
	return total;
}

// What a worker sleeps on: the ports by their number, and
enum { WOKEN_BY_WORKER = PORT_MAX, WOKEN_BY_PUNT };

// --- idle -------------------------------------------------------------------------------------------

static void measure_load(struct worker *w)
{
	uint8_t before = w->overload.stage;

	if (overload_measure(&w->overload, statseg_get(w->stats, CTR_CYCLES_BUSY),
			     statseg_get(w->stats, CTR_CYCLES_IDLE), w->now))
		count(w, CTR_OVERLOADS, w->overload.stage > before);
	statseg_set(w->stats, GAUGE_OVERLOAD, w->overload.stage);
	statseg_set(w->stats, GAUGE_FULL, w->overload.stage >= OVERLOAD_CAMERAS);
}

static void publish_stats(struct worker *w)
{
	for (unsigned i = 0; i < w->dp->n_ports; i++) {
		struct port_stats now = w->dp->port[i]->stats[w->id], *seen = &w->seen[i];

		count(w, CTR_RX_PACKETS, now.rx_packets - seen->rx_packets);
		count(w, CTR_RX_BYTES, now.rx_bytes - seen->rx_bytes);
		count(w, CTR_TX_PACKETS, now.tx_packets - seen->tx_packets);
		count(w, CTR_TX_BYTES, now.tx_bytes - seen->tx_bytes);
		count(w, DROP_TOO_BIG, now.rx_long - seen->rx_long);
		count(w, DROP_BAD_IP, now.rx_bad - seen->rx_bad);
		count(w, DROP_NO_MBUF, now.rx_nombuf - seen->rx_nombuf);
		count(w, DROP_TX_ERROR, now.tx_dropped - seen->tx_dropped);
		if (now.tx_dropped != seen->tx_dropped)
			overload_refused(&w->overload);
		*seen = now;
	}
	measure_load(w);
	statseg_set(w->stats, GAUGE_SESSIONS, w->n_sessions);
	statseg_set(w->stats, GAUGE_TRACKS, w->n_tracks);
	statseg_set(w->stats, GAUGE_LEGS, w->n_legs);
	w->stats_due = w->now + STATS_NS;
}

static bool rings_are_empty(const struct worker *w)
{
	for (unsigned i = 0; i < w->dp->n_workers; i++)
		if (w->in[i] && !ring_is_empty(w->in[i]))
			return false;
	return ring_is_empty(w->mail);
}

// Milliseconds until the next timer, -1 for none; rounded up, so that it has come when we wake. An overloaded worker looks
// whether it still is, also when everybody has left: it may be why nobody comes.
static int sleep_ms(const struct worker *w)
{
	ns_t next = wheel_next(&w->wheel);

	if (w->naps)
		return NAP_MS;
	if (w->overload.stage != OVERLOAD_NONE)
		next = RTE_MIN(next, w->stats_due);
	if (next == NS_NEVER)
		return -1;
	if (next <= w->now)
		return 1;
	return (int)RTE_MIN((next - w->now + NS_PER_MS - 1) / NS_PER_MS, INT64_C(60000));
}

static void tell_woken(struct worker *w, uint32_t what)
{
	if (what == WOKEN_BY_PUNT)
		punt_woken(w);
	if (what >= PORT_MAX)
		return;
	w->n_skip[what] = 0;
	if (w->dp->port[what]->ops->woken)
		w->dp->port[what]->ops->woken(w->dp->port[what], w->id);
}

// Ports that were not readable need no look in the round of what woke us, and in the one that finds nothing more to do.
static void wait_for_something(struct worker *w, int ms)
{
	struct epoll_event ev[4 + PORT_MAX];
	int n = epoll_wait(w->epoll_fd, ev, ARRAY_LEN(ev), ms);

	if (w->may_skip)
		memset(w->n_skip, 2, sizeof(w->n_skip));
	for (int i = 0; i < n; i++)
		tell_woken(w, ev[i].data.u32);
	count(w, CTR_SLEEPS, 1);
}

// Counters of a worker that wakes often are as fresh as those of one that does not sleep: publishing them at each sleep would
// touch a line of every port.
static void sleep_idle(struct worker *w)
{
	int ms = sleep_ms(w);

	if (ms < 0 || ms > STATS_NS / NS_PER_MS)
		publish_stats(w);
	atomic_store_explicit(&w->asleep, 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst); // the flag before the look; pairs with worker_wake
	if (rings_are_empty(w) && punt_may_sleep(w) &&
	    !atomic_load_explicit(&w->dp->stop, memory_order_relaxed)) {
		rte_rcu_qsbr_thread_offline(w->dp->qsbr, w->id);
		wait_for_something(w, ms);
		rte_rcu_qsbr_thread_online(w->dp->qsbr, w->id);
	}
	atomic_store_explicit(&w->beat, clock_now(), memory_order_relaxed);
	atomic_store_explicit(&w->asleep, 0,
			      memory_order_release); // the beat before awake; pairs with watchdog
}

// --- the loop ---------------------------------------------------------------------------------------

// Timers send the video that was paced, so they are served in slices too: the rest of them when voice had its turn.
static unsigned run_timers(struct worker *w)
{
	unsigned n, total = 0;

	w->n_paced = 0;
	do {
		n = wheel_advance(&w->wheel, w->now, TIMERS_AT_ONCE);
		total += n;
	} while (n == TIMERS_AT_ONCE && total < TIMERS_PER_ROUND && w->n_paced < VIEWER_SLICE);
	return total;
}

unsigned worker_round(struct worker *w, ns_t now)
{
	unsigned work;

	w->now = now;
	work = poll_ports(w);
	work += drain_handoff(w);
	work += mail_drain(w);
	work += punt_drain(w);
	work += run_timers(w);
	work += audience_serve(w); // after all that must not wait for video
	flush(w);
	rte_rcu_qsbr_quiescent(w->dp->qsbr, w->id);
	layer_bury(w);
	if (now >= w->stats_due)
		publish_stats(w);
	count(w, CTR_LOOPS, 1);
	return work;
}

int worker_run(void *arg)
{
	struct worker *w = arg;
	struct dp *dp = w->dp;
	uint64_t tsc = rte_rdtsc(), then;

	rte_rcu_qsbr_thread_register(dp->qsbr, w->id);
	rte_rcu_qsbr_thread_online(dp->qsbr, w->id);
	while (!atomic_load_explicit(&dp->stop, memory_order_relaxed)) {
		unsigned work = worker_round(w, clock_now());

		then = tsc;
		tsc = rte_rdtsc();
		count(w, work ? CTR_CYCLES_BUSY : CTR_CYCLES_IDLE, tsc - then);
		if (work > 0)
			w->worked_at = w->now;
		if (work == 0 && w->sleeps && w->now - w->worked_at >= w->linger_ns) {
			sleep_idle(w);
			then = tsc;
			tsc = rte_rdtsc();
			count(w, CTR_CYCLES_IDLE, tsc - then);
		} else {
			atomic_store_explicit(&w->beat, w->now, memory_order_relaxed);
			rte_pause();
		}
	}
	publish_stats(w);
	rte_rcu_qsbr_thread_offline(dp->qsbr, w->id);
	rte_rcu_qsbr_thread_unregister(dp->qsbr, w->id);
	atomic_store_explicit(&w->returned, true, memory_order_release); // pairs with dp_stop
	return 0;
}

// --- making -----------------------------------------------------------------------------------------

static int open_rings(struct worker *w)
{
	char name[RTE_RING_NAMESIZE];
	unsigned flags = RING_F_SP_ENQ | RING_F_SC_DEQ;

	snprintf(name, sizeof(name), "mail%u", w->id);
	w->mail = rte_ring_create_elem(name, sizeof(struct mail), MAIL_RING, SOCKET_ID_ANY, flags);
	snprintf(name, sizeof(name), "note%u", w->id);
	w->notes = rte_ring_create_elem(name, sizeof(struct note), NOTE_RING, SOCKET_ID_ANY, flags);
	for (unsigned i = 0; i < w->dp->n_workers; i++) {
		snprintf(name, sizeof(name), "hand%u_%u", i, w->id);
		if (i != w->id && !(w->in[i] = rte_ring_create(name, HANDOFF_RING, SOCKET_ID_ANY, flags)))
			return -ENOMEM;
	}
	return w->mail && w->notes ? 0 : -ENOMEM;
}

static int watch(struct worker *w, int fd, uint32_t what, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.u32 = what};

	return epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &ev);
}

static int open_sleep(struct worker *w)
{
	w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	w->doorbell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->punt_bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->epoll_fd < 0 || w->doorbell < 0 || w->punt_bell < 0 ||
	    watch(w, w->doorbell, WOKEN_BY_WORKER, EPOLLIN | EPOLLET) < 0 ||
	    watch(w, w->punt_bell, WOKEN_BY_PUNT, EPOLLIN | EPOLLET) < 0)
		return -errno;
	for (unsigned i = 0; i < w->dp->n_ports; i++) {
		struct port *p = w->dp->port[i];
		int fd = p->ops->wait_fd ? p->ops->wait_fd(p, w->id) : -1;

		if (fd < 0)
			w->naps = true;
		else if (watch(w, fd, i, EPOLLIN) < 0)
			return -errno;
	}
	w->may_skip = w->sleeps && !w->naps;
	return 0;
}

struct worker *worker_new(struct dp *dp, unsigned id, bool sleeps)
{
	struct worker *w = aligned_alloc(64, RTE_ALIGN_CEIL(sizeof(*w), 64));

	if (w == NULL)
		return err_null(ENOMEM);
	memset(w, 0, sizeof(*w));
	w->dp = dp;
	w->id = (uint16_t)id;
	w->sleeps = sleeps;
	w->linger_ns = (ns_t)dp->conf->dataplane.busy_poll_us * 1000;
	w->stale_ns = sleeps ? STALE_SLEEPING_NS : STALE_POLLING_NS;
	w->epoll_fd = w->doorbell = w->punt_bell = -1;
	w->stats = statseg_block(dp->statseg, id);
	w->ice = (struct icelite_env){.mac = {ice_hmac, w}, .random = ice_random, .arg = w};
	rand_bytes(w->random, sizeof(w->random));
	strangers_init(&w->strangers, rand_u32());
	layer_grave_init(&w->grave);
	overload_init(&w->overload, w->stale_ns);
	w->now = clock_now();
	wheel_init(&w->wheel, w->now);
	TAILQ_INIT(&w->audiences);
	atomic_store_explicit(&w->beat, w->now, memory_order_relaxed);
	w->seal = seal_engine_new(dp->conf->dataplane.seal);
	if (w->seal == NULL || open_rings(w) < 0 || open_sleep(w) < 0) {
		int err = errno ? errno : ENOMEM;
		worker_free(w);
		return err_null(err);
	}
	return w;
}

static void free_packets(struct rte_ring *ring)
{
	void *m;

	while (ring && rte_ring_sc_dequeue(ring, &m) == 0)
		mbuf_done(m);
	rte_ring_free(ring);
}

void worker_free(struct worker *w)
{
	if (w == NULL)
		return;
	for (unsigned i = 0; i < w->dp->n_workers; i++)
		free_packets(w->in[i]);
	rte_ring_free(w->mail);
	rte_ring_free(w->notes);
	if (w->seal)
		seal_engine_free(w->seal);
	if (w->epoll_fd >= 0)
		close(w->epoll_fd);
	if (w->doorbell >= 0)
		close(w->doorbell);
	if (w->punt_bell >= 0)
		close(w->punt_bell);
	free(w);
}
