// Handshakes, data channels and what comes through them.
#include <stdlib.h>

#include "controlplane/session/signal/dcmsg.h"
#include "lib/base/err.h"
#include "tests/support/calls/client.h"
#include "tests/support/calls/fake_dp.h"
#include "tests/support/calls/fake_metrics.h"
#include "tests/support/calls/world.h"

static void no_channel(void)
{
	struct client *c;

	world_init();
	world->conf.rtc.dc_open_s = 1;
	CHECK(world_until(world_serves(), 2));
	c = client_new("a");
	client_join(c, "call1", true);
	CHECK(world_until(c->sid, 2));
	client_offer(c, 0, false);
	CHECK_EQ(c->n_answers, 1);
	CHECK(!world_until(c->n_closes > 0, 0.8));
	CHECK(world_until(c->n_closes == 1, 1));
	CHECK(*drop_count("no_data_channel") == 1);
	// one that opens in time stays
	struct client *d = client_connect("b", "call1", 0, true);
	world_for(1.3);
	CHECK_EQ(d->n_closes, 0);
	world_fini();
}

static void lock_rules(void)
{
	struct client *c[2];

	world_begin();
	c[0] = client_connect("alice", "call1", 1, true);
	c[1] = client_connect("bob", "call1", 2, true);
	client_dc(c[1], "\x08", 1, DCHAN_BINARY); // unlock without lock
	client_dc(c[1], "\x07", 1, DCHAN_BINARY);
	CHECK(world_until(c[1]->n_locks == 1, 2));
	CHECK(c[1]->lock_granted);
	client_dc(c[1], "\xcc\x07", 2, DCHAN_BINARY);
	CHECK(world_until(c[1]->n_locks == 2, 2));
	CHECK(!c[1]->lock_granted);
	dp_live(c[0]);
	CHECK(!world_until(c[1]->n_offers > 0, 0.5)); // the client holds it
	client_dc(c[1], "\x08", 1, DCHAN_BINARY);
	CHECK(world_until(c[1]->n_offers == 1, 2));
	client_dc(c[1], "\x07", 1, DCHAN_BINARY); // now the server holds it
	CHECK(world_until(c[1]->n_locks == 3, 2));
	CHECK(!c[1]->lock_granted);
	client_dc(c[1], "\x08", 1, DCHAN_BINARY); // not its to free
	client_dc(c[1], "\x07", 1, DCHAN_BINARY);
	CHECK(world_until(c[1]->n_locks == 4, 2));
	CHECK(!c[1]->lock_granted);
	client_answer(c[1]);
	CHECK(world_until(c[1]->n_legs_up == 1, 2));
	client_dc(c[1], "\x07", 1, DCHAN_BINARY);
	CHECK(world_until(c[1]->n_locks == 5, 2));
	CHECK(c[1]->lock_granted);
	world_fini();
}

static void lock_lease(void)
{
	struct client *c[2];

	world_init();
	world->conf.rtc.lock_lease_s = 1;
	hub_free(world->hub);
	world_hub();
	CHECK(world_until(world_serves(), 2));
	c[0] = client_connect("alice", "call1", 1, true);
	c[1] = client_connect("bob", "call1", 2, true);
	client_dc(c[1], "\x07", 1, DCHAN_BINARY);
	CHECK(world_until(c[1]->lock_granted, 2));
	dp_live(c[0]);
	CHECK(world_until(c[1]->n_offers == 1, 3));
	client_answer(c[1]);
	CHECK(world_until(c[1]->n_legs_up == 1, 2));
	world_fini();
}

static void hostile_messages(void)
{
	static const uint8_t bomb_head[] = {0x03, 0xc6};
	struct client *c;
	size_t size = 8 << 20;
	uint8_t *msg = malloc(200000);

	world_begin();
	c = client_connect("alice", "call1", 1, true);
	client_dc(c, "ping", 4, DCHAN_TEXT);
	client_dc(c, "ping", 4, DCHAN_BINARY);
	client_dc(c, "", 0, DCHAN_BINARY);
	client_dc(c, "", 0, DCHAN_TEXT);
	client_dc(c, "\x2a", 1, DCHAN_BINARY);
	client_dc(c, "\x05\xcb\x7f\xf8\0\0\0\0\0\0", 10, DCHAN_BINARY); // NaN
	client_dc(c, "\x03\xc6\xff\xff\xff\xff", 6, DCHAN_BINARY);
	memcpy(msg, bomb_head, 2);
	char *zeros = calloc(1, size);
	struct wbuf w = wbuf_of(msg, 200000);
	CHECK_EQ(dcmsg_write_sdp(&w, (struct str){zeros, size}), 0);
	client_dc(c, msg, wbuf_len(&w), DCHAN_BINARY);
	client_dc(c, "\x01", 1, DCHAN_BINARY);
	CHECK(world_until(c->n_pongs == 1, 5));
	CHECK_EQ(c->n_text_pongs, 2);
	CHECK_EQ(c->n_closes, 0);
	CHECK(*drop_count("dc_sdp_too_big") == 1);
	CHECK(*drop_count("dc_unknown") == 1);
	CHECK(*drop_count("dc_number") == 1);
	CHECK(world->sums[M_RTC_CLIENT_RTT] == 0);
	for (int i = 0; i < 1000; i++) {
		client_dc(c, "\x01", 1, DCHAN_BINARY);
		if (i % 50 == 0)
			CHECK(world_until(dchan_is_flushed(c->dchan), 2));
	}
	CHECK(world_until(*drop_count("dc_rate") > 500, 5));
	CHECK(c->n_pongs < 400);
	world_for(1.1);
	unsigned before = c->n_pongs;
	client_dc(c, "\x01", 1, DCHAN_BINARY);
	CHECK(world_until(c->n_pongs == before + 1, 2));
	CHECK_EQ(c->n_closes, 0);
	free(zeros);
	free(msg);
	world_fini();
}

