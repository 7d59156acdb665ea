#include "dataplane/worker/worker_stats.h"

#include "dataplane/core/dp.h"

static void measure_load(struct worker *w)
{
	uint8_t before = w->overload.stage;

	if (overload_measure(&w->overload, statseg_get(w->stats, CTR_CYCLES_BUSY),
			     statseg_get(w->stats, CTR_CYCLES_IDLE), w->now))
		count(w, CTR_OVERLOADS, w->overload.stage > before);
	statseg_set(w->stats, GAUGE_OVERLOAD, w->overload.stage);
	statseg_set(w->stats, GAUGE_FULL, w->overload.stage >= OVERLOAD_CAMERAS);
}

void worker_stats_publish(struct worker *w)
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
	statseg_set(w->stats, GAUGE_PARKED, w->parking.n);
	w->stats_due = w->now + WORKER_STATS_NS;
}
