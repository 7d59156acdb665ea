// Datagrams into a DTLS server that has not met its client yet: each input is a sequence of datagrams with
// 16-bit lengths. Whatever they are, the server stays bounded and alive, and answers no more than it must.
// sources: lib/peer/dtls.c lib/peer/sslmem.c lib/peer/keys.c
// libs: -lssl -lcrypto
#include <stddef.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/peer/dtls.h"
#include "lib/peer/sslmem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	size_t n_sent;
	unsigned n_up, n_down;
};

static void on_send(void *arg, const uint8_t *p, size_t len)
{
	struct seen *s = arg;

	MUST(len > 0 && len <= DTLS_MTU);
	s->n_sent += len;
}
static void on_up(void *arg)
{
	((struct seen *)arg)->n_up++;
}
static void on_data(void *arg, const uint8_t *p, size_t len)
{
	MUST(((struct seen *)arg)->n_up == 1);
}
static void on_down(void *arg, enum dtls_end why)
{
	((struct seen *)arg)->n_down++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct dtls_ops ops = {on_send, on_up, on_data, on_down};
	static struct dtls_ctx *ctx;
	struct dtls_fingerprint fp = {.len = 32};
	struct rbuf r = rbuf_of(data, size);
	struct seen seen = {};
	struct dtls *d;

	if (ctx == NULL) {
		MUST(sslmem_install() == 0);
		ctx = dtls_ctx_new();
	}
	d = dtls_new(ctx, DTLS_SERVER, &fp, &ops, &seen);
	MUST(ctx != NULL && d != NULL);
	dtls_start(d, 0);
	for (unsigned i = 0; i < 16 && rbuf_left(&r) > 2; i++) {
		size_t len = rbuf_u16(&r);
		len = len > rbuf_left(&r) ? rbuf_left(&r) : len;
		dtls_input(d, rbuf_take(&r, len), len, 0);
	}
	MUST(seen.n_up == 0 && seen.n_down <= 1); // nobody has the key of that fingerprint
	MUST(seen.n_sent <= 16 * 1024);
	dtls_free(d);
	return 0;
}
