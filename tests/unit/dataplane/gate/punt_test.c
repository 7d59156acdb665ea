// Datagrams between workers and a control plane that is played here, at the other end of their rings.
#include <poll.h>

#include "tests/support/dataplane/rig_peer.h"

static struct punt *punt;
static struct pktring_rx to_cp[2];
static struct pktring_tx to_dp[2];
static struct rig_peer a;
static unsigned home;

static bool open_call(unsigned n_workers)
{
	if (!rig_open(n_workers))
		return false;
	punt = punt_open(rig.dp);
	for (unsigned i = 0; i < n_workers; i++) {
		pktring_rx_init(&to_cp[i], &punt->mem, PUNT_RING_TO_CP(i), punt->to_cp);
		pktring_tx_init(&to_dp[i], &punt->mem, PUNT_RING_TO_DP(i), rig.dp->worker[i]->punt_bell);
	}
	rig_add(&a, 0, SEAL_AEAD_AES_128_GCM);
	rig_check(&a);
	rig_run(0);
	home = rig.dp->session[0]->home;
	rig.n_sent = 0;
	return true;
}

static void close_call(void)
{
	rig_leave(&a);
	atomic_store(&rig.dp->stop, true); // workers run no more, so main does their mails
	punt_close(rig.dp, punt);
	rig_close();
}

static void client_says(unsigned len)
{
	uint8_t record[200] = {22, 0xfe, 0xfd};

	record[12] = (uint8_t)(len - 13);
	rig_receive(&a, record, len);
	rig_run(0);
}

static void cp_says(unsigned worker, uint32_t sid, uint8_t kind, uint16_t len)
{
	struct punt_hdr hdr = {.sid = sid, .kind = kind, .len = len};
	uint8_t record[100] = {22, 0xfe, 0xfd};

	CHECK_EQ(pktring_push(&to_dp[worker], &hdr, sizeof(hdr), record, sizeof(record)), 0);
	rig_run(0);
}

static void there_and_back(void)
{
	uint8_t frame[PKTRING_MAX_FRAME];
	struct punt_hdr hdr;

	CHECK_OR_RETURN(open_call(2));
	client_says(100);
	CHECK_EQ(pktring_pop(&to_cp[!home], frame, sizeof(frame)), -EAGAIN);
	CHECK_EQ(pktring_pop(&to_cp[home], frame, sizeof(frame)), (int)sizeof(hdr) + 100);
	memcpy(&hdr, frame, sizeof(hdr));
	CHECK(hdr.sid == a.sid && hdr.kind == PUNT_DTLS && hdr.len == 100 && frame[sizeof(hdr)] == 22);
	for (unsigned i = 0; i < 2; i++) { // at home, and at a worker that passes it on
		rig.n_sent = 0;
		cp_says(i, a.sid, PUNT_DTLS, 100);
		CHECK_OR_RETURN(rig.n_sent == 1);
		CHECK_EQ(rig.sent[0].to.remote_port, a.port);
		CHECK_EQ(rig.sent[0].len, 100);
	}
	CHECK_EQ(rig_counter(CTR_PUNT_RX_PACKETS), 2);
	close_call();
}

static void bad_frames(void)
{
	CHECK_OR_RETURN(open_call(2));
	for (unsigned i = 0; i < 2; i++) {
		cp_says(i, a.sid + 1, PUNT_DTLS, 100);                 // nobody
		cp_says(i, a.sid | 2u << 24, PUNT_DTLS, 100);          // another generation
		cp_says(i, a.sid | 0xffffffu, PUNT_DTLS, 100);         // no slot
		cp_says(i, a.sid, 9, 100);                             // unknown kind
		cp_says(i, a.sid, PUNT_DTLS, 99);                      // wrong length
		CHECK_EQ(pktring_push(&to_dp[i], "x", 1, NULL, 0), 0); // no header
	}
	rig_run(0);
	CHECK_EQ(rig_counter(DROP_PUNT_BAD_FRAME), 12);
	CHECK_EQ(rig.n_sent, 0);
	close_call();
}

static void broken_ring(void)
{
	struct worker *w;
	struct note note;
	unsigned n = 0;

	CHECK_OR_RETURN(open_call(1));
	w = rig.dp->worker[0];
	while (note_take(w, &note))
		;
	*(uint32_t *)((char *)punt->mem.base + sizeof(uint32_t[48]) + PUNT_RING_BYTES) = 12345; // its head
	for (unsigned i = 0; i < 5; i++)
		rig_run(0);
	while (note_take(w, &note))
		n += note.type == NOTE_PUNT_BROKEN && note.punt == punt;
	CHECK_EQ(n, 1); // main is told once
	close_call();
}

static bool is_rung(void)
{
	return poll(&(struct pollfd){.fd = punt->to_cp, .events = POLLIN}, 1, 0) == 1;
}

static void empty(void)
{
	uint8_t frame[PKTRING_MAX_FRAME];

	while (pktring_pop(&to_cp[home], frame, sizeof(frame)) > 0)
		;
}

static void acknowledgements_wait(void)
{
	CHECK_OR_RETURN(open_call(1));
	CHECK(pktring_doze(&to_cp[0]));
	client_says(65);
	CHECK(is_rung()); // of a handshake everything is urgent
	pktring_wake(&to_cp[0]);
	empty();
	rig_keys(&a);
	rig_run(0);
	CHECK(pktring_doze(&to_cp[0]));
	client_says(65);
	CHECK(!is_rung());
	client_says(69); // a ping
	CHECK(is_rung());
	pktring_wake(&to_cp[0]);
	empty();
	CHECK(pktring_sleep(&to_cp[0])); // one that does not look by itself is told of everything
	client_says(65);
	CHECK(is_rung());
	close_call();
}

static void without_peer(void)
{
	CHECK_OR_RETURN(open_call(1));
	atomic_store(&rig.dp->stop, true);
	punt_close(rig.dp, punt);
	punt = NULL;
	client_says(100);
	CHECK_EQ(rig_counter(DROP_PUNT_NO_PEER), 1);
	close_call();
}

CU_TestInfo punt_tests[] = {
	{"a datagram comes through the ring of its home; an answer may go to any worker", there_and_back},
	{"frames that name nothing are dropped", bad_frames},
	{"a broken ring is told to main once", broken_ring},
	{"acknowledgements do not wake a control plane that dozes", acknowledgements_wait},
	{"while nobody is connected datagrams are dropped by name", without_peer},
	CU_TEST_INFO_NULL,
};
