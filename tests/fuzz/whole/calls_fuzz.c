// The whole control plane behind its doors: frames of a plugin's WebSocket, offers and answers of a participant, bytes on a
// data channel, and time, in any order. Behind them are the calls, negotiation, real DTLS and SCTP, and a dataplane that is
// played. Nothing may abort, and the session of another tenant's stays.
//
// An input is a list of operations: a byte that says which, two of length, and so many bytes.
// sources: tests/support/calls tests/support/clock controlplane lib/peer
// libs: -luv -lhiredis -llmdb -ljansson -lcrypt -lz -lseccomp -lssl -lcrypto -lusrsctp -Wl,-z,muldefs
// max_len: 131072
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "controlplane/plugin/wsmsg.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/rand.h"
#include "tests/support/calls/fake_dp.h"
#include "tests/support/calls/world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CLIENTS_PER_WORLD = MAX_CLIENTS - 10 };

static struct client *neighbour,
	*talker; // the talker is the one that says the input; both have a data channel
static unsigned n_names;

// The library's checks of its own clients are CUnit's; here each one is an invariant.
void check_note(const char *file, int line, const char *fmt, ...)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, fmt);
}

void check_skip(const char *why)
{
}

CU_BOOL CU_assertImplementation(CU_BOOL ok, unsigned line, const char *cond, const char *file,
				const char *function, CU_BOOL fatal)
{
	MUST(ok);
	return ok;
}

static struct client *connect_one(const char *call, uint32_t ssrc)
{
	char name[24];

	snprintf(name, sizeof(name), "session%u", n_names++);
	return client_connect(name, call, ssrc, true);
}

static void begin(void)
{
	if (world != NULL && world->n_clients > CLIENTS_PER_WORLD) {
		world_fini();
		neighbour = talker = NULL;
	}
	if (world == NULL)
		world_begin();
	if (neighbour == NULL)
		neighbour = connect_one("elsewhere", 0);
	if (talker == NULL || talker->n_closes > 0 || talker->is_deleted || talker->dchan == NULL)
		talker = connect_one("call", 1000 + n_names);
}

// As controlplane/plugin/plugins.c hands it on.
static void plugin_frame(const uint8_t *p, size_t len)
{
	const struct plugin_ops *ops = &hub_plugin_ops;
	struct str client = STR("clientA");
	struct wsmsg m;

	if (wsmsg_decode(p, len, &m) < 0)
		return;
	switch (m.type) {
	case WSMSG_JOIN:
		ops->join(world->hub, 1, client, &m.join);
		break;
	case WSMSG_LEAVE:
		ops->leave(world->hub, 1, client, m.session_id);
		break;
	case WSMSG_RECONNECT:
		ops->reconnect(world->hub, 1, client, m.session_id);
		break;
	case WSMSG_RTC:
		ops->rtc(world->hub, 1, client, m.session_id, m.rtc, m.data);
		break;
	default:
		break;
	}
}

static char *text_of(const uint8_t *p, size_t len)
{
	char *text = calloc(1, len + 1);

	MUST(text != NULL);
	for (size_t i = 0; i < len; i++)
		text[i] = p[i] ? (char)p[i] : ' ';
	return text;
}

static void describe(enum sigmsg_type type, bool by_dc, const uint8_t *p, size_t len)
{
	static char json[SIGMSG_MAX_JSON];
	struct wbuf w = wbuf_of(json, sizeof(json));
	char *text = text_of(p, len);

	sigmsg_write_sdp(&w, type, str_of(text));
	if (!w.full && by_dc)
		client_send_sdp(talker, type, text, true);
	else if (!w.full)
		hub_plugin_ops.rtc(world->hub, 1, STR("clientA"), str_of(talker->id), RTC_SDP,
				   (struct str){json, wbuf_len(&w)});
	free(text);
}

static void operate(uint8_t op, const uint8_t *p, size_t len)
{
	switch (op % 8) {
	case 0:
		plugin_frame(p, len);
		break;
	case 1:
		describe(SIGMSG_OFFER, false, p, len);
		break;
	case 2:
		describe(SIGMSG_ANSWER, false, p, len);
		break;
	case 3:
		hub_plugin_ops.rtc(world->hub, 1, STR("clientA"), str_of(talker->id),
				   (enum rtc_type)(len > 0 ? p[0] % 12 : 0),
				   (struct str){(const char *)p, len});
		break;
	case 4:
		if (talker->dchan != NULL && !talker->is_down)
			(void)!dchan_send(talker->dchan, 0, op & 8 ? DCHAN_TEXT : DCHAN_BINARY, p, len);
		break;
	case 5:
		for (size_t i = 0; i < len % 64; i++)
			world_turn();
		break;
	case 6:
		client_answer(talker);
		break;
	default:
		hub_plugin_ops.rtc(world->hub, 1, STR("clientA"), str_of(talker->id), RTC_SDP,
				   (struct str){(const char *)p, len});
		break;
	}
	for (unsigned i = 0; i < 3; i++)
		world_turn();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct rbuf r = rbuf_of(data, size);

	rand_seed(1);
	begin();
	for (unsigned i = 0; i < 64 && rbuf_left(&r) >= 3 && talker->n_closes == 0; i++) {
		uint8_t op = rbuf_u8(&r);
		size_t len = rbuf_u16(&r);

		len = len > rbuf_left(&r) ? rbuf_left(&r) : len;
		operate(op, rbuf_take(&r, len), len);
	}
	MUST(!neighbour->is_deleted && neighbour->n_closes == 0);
	return 0;
}
