// One worker: passes over bursts, in one loop. Reading worker_run is reading the design.
#include "dataplane/worker/worker.h"

#include <string.h>

#include <rte_pause.h>

#include "dataplane/core/dp.h"
#include "dataplane/core/mailbox.h"
#include "dataplane/core/payload.h"
#include "dataplane/core/pkt_kind.h"
#include "dataplane/core/session.h"
#include "dataplane/deliver/route.h"
#include "dataplane/deliver/viewer.h"
#include "dataplane/gate/classify.h"
#include "dataplane/gate/flow.h"
#include "dataplane/gate/ice.h"
#include "dataplane/gate/punt.h"
#include "dataplane/worker/feedback.h"
#include "dataplane/worker/mail.h"
#include "dataplane/worker/receive.h"
#include "dataplane/worker/sleep.h"
#include "dataplane/worker/worker_stats.h"

#define HANDOFF_BURSTS 4 // per ring and round
#define TIMERS_PER_ROUND 64
#define TIMERS_AT_ONCE 8 // then it is looked how much they sent

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
static void serve_burst(struct worker *w, struct rte_mbuf **pkts, unsigned n)
{
	struct rte_mbuf *rtp[BURST], *rtcp[BURST];
	struct session *reporter[BURST];
	unsigned n_rtp = 0, n_rtcp = 0;

	ASSERT_HOT(n <= BURST);
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
	receive_rtp(w, rtp, n_rtp);
	for (unsigned i = 0; i < n_rtcp; i++) // after voice: reading what was received takes long
		feedback_input(w, reporter[i], rtcp[i]);
}

// A burst from a port: find each packet's session and its home.
static void receive_burst(struct worker *w, struct rte_mbuf **pkts, unsigned n)
{
	struct flow flow[BURST];
	struct rte_mbuf *mine[BURST];
	unsigned n_mine = 0;

	ASSERT_HOT(n <= BURST);
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
	serve_burst(w, mine, n_mine);
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
		receive_burst(w, pkts, n);
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
					route_arrived(w, pkts[i]);
				else
					raw[n_raw++] = pkts[i];
			}
			serve_burst(w, raw, n_raw);
			total += n;
			if (n < BURST)
				break;
		}
	}
	return total;
}

// --- the loop ---------------------------------------------------------------------------------------

// End of a round: everything queued goes out, so nothing borrowed is held across a grace period.
static void end_round(struct worker *w)
{
	worker_send_queued(w);
	worker_send_handed(w);
	note_flush(w);
	punt_flush(w);
}

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
	end_round(w);
	rte_rcu_qsbr_quiescent(w->dp->qsbr, w->id);
	payload_reclaim(w);
	if (now >= w->stats_due)
		worker_stats_publish(w);
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
	worker_stats_publish(w);
	rte_rcu_qsbr_thread_offline(dp->qsbr, w->id);
	rte_rcu_qsbr_thread_unregister(dp->qsbr, w->id);
	atomic_store_explicit(&w->returned, true, memory_order_release); // pairs with dp_stop
	return 0;
}
