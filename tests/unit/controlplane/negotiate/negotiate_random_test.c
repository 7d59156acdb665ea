// Random calls over a wire that loses descriptions: they end with what was wanted.
#include <errno.h>
#include <stdlib.h>

#include "tests/support/controlplane/negotiate_talk.h"
#include "tests/unit/check.h"

static struct peer peer;

enum msg_type { MSG_OFFER, MSG_ANSWER, MSG_LOCK, MSG_UNLOCK, MSG_GRANT, MSG_REFUSE };

struct msg {
	enum msg_type type;
	ns_t at;
	char *text;
	size_t len;
};

// Two ordered queues between a session and a peer.
struct wire {
	struct msg up[512], down[512]; // up: from the peer
	unsigned up_head, up_tail, down_head, down_tail;
};

struct match {
	struct talk *f;
	struct peer *p;
	struct wire wire;
	unsigned n_sent_seen, n_mics, loss; // loss in percent, of descriptions
	ns_t lock_retry, lock_giveup;
	bool wanted[64];
};

static void wire_post(struct msg *q, unsigned *tail, enum msg_type type, ns_t at, const char *text,
		      size_t len)
{
	struct msg *m = &q[(*tail)++ % 512];

	*m = (struct msg){type, at, text ? malloc(len + 1) : NULL, len};
	if (text) {
		memcpy(m->text, text, len);
		m->text[len] = '\0';
	}
}

static void match_to_server(struct match *w, enum msg_type type, const char *text, size_t len)
{
	ns_t at = w->f->now + (5 + rand() % 60) * NS_PER_MS;
	struct wire *l = &w->wire;

	// Pion has no way back from an offer of its own: its descriptions travel on a channel that loses none.
	if (text && type == MSG_ANSWER && (unsigned)rand() % 100 < w->loss)
		return;
	if (text && type == MSG_OFFER && w->p->polite && w->p->n_answered > 0 &&
	    (unsigned)rand() % 100 < w->loss)
		return;
	if (l->up_tail != l->up_head && l->up[(l->up_tail - 1) % 512].at > at)
		at = l->up[(l->up_tail - 1) % 512].at;
	wire_post(l->up, &l->up_tail, type, at, text, len);
}

static void match_to_peer(struct match *w, enum msg_type type, const char *text, size_t len)
{
	ns_t at = w->f->now + (5 + rand() % 60) * NS_PER_MS;
	struct wire *l = &w->wire;

	if (text && (type == MSG_OFFER || w->p->polite) && w->p->n_answered > 0 &&
	    (unsigned)rand() % 100 < w->loss)
		return;
	if (l->down_tail != l->down_head && l->down[(l->down_tail - 1) % 512].at > at)
		at = l->down[(l->down_tail - 1) % 512].at;
	wire_post(l->down, &l->down_tail, type, at, text, len);
}

// What the session has sent since the last look goes into the link.
static void match_collect(struct match *w)
{
	if (w->f->n_sent == w->n_sent_seen)
		return;
	if (w->f->n_sent != w->n_sent_seen + 1)
		peer_bad(w->p, "two descriptions in one turn");
	w->n_sent_seen = w->f->n_sent;
	match_to_peer(w, w->f->last_is_offer ? MSG_OFFER : MSG_ANSWER, w->f->text, w->f->text_len);
}

static void match_server(struct match *w, struct msg *m)
{
	struct talk *f = w->f;
	const char *why;
	int rc;

	switch (m->type) {
	case MSG_OFFER:
		rc = negotiate_remote_offer(f->n, (struct str){m->text, m->len}, f->now, &why);
		if (rc < 0 && rc != -EBUSY)
			peer_bad(w->p, "offer refused: %s", why);
		if (rc == -EBUSY && w->p->locks)
			peer_bad(w->p, "a locked offer was ignored");
		break;
	case MSG_ANSWER:
		rc = negotiate_remote_answer(f->n, (struct str){m->text, m->len}, f->now, &why);
		if (rc < 0 && rc != -EALREADY && rc != -ESTALE)
			peer_bad(w->p, "answer refused: %s", why);
		break;
	case MSG_LOCK:
		match_to_peer(w, negotiate_lock(f->n, f->now) ? MSG_GRANT : MSG_REFUSE, NULL, 0);
		break;
	default:
		negotiate_unlock(f->n, f->now);
	}
	match_collect(w);
}

static void peer_sync_mics(struct match *w)
{
	unsigned sends = 0;

	for (unsigned i = 0; i < w->p->n_lines; i++)
		sends += w->p->lines[i].kind == SDP_AUDIO && w->p->lines[i].sends;
	for (; sends < w->n_mics; sends++)
		peer_add_audio(w->p);
	for (; sends > w->n_mics; sends--)
		peer_remove_audio(w->p);
}

