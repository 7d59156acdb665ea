#include "dataplane/gate/classify.h"

#include "dataplane/core/dp.h"
#include "dataplane/core/pkt_kind.h"
#include "lib/rtc/wire/demux.h"

// Kind of a payload, or the reason to drop it.
static bool kind_of(const uint8_t *p, size_t len, uint8_t *kind, enum counter *why)
{
	switch (demux_classify(p, len)) {
	case DEMUX_STUN:
		*kind = PKT_STUN;
		return true;
	case DEMUX_DTLS:
		*kind = PKT_DTLS;
		return true;
	case DEMUX_RTP:
		*kind = PKT_RTP;
		return true;
	case DEMUX_RTCP:
		*kind = PKT_RTCP;
		return true;
	case DEMUX_SHORT:
		*why = DROP_TOO_SHORT;
		return false;
	case DEMUX_BAD:
		*why = p[0] <= 3 ? DROP_STUN_MALFORMED : DROP_BAD_DTLS;
		return false;
	case DEMUX_TURN:
	case DEMUX_UNKNOWN:
		break;
	}
	*why = DROP_UNKNOWN_FIRST_BYTE;
	return false;
}

unsigned classify(struct worker *w, struct rte_mbuf **pkts, unsigned n)
{
	unsigned n_left = 0;

	ASSERT_HOT(n <= BURST);
	for (unsigned i = 0; i < n; i++) {
		struct rte_mbuf *m = pkts[i];
		struct pkt *pkt = pkt_of(m);
		enum counter why;

		pkt->arrival = w->now;
		pkt->sid = 0;
		if (m->data_len == 0) {
			pkt->kind = PKT_GONE;
			pkts[n_left++] = m;
		} else if (kind_of(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, &pkt->kind, &why))
			pkts[n_left++] = m;
		else
			drop(w, m, why);
	}
	return n_left;
}
