#include "lib/peer/selftest.h"

#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/peer/dchan.h"

#define QUEUE 32   // datagrams under way; the handshake has flights of a handful
#define STEPS 1000 // then it goes in circles

struct test;

struct end {
	struct test *test;
	struct end *other;
	struct dtls *dtls;   // owned
	struct dchan *dchan; // owned
};

struct test {
	struct end client, server;
	const char *step; // that is awaited
	bool is_done;
	unsigned first, n;
	struct {
		struct end *to;
		size_t len;
		uint8_t data[DTLS_MAX_DATAGRAM];
	} queue[QUEUE];
};

// --- data channel ------------------------------------------------------------------------------
static void on_packet(void *arg, const uint8_t *packet, size_t len)
{
	struct end *e = arg;

	(void)!dtls_send(e->dtls, packet, len); // lost: the step is not reached
}

static void on_channel_up(void *arg)
{
	struct end *e = arg;

	if (e == &e->test->client)
		(void)!dchan_open(e->dchan, 0, STR("selftest"));
}

static void on_channel_open(void *arg, uint16_t stream, struct str label, struct str protocol)
{
	struct end *e = arg;

	e->test->step = "no message on the data channel";
	if (e == &e->test->client)
		(void)!dchan_send(e->dchan, stream, DCHAN_TEXT, "ping", 4);
}

static void on_message(void *arg, uint16_t stream, enum dchan_kind kind, const uint8_t *data, size_t len)
{
	struct end *e = arg;

	e->test->is_done = e == &e->test->server && len == 4 && memcmp(data, "ping", 4) == 0;
}

static void on_closed(void *arg, uint16_t stream)
{
}

static void on_channel_down(void *arg)
{
}

static const struct dchan_ops channel_ops = {on_packet,  on_channel_up, on_channel_open,
					     on_message, on_closed,     on_channel_down};

// --- DTLS --------------------------------------------------------------------------------------
static void on_datagram(void *arg, const uint8_t *datagram, size_t len)
{
	struct end *e = arg;
	struct test *t = e->test;
	unsigned i = (t->first + t->n) % QUEUE;

	if (t->n == QUEUE || len > sizeof(t->queue[i].data))
		return;
	t->n++;
	t->queue[i].to = e->other;
	t->queue[i].len = len;
	memcpy(t->queue[i].data, datagram, len);
}

static void on_up(void *arg)
{
	struct end *e = arg;

	e->test->step = "no data channel";
	e->dchan = dchan_new(&channel_ops, e);
}

static void on_data(void *arg, const uint8_t *data, size_t len)
{
	struct end *e = arg;

	if (e->dchan)
		dchan_input(e->dchan, data, len);
}

static void on_down(void *arg, enum dtls_end why)
{
	struct end *e = arg;

	e->test->step = dtls_end_text(why);
}

static const struct dtls_ops dtls_ops = {on_datagram, on_up, on_data, on_down};

static void run(struct test *t, ns_t now)
{
	dtls_start(t->client.dtls, now);
	dtls_start(t->server.dtls, now);
	for (unsigned i = 0; t->n > 0 && !t->is_done && i < STEPS; i++) {
		unsigned at = t->first;

		dtls_input(t->queue[at].to->dtls, t->queue[at].data, t->queue[at].len, now);
		t->first = (t->first + 1) % QUEUE;
		t->n--;
	}
}

static int end_open(struct end *e, struct test *t, struct end *other, struct dtls_ctx *ctx,
		    enum dtls_role role)
{
	struct dtls_fingerprint self;
	int err = dtls_fingerprint_parse(&self, STR("sha-256"), str_of(dtls_ctx_fingerprint(ctx)));

	*e = (struct end){.test = t, .other = other};
	e->dtls = err == 0 ? dtls_new(ctx, role, &self, &dtls_ops, e) : NULL;
	return e->dtls ? 0 : -ENOMEM;
}

static void end_close(struct end *e)
{
	dchan_free(e->dchan);
	dtls_free(e->dtls);
}

int peer_selftest(struct dtls_ctx *ctx, ns_t now, const char **why)
{
	struct test *t = calloc(1, sizeof(*t));
	int rc;

	*why = "out of memory";
	if (t == NULL)
		return -ENOMEM;
	rc = end_open(&t->client, t, &t->server, ctx, DTLS_CLIENT);
	if (rc == 0)
		rc = end_open(&t->server, t, &t->client, ctx, DTLS_SERVER);
	if (rc == 0) {
		t->step = "the DTLS handshake does not end";
		run(t, now);
		*why = t->step;
		rc = t->is_done ? 0 : -EPROTO;
	}
	end_close(&t->client);
	end_close(&t->server);
	free(t);
	return rc;
}
