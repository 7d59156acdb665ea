#include "dataplane/gate/punt.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/core/dp.h"
#include "dataplane/core/mailbox.h"
#include "dataplane/core/pkt_kind.h"
#include "dataplane/core/session.h"
#include "dataplane/gate/classify.h"
#include "dataplane/gate/ice.h"
#include "lib/base/err.h"
#include "lib/ipc/bell.h"
#include "lib/ipc/wire.h"

// Datagrams of a session: handshake flights and, after it, data channel traffic.
#define PUNT_PER_S 50
#define PUNT_BURST 60
#define DRAIN_BATCH 64 // frames per round, so that media have their turn
// A record that acknowledges and says nothing: 37 bytes of DTLS 1.2 with AES-GCM, SCTP header, SACK chunk without gaps.
#define ACK_BYTES (37 + 12 + 16)

static_assert(IPC_MAX_WORKERS == PORT_MAX_WORKERS);

// --- to the control plane -------------------------------------------------------------------------

// The peer broke the rules of a ring: main ends the connection, which takes both rings away.
static void give_up_ring(struct worker *w)
{
	struct note note = {.type = NOTE_PUNT_BROKEN, .punt = w->punt->punt};

	if (!w->punt->is_broken)
		w->punt->is_broken = note_post(w, &note);
}

static enum counter push_datagram(struct worker *w, const struct session *s, const struct rte_mbuf *m)
{
	struct punt_hdr hdr = {.sid = s->sid, .kind = PUNT_DTLS, .len = m->data_len};
	int err;

	if (w->punt == NULL)
		return DROP_PUNT_NO_PEER;
	err = pktring_push(&w->punt->to_cp, &hdr, sizeof(hdr), rte_pktmbuf_mtod(m, const void *),
			   m->data_len);
	if (err == -EBADMSG)
		give_up_ring(w);
	if (err < 0)
		return DROP_PUNT_FULL;
	w->punt->is_pushed = true;
	w->punt->is_urgent |= s->rx_key == NULL || m->data_len > ACK_BYTES;
	return CTR_NONE;
}

void punt_input(struct worker *w, struct session *s, struct rte_mbuf *m)
{
	enum counter why = DROP_PUNT_RATE;

	ASSERT_HOME(w, s);
	ASSERT_HOT(pkt_of(m)->pair < ICELITE_PAIRS);
	icelite_on_rx(&s->ice, pkt_of(m)->pair, m->data_len);
	if (s->rx_key == NULL)
		s->dtls_from = (uint8_t)(pkt_of(m)->pair + 1);
	if (bucket_take(&s->punt, w->now, PUNT_PER_S, PUNT_BURST))
		why = push_datagram(w, s, m);
	if (why != CTR_NONE) {
		drop(w, m, why);
		return;
	}
	count(w, CTR_PUNT_TX_PACKETS, 1);
	mbuf_done(m);
}

void punt_flush(struct worker *w)
{
	if (w->punt == NULL || !w->punt->is_pushed)
		return;
	if (w->punt->is_urgent)
		pktring_kick(&w->punt->to_cp);
	else
		pktring_nudge(&w->punt->to_cp);
	w->punt->is_pushed = w->punt->is_urgent = false;
}

// --- from the control plane -----------------------------------------------------------------------

void punt_inject(struct worker *w, struct session *s, struct rte_mbuf *m)
{
	// Where a client's path works one way only, the selected pair may be one on which it hears nothing.
	int pair = icelite_dtls_pair(&s->ice, s->rx_key == NULL ? s->dtls_from - 1 : -1);

	ASSERT_HOME(w, s);
	if (pair < 0 || s->send == SEND_NOT || !icelite_may_send_to(&s->ice, (unsigned)pair, m->data_len)) {
		drop(w, m, DROP_NO_PATH);
		return;
	}
	count(w, CTR_PUNT_RX_PACKETS, 1);
	if (s->dtls_to == 0)
		s->dtls_to = (uint8_t)(pair + 1);
	worker_send(w, &s->pair_path[pair], m);
}