static void channels(void)
{
	struct client *c;

	world_begin();
	c = client_connect("alice", "call1", 1, true);
	CHECK_EQ(dchan_open(c->dchan, 2, STR("other")), 0);
	world_for(0.1);
	CHECK_EQ(dchan_send(c->dchan, 2, DCHAN_BINARY, "\x01", 1), 0);
	CHECK(!world_until(c->n_pongs > 0, 0.2));
	client_dc(c, "\x01", 1, DCHAN_BINARY);
	CHECK(world_until(c->n_pongs == 1, 2));
	CHECK_EQ(dchan_open(c->dchan, 4, STR("calls-dc")), 0);
	CHECK_EQ(dchan_send(c->dchan, 4, DCHAN_BINARY, "\x01", 1), 0);
	CHECK(world_until(c->n_pongs == 2, 2));
	client_dc(c, "\x01", 1, DCHAN_BINARY); // superseded
	CHECK(!world_until(c->n_pongs > 2, 0.2));
	world_fini();
}

static void dtls_client(void)
{
	struct client *c;
	struct dtls_fingerprint fp;

	world_init();
	hub_free(world->hub);
	free(world->conf.rtc.dtls_role);
	world->conf.rtc.dtls_role = strdup("active");
	world_hub();
	CHECK(world_until(world_serves(), 2));
	c = client_new("alice");
	client_join(c, "call1", true);
	CHECK(world_until(c->sid, 2));
	client_offer(c, 1, false);
	CHECK(c->answer && strstr(c->answer, "a=setup:active"));
	fp = client_answer_fingerprint(c);
	c->dtls = dtls_new(world->dtls, DTLS_SERVER, &fp, &client_dtls_ops, c);
	dtls_start(c->dtls, loop_now(world->loop));
	world_for(0.05);
	CHECK_EQ(world->n_punts, 0); // not before there is a path
	dp_path(c);
	CHECK(world_until(c->has_channel && c->has_keys, 3));
	struct keys k;
	CHECK_EQ(dtls_export(c->dtls, &k), 0);
	CHECK_MEM(k.tx_key, c->keys.rx_key, 16);
	CHECK_MEM(k.rx_salt, c->keys.tx_salt, 12);
	world_fini();
}

static void wrong_certificate(void)
{
	struct client *c;
	struct dtls_ctx *other = dtls_ctx_new();
	struct dtls_fingerprint fp;

	world_begin();
	c = client_new("mallory");
	client_join(c, "call1", true);
	CHECK(world_until(c->sid, 2));
	client_offer(c, 1, false);
	fp = client_answer_fingerprint(c);
	c->dtls = dtls_new(other, DTLS_CLIENT, &fp, &client_dtls_ops, c);
	dtls_start(c->dtls, loop_now(world->loop));
	CHECK(world_until(c->n_closes == 1, 5));
	CHECK(!c->has_keys);
	CHECK(*drop_count("dtls_failed") == 1);
	world_fini();
	dtls_ctx_free(other);
}

static void half_open(void)
{
	struct client *c, *good;

	world_begin();
	good = client_connect("good", "call1", 1, true);
	c = client_new("half");
	client_join(c, "call2", true);
	CHECK(world_until(c->sid, 2));
	client_offer(c, 1, false);
	// 10,000 different ClientHellos on one session's path, none of which goes on
	for (int i = 0; i < 10000; i++) {
		struct dtls_fingerprint fp = client_answer_fingerprint(c);
		struct dtls *d = dtls_new(world->dtls, DTLS_CLIENT, &fp, &client_dtls_ops, c);
		dtls_start(d, loop_now(world->loop));
		dtls_free(d);
		if (i % 100 == 0)
			world_turn();
	}
	// and as many for sessions that do not exist
	for (int i = 0; i < 10000; i++) {
		dp_punt_to_cp(0x01000000u + 500 + (unsigned)i, (const uint8_t *)"\x16\xfe\xff", 3);
		if (i % 100 == 0)
			world_turn();
	}
	client_dc(good, "\x01", 1, DCHAN_BINARY);
	CHECK(world_until(good->n_pongs == 1, 2));
	CHECK_EQ(world_sessions(), 2);
	world_fini();
}

CU_TestInfo session_link_tests[] = {
	{"D60: a data channel that does not open in time ends the session", no_channel},
	{"D21: locks have an owner", lock_rules},
	{"D21: a lock that is never released expires", lock_lease},
	{"D17, D18, D19: hostile data-channel messages are dropped and counted", hostile_messages},
	{"D22: the first calls-dc serves until another one replaces it", channels},
	{"rtc.dtls_role active: the server begins the handshake on the first path", dtls_client},
	{"a certificate that SDP did not announce ends the session", wrong_certificate},
	{"10,000 half-open handshakes are bounded and disturb nobody", half_open},
	CU_TEST_INFO_NULL,
};