static void peer_send_offer(struct match *w)
{
	static char buf[PEER_TEXT];
	struct wbuf o = wbuf_of(buf, sizeof(buf));

	peer_sync_mics(w);
	w->p->offering = true;
	w->p->need_offer = false;
	peer_write(w->p, &o, NULL);
	match_to_server(w, MSG_OFFER, buf, wbuf_len(&o));
}

static void match_peer(struct match *w, struct msg *m)
{
	static char buf[PEER_TEXT];
	struct wbuf a = wbuf_of(buf, sizeof(buf));
	struct peer *p = w->p;
	bool first = p->n_answered == 0;

	switch (m->type) {
	case MSG_OFFER:
		if (peer_on_offer(p, (struct str){m->text, m->len}, &a))
			match_to_server(w, MSG_ANSWER, buf, wbuf_len(&a));
		if (p->need_offer && !p->wants_lock) // rolled back: again, with the lock
			w->lock_retry = w->f->now;
		break;
	case MSG_ANSWER:
		peer_on_answer(p, (struct str){m->text, m->len});
		if (!first && !p->offering) {
			p->has_lock = false;
			match_to_server(w, MSG_UNLOCK, NULL, 0);
		}
		if (first)
			negotiate_ready(w->f->n, true, w->f->now);
		break;
	case MSG_GRANT:
		p->wants_lock = false;
		p->has_lock = true;
		if (p->offering)
			break;
		if (rand() % 20 == 0) { // found nothing to do: the lock leaks
			p->has_lock = false;
			w->lock_retry = w->f->now + NS_PER_S;
			break;
		}
		peer_send_offer(w);
		break;
	default:
		w->lock_retry = w->f->now + 100 * NS_PER_MS;
	}
}

static void match_peer_acts(struct match *w)
{
	struct peer *p = w->p;

	if (!p->need_offer || p->offering)
		return;
	if (!p->locks || p->n_answered == 0) {
		peer_send_offer(w);
		return;
	}
	if (w->f->now >= w->lock_retry) {
		w->lock_retry = NS_NEVER;
		p->wants_lock = true;
		match_to_server(w, MSG_LOCK, NULL, 0);
		w->lock_giveup = w->f->now + 5 * NS_PER_S;
	} else if (p->wants_lock && w->f->now >= w->lock_giveup) {
		p->wants_lock = false;
		w->lock_retry = w->f->now + NS_PER_S;
	}
}

static void match_step(struct match *w)
{
	struct wire *l = &w->wire;

	w->f->now += 10 * NS_PER_MS;
	while (l->up_head != l->up_tail && l->up[l->up_head % 512].at <= w->f->now) {
		struct msg m = l->up[l->up_head++ % 512];
		match_server(w, &m);
		free(m.text);
	}
	while (l->down_head != l->down_tail && l->down[l->down_head % 512].at <= w->f->now) {
		struct msg m = l->down[l->down_head++ % 512];
		match_peer(w, &m);
		free(m.text);
	}
	if (negotiate_next_due(w->f->n) <= w->f->now) {
		negotiate_tick(w->f->n, w->f->now);
		match_collect(w);
	}
	match_peer_acts(w);
}

static void match_shake(struct match *w, unsigned i)
{
	unsigned sid = 1 + (unsigned)rand() % 40;

	if (rand() % 12 == 0) {
		if (w->wanted[sid])
			talk_unwant(w->f, sid);
		else
			CHECK_EQ(talk_want_voice(w->f, sid), 0);
		w->wanted[sid] = !w->wanted[sid];
	}
	if (rand() % 150 == 0) {
		w->n_mics = (unsigned)rand() % 3;
		w->p->need_offer = true;
		if (w->lock_retry == NS_NEVER && !w->p->wants_lock)
			w->lock_retry = 0;
	}
}

static void count_upstream(void *arg, const struct negotiate_upstream *u)
{
	((unsigned *)arg)[1]++;
}

