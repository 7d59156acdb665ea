#include "tests/unit/check.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/clock.h"
#include "lib/base/rand.h"
#include "lib/ipc/bell.h"
#include "lib/ipc/pktring.h"

#define SIZE PKTRING_MIN_SIZE

struct pair {
	struct pktring_mem mem;
	struct pktring_tx tx;
	struct pktring_rx rx;
	int fd, doorbell;
};

// Offsets of the shared words, as a hostile peer would use them.
#define AT_HEAD 0
#define AT_TAIL 64
#define AT_DATA 192

static void poke(struct pair *p, size_t at, uint32_t v)
{
	memcpy((char *)p->mem.base + at, &v, sizeof(v));
}

static bool pair_open(struct pair *p)
{
	p->fd = pktring_create(SIZE, N_PUNT_RINGS(1));
	p->doorbell = bell_new();
	if (p->fd < 0 || p->doorbell < 0 || pktring_map(&p->mem, p->fd, SIZE, N_PUNT_RINGS(1)) < 0)
		return false;
	pktring_tx_init(&p->tx, &p->mem, PUNT_RING_TO_CP(0), p->doorbell);
	pktring_rx_init(&p->rx, &p->mem, PUNT_RING_TO_CP(0), p->doorbell);
	return true;
}

static void pair_close(struct pair *p)
{
	pktring_unmap(&p->mem);
	close(p->fd);
	close(p->doorbell);
}

static void test_frames_arrive_in_order_with_both_parts(void)
{
	struct pair p;
	char out[64];

	CHECK_OR_RETURN(pair_open(&p));
	CHECK_EQ(pktring_pop(&p.rx, out, sizeof(out)), -EAGAIN);
	CHECK_EQ(pktring_push(&p.tx, "head", 4, "body", 4), 0);
	CHECK_EQ(pktring_push(&p.tx, "x", 1, NULL, 0), 0);
	CHECK_EQ(pktring_pop(&p.rx, out, sizeof(out)), 8);
	CHECK_MEM(out, "headbody", 8);
	CHECK_EQ(pktring_pop(&p.rx, out, sizeof(out)), 1);
	CHECK_EQ(out[0], 'x');
	CHECK_EQ(pktring_pop(&p.rx, out, sizeof(out)), -EAGAIN);
	pair_close(&p);
}

static void test_bounds_of_frames(void)
{
	static uint8_t big[PKTRING_MAX_FRAME + 1];
	struct pair p;
	char out[4];

	CHECK_OR_RETURN(pair_open(&p));
	CHECK_EQ(pktring_push(&p.tx, big, 0, NULL, 0), -EMSGSIZE);
	CHECK_EQ(pktring_push(&p.tx, big, sizeof(big), NULL, 0), -EMSGSIZE);
	CHECK_EQ(pktring_push(&p.tx, big, 1, big, PKTRING_MAX_FRAME), -EMSGSIZE);
	CHECK_EQ(pktring_push(&p.tx, big, SIZE_MAX, big, 2), -EMSGSIZE);
	CHECK_EQ(pktring_push(&p.tx, big, PKTRING_MAX_FRAME, NULL, 0),
		 -ENOBUFS); // with its length it is larger than the ring
	CHECK_EQ(pktring_push(&p.tx, "12345", 5, NULL, 0), 0);
	CHECK_EQ(pktring_push(&p.tx, "ab", 2, NULL, 0), 0);
	CHECK_EQ(pktring_pop(&p.rx, out, sizeof(out)), -EMSGSIZE); // skipped
	CHECK_EQ(pktring_pop(&p.rx, out, sizeof(out)), 2);
	pair_close(&p);
}

static void test_wrap_and_full_against_a_model(void)
{
	static uint8_t sent[64][600], out[600];
	static size_t len[64];
	unsigned n_in = 0, n_out = 0, n_full = 0;
	struct pair p;

	CHECK_OR_RETURN(pair_open(&p));
	poke(&p, AT_HEAD, UINT32_MAX - 2047); // indexes wrap during the test
	poke(&p, AT_TAIL, UINT32_MAX - 2047);
	pktring_tx_init(&p.tx, &p.mem, PUNT_RING_TO_CP(0), p.doorbell);
	pktring_rx_init(&p.rx, &p.mem, PUNT_RING_TO_CP(0), p.doorbell);
	rand_seed(5);
	for (int step = 0; step < 20000; step++) {
		if (rand_u32() % 2 && n_in - n_out < 64) {
			unsigned i = n_in % 64;
			size_t cut;

			len[i] = 1 + rand_u32() % sizeof(sent[0]);
			cut = rand_u32() % len[i];
			rand_bytes(sent[i], len[i]);
			if (pktring_push(&p.tx, sent[i], cut, sent[i] + cut, len[i] - cut) == 0)
				n_in++;
			else
				n_full++;
		} else {
			int n = pktring_pop(&p.rx, out, sizeof(out));

			CHECK_OR_RETURN(n_in == n_out ? n == -EAGAIN : n == (int)len[n_out % 64]);
			if (n > 0) {
				CHECK_MEM(out, sent[n_out % 64], len[n_out % 64]);
				n_out++;
			}
		}
	}
	rand_seed(0);
	CHECK(n_full > 100);
	CHECK_EQ(p.tx.n_full, n_full);
	CHECK_EQ(p.rx.n_popped, n_out);
	pair_close(&p);
}

