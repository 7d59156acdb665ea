// A session that goes on after a restart of the control plane.
#include <errno.h>

#include "tests/support/controlplane/negotiate_talk.h"
#include "tests/unit/check.h"

static struct peer peer;

static void count_leg(void *arg, const struct negotiate_leg *l)
{
	((unsigned *)arg)[0]++;
}

static void count_upstream(void *arg, const struct negotiate_upstream *u)
{
	((unsigned *)arg)[1]++;
}

static void saved(void)
{
	struct talk *f = talk_joined(&peer);
	struct negotiate_transport t;
	unsigned n[2] = {};
	uint8_t buf[16384], ext[IPC_N_EXTS];
	int len;

	peer.polite = false;
	peer_add_audio(&peer);
	CHECK_EQ(talk_peer_offers(f, &peer), 0);
	for (unsigned i = 1; i <= 4; i++)
		CHECK_EQ(talk_want_voice(f, i), 0);
	talk_pass(f, NS_PER_S);
	CHECK_EQ(talk_peer_answers(f, &peer), 0);
	CHECK_EQ(talk_want_voice(f, 5), 0);
	talk_pass(f, NS_PER_S); // an offer is out when the process dies
	len = negotiate_save(f->n, buf, sizeof(buf));
	CHECK(len > 0 && (size_t)len <= negotiate_save_size(f->n));
	CHECK_EQ(negotiate_save(f->n, buf, (size_t)len - 1), -ENOSPC);
	len = negotiate_save(f->n, buf, sizeof(buf));
	negotiate_free(f->n);

	f->conf.fingerprint.hash[0] = 0xbb; // the new process has a new certificate
	f->n = negotiate_load(&f->conf, &talk_ops, f, buf, (size_t)len);
	CHECK_OR_RETURN(f->n != NULL);
	CHECK(negotiate_established(f->n));
	negotiate_each_leg(f->n, count_leg, n);
	negotiate_each_upstream(f->n, count_upstream, n);
	CHECK_EQ(n[0], 4);
	CHECK_EQ(n[1], 1);
	negotiate_extmap(f->n, ext);
	CHECK_MEM(ext, f->ext, IPC_N_EXTS);
	CHECK(negotiate_transport(f->n, &t) && str_eq(t.ufrag, str_of(peer.ufrag)) && t.has_data);
	for (unsigned i = 2; i <= 6; i++)
		CHECK_EQ(talk_want_voice(f, i), 0); // 1 left meanwhile, 5 and 6 are new
	negotiate_load_done(f->n, f->now);
	CHECK_EQ(f->n_leg_down, 1);
	CHECK(negotiate_lock(f->n, f->now)); // who asks does not hold it
	negotiate_unlock(f->n, f->now);

	CHECK_EQ(f->n_up, 3);
	negotiate_ready(f->n, true, f->now);
	talk_pass(f, NS_PER_S);
	CHECK(f->last_is_offer && talk_has(f, "a=fingerprint:sha-256 AA:00:"));
	CHECK_EQ(talk_peer_answers(f, &peer), 0);
	CHECK_EQ(f->n_up, 5);
	CHECK(talk_is_settled(f));
	talk_done(f, &peer);
}

static void saved_locked(void)
{
	struct talk *f = talk_joined(&peer);
	uint8_t buf[4096];
	int len;

	// The client got the lock from the process that died, and its offer is under way.
	CHECK(negotiate_lock(f->n, f->now));
	len = negotiate_save(f->n, buf, sizeof(buf));
	CHECK_OR_RETURN(len > 0);
	negotiate_free(f->n);
	f->n = negotiate_load(&f->conf, &talk_ops, f, buf, (size_t)len);
	CHECK_OR_RETURN(f->n != NULL);
	CHECK_EQ(talk_want_voice(f, 1), 0);
	negotiate_load_done(f->n, f->now);
	negotiate_ready(f->n, true, f->now);
	talk_pass(f, NS_PER_S);
	CHECK_EQ(f->n_offers, 0);
	peer_add_audio(&peer);
	CHECK_EQ(talk_peer_offers(f, &peer), 0);
	negotiate_unlock(f->n, f->now);
	CHECK_EQ(f->n_offers, 1);
	CHECK_EQ(talk_peer_answers(f, &peer), 0);
	CHECK_EQ(f->n_up, 1);
	talk_done(f, &peer);
}

static void saved_deaf(void)
{
	struct talk *f = talk_joined(&peer);
	uint8_t buf[16384];
	int len;

	CHECK_EQ(talk_want_voice(f, 1), 0);
	talk_pass(f, NS_PER_S);
	CHECK_EQ(talk_peer_answers(f, &peer), 0);
	len = negotiate_save(f->n, buf, sizeof(buf));
	negotiate_free(f->n);
	f->n = negotiate_load(&f->conf, &talk_ops, f, buf, (size_t)len);
	CHECK_OR_RETURN(f->n != NULL);
	negotiate_assume_answers(f->n);
	CHECK_EQ(talk_want_voice(f, 1), 0);
	negotiate_load_done(f->n, f->now);
	negotiate_ready(f->n, true, f->now);
	CHECK_EQ(talk_want_voice(f, 2), 0);
	CHECK_EQ(talk_want_voice(f, 3), 0);
	f->last_is_offer = false;
	talk_pass(f, 2 * NS_PER_S + NS_PER_S / 2);
	CHECK(f->last_is_offer);
	CHECK_EQ(f->n_up, 1);
	talk_pass(f, 2 * NS_PER_S);
	CHECK_EQ(f->n_up, 3);
	CHECK_EQ(f->n_leg_down, 0);
	CHECK(talk_is_settled(f));
	talk_unwant(f, 3);
	talk_pass(f, 3 * NS_PER_S);
	CHECK(talk_is_settled(f));
	talk_free(f);
}

static void saved_damaged(void)
{
	struct talk *f = talk_joined(&peer);
	uint8_t buf[4096];
	int len;

	CHECK_EQ(talk_want_voice(f, 1), 0);
	talk_pass(f, NS_PER_S);
	CHECK_EQ(talk_peer_answers(f, &peer), 0);
	len = negotiate_save(f->n, buf, sizeof(buf));
	CHECK_OR_RETURN(len > 0);
	for (size_t cut = 0; cut < (size_t)len; cut++) {
		errno = 0;
		CHECK(negotiate_load(&f->conf, &talk_ops, f, buf, cut) == NULL);
		CHECK_EQ(errno, EBADMSG);
	}
	buf[5]++;
	CHECK(negotiate_load(&f->conf, &talk_ops, f, buf, (size_t)len) == NULL);
	CHECK_EQ(errno, ENOTSUP);
	talk_done(f, &peer);
}

CU_TestInfo negotiate_save_tests[] = {
	{"a saved session goes on negotiating after a restart", saved},
	{"after a restart a client that holds the lock finishes first", saved_locked},
	{"after a restart offers to a client that answers on the dead data channel count as taken",
	 saved_deaf},
	{"a damaged saved form is refused", saved_damaged},
	CU_TEST_INFO_NULL,
};