// Every wanted track is up, is on exactly one line of the peer's under the same SSRC, and nothing else is.
static void match_compare(struct match *w)
{
	unsigned n_wanted = 0, n_heard = 0, n_active = 0;
	char track[64];

	for (unsigned sid = 1; sid < 64; sid++)
		n_wanted += w->wanted[sid];
	CHECK_EQ(w->f->n_up, n_wanted);
	for (unsigned i = 0; i < w->p->n_lines; i++)
		n_heard += w->p->lines[i].ssrc != 0;
	CHECK_EQ(n_heard, n_wanted);
	for (unsigned i = 0; i < w->f->n_up; i++) {
		bool found = false;
		snprintf(track, sizeof(track), "voice_sender%u_abcd1234", w->f->up[i].key.sid);
		CHECK(w->wanted[w->f->up[i].key.sid]);
		for (unsigned k = 0; k < w->p->n_lines; k++)
			found |= w->p->lines[k].ssrc == w->f->up[i].ssrc &&
				 strcmp(w->p->lines[k].mid, w->f->up_mid[i]) == 0 &&
				 strcmp(w->p->lines[k].track, track) == 0;
		CHECK(found);
	}
	negotiate_each_upstream(w->f->n, count_upstream, (unsigned[]){0, 0});
	for (unsigned i = 0; i < w->p->n_lines; i++)
		n_active += w->p->lines[i].kind == SDP_AUDIO && w->p->lines[i].sends;
	unsigned n[2] = {};
	negotiate_each_upstream(w->f->n, count_upstream, n);
	if (!w->p->offering) // else its last offer or our answer was lost, and it has no time-out of its own
		CHECK_EQ(n[1], n_active);
}

static void match_save_and_load(struct match *w)
{
	uint8_t *buf = malloc(65536);
	int len = negotiate_save(w->f->n, buf, 65536);

	negotiate_free(w->f->n);
	w->f->n = negotiate_load(&w->f->conf, &talk_ops, w->f, buf, len > 0 ? (size_t)len : 0);
	free(buf);
	if (w->f->n == NULL)
		abort();
	for (unsigned sid = 1; sid < 64; sid++)
		if (w->wanted[sid])
			CHECK_EQ(talk_want_voice(w->f, sid), 0);
	negotiate_load_done(w->f->n, w->f->now);
	negotiate_ready(w->f->n, true, w->f->now);
}

static void rounds(bool polite, bool locks, unsigned n_rounds, bool restarts)
{
	for (unsigned round = 0; round < n_rounds; round++) {
		struct match *w = calloc(1, sizeof(*w));
		unsigned steps = 0;

		srand(round * 7 + polite * 2 + locks);
		rand_seed(round + 1);
		peer_init(&peer, polite, locks);
		w->p = &peer;
		w->f = talk_new();
		w->loss = restarts ? 0 : (unsigned)rand() % 4 * 8;
		for (unsigned i = 0; i < 3000; i++) {
			match_shake(w, i);
			match_step(w);
			if (restarts && peer.n_answered > 0 && i % 700 == 699)
				match_save_and_load(w);
		}
		w->loss = 0;
		do // calm: until both are done, with room for a lease and time-outs
			match_step(w);
		while (++steps < 12000 &&
		       (steps < 3000 || !talk_is_settled(w->f) || peer.offering || peer.need_offer));
		match_compare(w);
		if (peer.n_bad)
			check_note(__FILE__, __LINE__, "round %u (loss %u): %s", round, w->loss, peer.why);
		CHECK_EQ(peer.n_bad, 0);
		CHECK_EQ(w->f->n_bad, 0);
		CHECK_EQ(peer.n_lost, 0); // no offer of ours met one of a peer that cannot roll back
		CHECK(talk_stats(w->f).offers_out > 0);
		for (; w->wire.up_head != w->wire.up_tail; w->wire.up_head++)
			free(w->wire.up[w->wire.up_head % 512].text);
		for (; w->wire.down_head != w->wire.down_tail; w->wire.down_head++)
			free(w->wire.down[w->wire.down_head % 512].text);
		talk_free(w->f);
		free(w);
	}
	rand_seed(0);
}

static void rounds_browser(void)
{
	rounds(true, true, 60, false);
}

static void rounds_browser_unlocked(void)
{
	rounds(true, false, 60, false);
}

static void rounds_pion(void)
{
	rounds(false, true, 60, false);
}

static void rounds_restarts(void)
{
	rounds(true, true, 20, true);
	rounds(false, true, 20, true);
}

CU_TestInfo negotiate_random_tests[] = {
	{"D24 D25 D26: 60 random calls of a browser that locks, with losses, end as wanted", rounds_browser},
	{"D24 D25 D26: 60 random calls of a browser that does not lock, with losses, end as wanted",
	 rounds_browser_unlocked},
	{"D21 D24 D26: 60 random calls of Pion, which cannot roll back, end as wanted", rounds_pion},
	{"40 random calls go on through restarts of the control plane", rounds_restarts},
	CU_TEST_INFO_NULL,
};