// A frame in a buffer of its own, to the session's worker.
static void take_frame(struct worker *w, const struct punt_hdr *hdr, const uint8_t *data)
{
	struct session *s = session_anywhere(w, hdr->sid);
	struct rte_mbuf *m;

	if (s == NULL || (s->home == w->id && s->dead)) {
		count(w, DROP_PUNT_BAD_FRAME, 1);
		return;
	}
	m = worker_packet(w, data, hdr->len);
	if (m == NULL)
		return;
	pkt_of(m)->sid = hdr->sid;
	pkt_of(m)->kind = PKT_INJECT;
	if (s->home == w->id)
		punt_inject(w, s, m);
	else
		worker_hand_over(w, s->home, m);
}

unsigned punt_drain(struct worker *w)
{
	uint8_t frame[PKTRING_MAX_FRAME];
	struct punt_hdr hdr;
	unsigned n = 0;
	int len = -EAGAIN;

	if (w->punt == NULL)
		return 0;
	while (n < DRAIN_BATCH && (len = pktring_pop(&w->punt->to_dp, frame, sizeof(frame))) >= 0) {
		n++;
		memcpy(&hdr, frame, RTE_MIN(sizeof(hdr), (size_t)len));
		if ((size_t)len > sizeof(hdr) && hdr.kind == PUNT_DTLS && hdr.len <= PORT_MAX_PAYLOAD &&
		    hdr.len == (size_t)len - sizeof(hdr))
			take_frame(w, &hdr, frame + sizeof(hdr));
		else
			count(w, DROP_PUNT_BAD_FRAME, 1);
	}
	if (len == -EBADMSG)
		give_up_ring(w);
	return n;
}

bool punt_may_sleep(struct worker *w)
{
	if (w->punt == NULL || w->punt->has_announced)
		return true;
	return w->punt->has_announced = pktring_sleep(&w->punt->to_dp);
}

void punt_woken(struct worker *w)
{
	bell_hush(w->punt_bell);
	if (w->punt == NULL) // the bell of one that is gone
		return;
	pktring_awake(&w->punt->to_dp);
	w->punt->has_announced = false;
}

// --- on main --------------------------------------------------------------------------------------

static void give_rings(struct dp *dp, struct punt *p)
{
	struct mail mail = {.type = MAIL_PUNT};

	for (unsigned i = 0; i < dp->n_workers; i++) {
		mail.punt = p ? &p->end[i] : NULL;
		mail_post(dp->worker[i], &mail);
	}
}

static int open_rings(struct punt *p, struct dp *dp)
{
	unsigned n = N_PUNT_RINGS(dp->n_workers);
	int err;

	p->memfd = pktring_create(PUNT_RING_BYTES, n);
	p->to_cp = bell_new();
	if (p->memfd < 0 || p->to_cp < 0)
		return p->memfd < 0 ? p->memfd : p->to_cp;
	err = pktring_map(&p->mem, p->memfd, PUNT_RING_BYTES, n);
	if (err == 0)
		pktring_prefault(&p->mem);
	for (unsigned i = 0; err == 0 && i < dp->n_workers; i++) {
		p->end[i].punt = p;
		pktring_tx_init(&p->end[i].to_cp, &p->mem, PUNT_RING_TO_CP(i), p->to_cp);
		pktring_rx_init(&p->end[i].to_dp, &p->mem, PUNT_RING_TO_DP(i), dp->worker[i]->punt_bell);
	}
	return err;
}

static void punt_free(struct punt *p)
{
	pktring_unmap(&p->mem);
	if (p->memfd >= 0)
		close(p->memfd);
	if (p->to_cp >= 0)
		close(p->to_cp);
	free(p);
}

struct punt *punt_open(struct dp *dp)
{
	struct punt *p = aligned_alloc(64, RTE_ALIGN_CEIL(sizeof(*p), 64));
	int err;

	if (p == NULL)
		return err_null(ENOMEM);
	memset(p, 0, sizeof(*p));
	p->memfd = p->to_cp = -1;
	err = open_rings(p, dp);
	if (err < 0) {
		punt_free(p);
		return err_null(-err);
	}
	give_rings(dp, p);
	return p;
}

void punt_close(struct dp *dp, struct punt *p)
{
	if (p == NULL)
		return;
	give_rings(dp, NULL);
	for (unsigned i = 0; i < dp->n_workers; i++)
		mail_wait(dp->worker[i]);
	punt_free(p);
}
