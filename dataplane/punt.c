#include "dataplane/punt.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "dataplane/ice.h"
#include "dataplane/mailbox.h"
#include "dataplane/session.h"
#include "dataplane/worker.h"

// Datagrams of a session: handshake flights and, after it, data channel traffic (media-plane 1.10).
#define PUNT_PER_S 50
#define PUNT_BURST 60
#define POP_BATCH 256 // frames per look, so that commands and events are not held up

// --- on workers -----------------------------------------------------------------------------------

void punt_input(struct worker *w, struct session *s, struct rte_mbuf *m)
{
	struct note note = {.type = NOTE_PUNT, .sid = s->sid, .punt = m};

	icelite_on_rx(&s->ice, pkt_of(m)->pair, m->data_len);
	if (s->rx_key == NULL)
		s->dtls_from = (uint8_t)(pkt_of(m)->pair + 1);
	if (!bucket_take(&s->punt, w->now, PUNT_PER_S, PUNT_BURST))
		drop(w, m, DROP_PUNT_RATE);
	else if (rte_ring_free_count(w->notes) < NOTE_RING / 4 || !note_post(w, &note)) // events come first
		drop(w, m, DROP_PUNT_FULL);
	else
		count(w, CTR_PUNT_TX_PACKETS, 1);
}

static int pair_of_addr(const struct session *s, const struct ipc_addr *to)
{
	for (int i = 0; i < ICELITE_PAIRS; i++) {
		const struct flow_key *key = &s->pair_path[i].key;
		if (key->family == to->family && key->remote_port == to->port && key->conn == to->conn &&
		    memcmp(key->remote, to->ip, key->family == 4 ? 4 : 16) == 0)
			return i;
	}
	return -1;
}

void punt_inject(struct worker *w, struct session *s, struct rte_mbuf *m, const struct ipc_addr *to)
{
	int pair = to->family ? pair_of_addr(s, to) : s->ice.selected;
	bool ok =
		pair >= 0 && s->send != SEND_NOT && icelite_may_send_to(&s->ice, (unsigned)pair, m->data_len);

	if (!ok) {
		drop(w, m, DROP_NO_PATH);
		return;
	}
	count(w, CTR_PUNT_RX_PACKETS, 1);
	if (s->dtls_to == 0)
		s->dtls_to = (uint8_t)(pair + 1);
	worker_send(w, &s->pair_path[pair], m);
}

// --- on main --------------------------------------------------------------------------------------

static void main_count(struct dp *dp, enum counter id)
{
	statseg_add(statseg_block(dp->statseg, dp->n_workers), id, 1);
}

int punt_open(struct punt *p)
{
	int err;

	*p = (struct punt){.memfd = pktring_create(PUNT_RING_BYTES, N_PUNT_RINGS),
			   .to_cp = pktring_doorbell(),
			   .to_dp = pktring_doorbell()};
	err = p->memfd < 0 ? p->memfd : p->to_cp < 0 ? p->to_cp : p->to_dp < 0 ? p->to_dp : 0;
	if (err == 0)
		err = pktring_map(&p->mem, p->memfd, PUNT_RING_BYTES, N_PUNT_RINGS);
	if (err < 0) {
		punt_close(p);
		return err;
	}
	pktring_tx_init(&p->tx, &p->mem, PUNT_RING_TO_CP, p->to_cp);
	pktring_rx_init(&p->rx, &p->mem, PUNT_RING_TO_DP, p->to_dp);
	return 0;
}

void punt_close(struct punt *p)
{
	int fds[] = {p->memfd, p->to_cp, p->to_dp};

	pktring_unmap(&p->mem);
	for (unsigned i = 0; i < 3; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	*p = (struct punt){.memfd = -1, .to_cp = -1, .to_dp = -1};
}

void addr_of_key(struct ipc_addr *remote, struct ipc_addr *local, const struct flow_key *key)
{
	uint8_t proto = key->conn ? 6 : 17;

	*remote = (struct ipc_addr){
		.family = key->family, .proto = proto, .port = key->remote_port, .conn = key->conn};
	*local = (struct ipc_addr){
		.family = key->family, .proto = proto, .port = key->local_port, .conn = key->conn};
	memcpy(remote->ip, key->remote, sizeof(remote->ip));
	memcpy(local->ip, key->local, sizeof(local->ip));
}

void punt_out(struct dp *dp, struct punt *p, uint32_t sid, struct rte_mbuf *m)
{
	struct punt_hdr hdr = {.sid = sid, .kind = PUNT_DTLS, .len = m->data_len};
	struct ipc_addr local;

	if (p == NULL) {
		main_count(dp, DROP_PUNT_NO_PEER);
	} else {
		addr_of_key(&hdr.addr, &local, &pkt_of(m)->key);
		if (pktring_push(&p->tx, &hdr, sizeof(hdr), rte_pktmbuf_mtod(m, const void *), m->data_len) <
		    0)
			main_count(dp, DROP_PUNT_FULL);
	}
	rte_pktmbuf_free(m);
}

// One frame of the control plane to its session's worker; false when it is not a valid one.
static bool mail_frame(struct dp *dp, const uint8_t *frame, size_t len)
{
	struct mail mail = {.type = MAIL_INJECT};
	struct punt_hdr hdr;
	uint32_t slot;

	if (len < sizeof(hdr))
		return false;
	memcpy(&hdr, frame, sizeof(hdr));
	slot = hdr.sid & 0xffffff;
	if (hdr.kind != PUNT_DTLS || hdr.len == 0 || hdr.len > PORT_MAX_PAYLOAD ||
	    hdr.len != len - sizeof(hdr) || slot >= dp->max_sessions)
		return false;
	mail.session = atomic_load_explicit(&dp->session[slot], memory_order_relaxed); // main wrote it
	if (mail.session == NULL || mail.session->sid != hdr.sid)
		return false;
	mail.inject.m = rte_pktmbuf_alloc(dp->tx_pool);
	if (mail.inject.m == NULL) {
		main_count(dp, DROP_NO_MBUF);
		return true;
	}
	pkt_of(mail.inject.m)->class = CLASS_CONTROL;
	memcpy(rte_pktmbuf_append(mail.inject.m, hdr.len), frame + sizeof(hdr), hdr.len);
	mail.inject.to = hdr.addr;
	mail_post(dp->worker[mail.session->home], &mail);
	return true;
}

int punt_in(struct dp *dp, struct punt *p)
{
	uint8_t frame[PKTRING_MAX_FRAME];

	for (unsigned i = 0; i < POP_BATCH; i++) {
		int len = pktring_pop(&p->rx, frame, sizeof(frame));
		if (len == -EAGAIN)
			return 0;
		if (len < 0)
			return len;
		if (!mail_frame(dp, frame, (size_t)len))
			main_count(dp, DROP_PUNT_BAD_FRAME);
	}
	return 0;
}