static bool is_rung(int fd)
{
	struct pollfd pfd = {.fd = fd, .events = POLLIN};

	return poll(&pfd, 1, 0) == 1;
}

static void test_doorbell_only_for_sleepers(void)
{
	struct pair p;
	char out[8];

	CHECK_OR_RETURN(pair_open(&p));
	CHECK_EQ(pktring_push(&p.tx, "a", 1, NULL, 0), 0);
	pktring_kick(&p.tx);
	CHECK(!is_rung(p.doorbell));  // the consumer is awake
	CHECK(!pktring_sleep(&p.rx)); // and may not sleep: there is a frame
	CHECK_EQ(pktring_pop(&p.rx, out, sizeof(out)), 1);
	CHECK(pktring_sleep(&p.rx));
	CHECK(!is_rung(p.doorbell));
	CHECK_EQ(pktring_push(&p.tx, "b", 1, NULL, 0), 0);
	CHECK_EQ(pktring_push(&p.tx, "c", 1, NULL, 0), 0);
	pktring_kick(&p.tx);
	CHECK(is_rung(p.doorbell));
	pktring_wake(&p.rx);
	CHECK(!is_rung(p.doorbell));
	CHECK_EQ(pktring_pop(&p.rx, out, sizeof(out)), 1);
	pktring_kick(&p.tx);
	CHECK(!is_rung(p.doorbell));
	CHECK_EQ(pktring_pop(&p.rx, out, sizeof(out)), 1);
	CHECK(pktring_sleep(&p.rx));
	pktring_nudge(&p.tx); // wakes who sleeps
	CHECK(is_rung(p.doorbell));
	pktring_wake(&p.rx);
	CHECK(pktring_doze(&p.rx));
	pktring_nudge(&p.tx); // but not who dozes
	CHECK(!is_rung(p.doorbell));
	pktring_kick(&p.tx);
	CHECK(is_rung(p.doorbell));
	pair_close(&p);
}

// On 09e1aeb the bell was an eventfd, and a write to one that is full and may wait did not return.
static void test_bell_never_waits(void)
{
	int bell = bell_new(), flags = fcntl(bell, F_GETFL);
	ns_t began = clock_now();

	CHECK_OR_RETURN(bell >= 0);
	CHECK(fcntl(bell, F_GETFD) & FD_CLOEXEC);
	for (unsigned i = 0; i < 2; i++) {
		CHECK_EQ(fcntl(bell, F_SETFL, i ? flags | O_NONBLOCK : flags & ~O_NONBLOCK), 0);
		bell_hush(bell); // not rung
		CHECK(!is_rung(bell));
		for (unsigned n = 0; n < 100; n++)
			bell_ring(bell);
		CHECK(is_rung(bell));
		bell_hush(bell);
		CHECK(!is_rung(bell));
	}
	CHECK(clock_now() - began < NS_PER_S);
	close(bell);
}

static void test_hostile_producer_breaks_only_the_ring(void)
{
	static const struct {
		uint32_t head, len;
	} cases[] = {
		{8, 0},                      // empty frame
		{8, 5},                      // longer than what is there
		{16, PKTRING_MAX_FRAME + 1}, // longer than any frame
		{16, UINT32_MAX},            // length that overflows when padded
		{16, UINT32_MAX - 8},
		{4, 1},              // head not a multiple of 8
		{SIZE + 8, 4},       // more than the ring holds
		{UINT32_MAX - 7, 4}, // head behind the tail
	};
	char out[PKTRING_MAX_FRAME];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pair p;

		CHECK_OR_RETURN(pair_open(&p));
		poke(&p, AT_DATA, cases[i].len);
		poke(&p, AT_HEAD, cases[i].head);
		CHECK_EQ(pktring_pop(&p.rx, out, sizeof(out)), -EBADMSG);
		poke(&p, AT_HEAD, 0);
		CHECK_EQ(pktring_pop(&p.rx, out, sizeof(out)), -EBADMSG); // stays broken
		pair_close(&p);
	}
}

static void test_hostile_consumer_cannot_make_us_overwrite(void)
{
	struct pair p;

	CHECK_OR_RETURN(pair_open(&p));
	poke(&p, AT_TAIL, 64); // ahead of the head
	CHECK_EQ(pktring_push(&p.tx, "a", 1, NULL, 0), -EBADMSG);
	pair_close(&p);
}

static void test_unsealed_or_odd_memory_is_refused(void)
{
	struct pktring_mem mem;
	int fd = memfd_create("t", MFD_ALLOW_SEALING), good = pktring_create(SIZE, 2);

	CHECK_EQ(ftruncate(fd, 2 * (192 + SIZE)), 0);
	CHECK_EQ(pktring_map(&mem, fd, SIZE, 2), -EBADMSG);
	CHECK(mem.base == NULL);
	CHECK_EQ(pktring_map(&mem, good, SIZE * 2, 2), -EBADMSG);
	CHECK_EQ(pktring_map(&mem, good, SIZE + 8, 2), -EINVAL);
	CHECK_EQ(pktring_map(&mem, good, SIZE, 0), -EINVAL);
	CHECK_EQ(ftruncate(good, 0), -1);
	CHECK_EQ(pktring_create(SIZE - 1, 2), -EINVAL);
	CHECK_EQ(pktring_create(PKTRING_MAX_SIZE * 2, 2), -EINVAL);
	pktring_unmap(&mem);
	close(fd);
	close(good);
}

#define N_FRAMES 20000u

static void *produce(void *arg)
{
	struct pair *p = arg;
	uint32_t body[64];

	for (uint32_t i = 0; i < N_FRAMES; i++) {
		size_t n = 1 + i % 64;

		for (size_t j = 0; j < n; j++)
			body[j] = i + (uint32_t)j;
		while (pktring_push(&p->tx, &i, sizeof(i), body, n * sizeof(body[0])) == -ENOBUFS) {
			pktring_kick(&p->tx);
			sched_yield();
		}
		if (i % 7 == 0 || i + 1 == N_FRAMES)
			pktring_kick(&p->tx);
	}
	return NULL;
}

static bool frame_is(const uint32_t *frame, int len, uint32_t i)
{
	if (len != (int)(4 * (2 + i % 64)) || frame[0] != i)
		return false;
	for (uint32_t j = 0; j < 1 + i % 64; j++)
		if (frame[1 + j] != i + j)
			return false;
	return true;
}

static void test_threads_lose_nothing_and_never_oversleep(void)
{
	struct pair p;
	uint32_t frame[65], n_sleeps = 0;
	pthread_t thread;

	CHECK_OR_RETURN(pair_open(&p));
	CHECK_EQ(pthread_create(&thread, NULL, produce, &p), 0);
	for (uint32_t i = 0; i < N_FRAMES;) {
		struct pollfd pfd = {.fd = p.doorbell, .events = POLLIN};
		int n = pktring_pop(&p.rx, frame, sizeof(frame));

		if (n >= 0) {
			CHECK_OR_RETURN(frame_is(frame, n, i));
			i++;
		} else if (pktring_sleep(&p.rx)) {
			CHECK_OR_RETURN(poll(&pfd, 1, 10000) == 1); // a lost wake-up would time out
			pktring_wake(&p.rx);
			n_sleeps++;
		}
	}
	pthread_join(thread, NULL);
	CHECK(n_sleeps > 0);
	CHECK_EQ(p.rx.n_popped, N_FRAMES);
	pair_close(&p);
}

CU_TestInfo pktring_tests[] = {
	{"frames arrive in order with both their parts", test_frames_arrive_in_order_with_both_parts},
	{"empty, huge and unfit frames are refused", test_bounds_of_frames},
	{"wrapping and filling up match a model", test_wrap_and_full_against_a_model},
	{"the doorbell rings for sleepers only", test_doorbell_only_for_sleepers},
	{"a bell never waits, whatever the other side does to it", test_bell_never_waits},
	{"a hostile producer breaks the ring and nothing else", test_hostile_producer_breaks_only_the_ring},
	{"a hostile consumer cannot make us overwrite", test_hostile_consumer_cannot_make_us_overwrite},
	{"memory that could be truncated under us is refused", test_unsealed_or_odd_memory_is_refused},
	{"two threads lose no frame and no wake-up", test_threads_lose_nothing_and_never_oversleep},
	CU_TEST_INFO_NULL,
};
