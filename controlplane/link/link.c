// States of the link: waiting (timer) -> connected, hello awaited -> snapshot being read -> up. Anything that
// is wrong on the way drops the connection and waits again; sluice-dp makes new rings for each connection.
#include "controlplane/link/link.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/hash.h"
#include "lib/base/log.h"
#include "lib/base/rand.h"
#include "lib/ipc/bell.h"
#include "lib/ipc/pktring.h"
#include "lib/ipc/statseg.h"

#define RETRY_MIN (50 * NS_PER_MS)
#define RETRY_MAX NS_PER_S
#define SYNC_LIMIT (10 * NS_PER_S)    // connect to on_synced
#define MAX_QUEUED (8u * 1024 * 1024) // bytes of commands that wait for the socket
#define MAX_EVENTS_A_TURN 512
#define MAX_PUNTS_A_TURN 1024 // however cheap they are
#define MAX_PUNT_TIME_A_TURN (5 * NS_PER_MS)
#define PUNTS_A_RING 8 // then the next ring's turn
#define AWAIT_NS (500 * NS_PER_MS)

enum link_state { LINK_DOWN, LINK_HELLO, LINK_SNAPSHOT, LINK_UP };

struct link {
	struct loop *loop;
	struct link_ops ops;
	void *arg;
	char *path; // owned
	enum link_state state;
	struct ipc_chan *chan;        // owned
	struct loop_fd *watch, *bell; // owned
	int fds[IPC_MAX_FDS];         // owned, by enum ipc_hello_fd; -1 when absent
	struct ipc_hello hello;
	struct statseg *stats_seg; // owned: counters of the dataplane
	struct pktring_mem mem;
	struct pktring_tx tx[IPC_MAX_WORKERS]; // by worker
	struct pktring_rx rx[IPC_MAX_WORKERS];
	unsigned next_ring; // to be served first
	uint64_t pushed; // bit per worker: tx is to be kicked
	bool dozes;
	ns_t awaits_until;           // does not doze before
	uint64_t boot_id, last_boot; // ours; the last dataplane's
	uint32_t seq;
	ns_t retry;
	ns_t down_since; // while down
	struct timer timer;          // reconnect, or the limit of the handshake
	struct deferred kick;        // ring the doorbells once per turn
	struct deferred fall;        // drop the link outside of the call that noticed
	void (*on_taken)(void *arg); // NULL once called
	void *taken_arg;
	struct link_stats stats;
};

static void link_retry(struct link *l);

static void link_close_fds(struct link *l)
{
	for (unsigned i = 0; i < IPC_MAX_FDS; i++) {
		if (l->fds[i] >= 0)
			close(l->fds[i]);
		l->fds[i] = -1;
	}
}

static void link_disconnect(struct link *l)
{
	loop_unwatch(l->watch);
	loop_unwatch(l->bell);
	l->watch = l->bell = NULL;
	ipc_chan_free(l->chan);
	l->chan = NULL;
	pktring_unmap(&l->mem);
	statseg_close(l->stats_seg);
	l->stats_seg = NULL;
	link_close_fds(l);
	l->state = LINK_DOWN;
}

static void link_drop(struct link *l, const char *why)
{
	bool was_up = l->state == LINK_UP;

	log_warn("dataplane %s: link lost (%s)", l->path, why);
	if (was_up)
		l->down_since = loop_now(l->loop);
	link_disconnect(l);
	link_retry(l);
	if (was_up)
		l->ops.on_down(l->arg);
}

static void link_on_fall(struct deferred *d)
{
	struct link *l = container_of(d, struct link, fall);

	if (l->state != LINK_DOWN)
		link_drop(l, "it does not take what we send");
}

static int link_send_now(struct link *l, void *msg)
{
	struct ipc_hdr *hdr = msg;
	int rc;

	assert(l->state != LINK_DOWN && l->chan != NULL);
	hdr->seq = ++l->seq;
	rc = ipc_chan_send(l->chan, msg);
	if (rc < 0) {
		loop_defer(l->loop, &l->fall);
		return rc;
	}
	l->stats.n_commands++;
	if (ipc_chan_wants_write(l->chan))
		loop_rewatch(l->watch, LOOP_READ | LOOP_WRITE);
	return 0;
}

// --- punt rings --------------------------------------------------------------------------------
static void punts_on_frame(struct link *l, unsigned worker, const uint8_t *frame, size_t len)
{
	struct punt_hdr hdr;

	if (len < sizeof(hdr))
		return;
	memcpy(&hdr, frame, sizeof(hdr));
	if (hdr.kind != PUNT_DTLS || hdr.len != len - sizeof(hdr))
		return;
	l->stats.punt_in++;
	if (l->state == LINK_UP)
		l->ops.on_punt(l->arg, worker, &hdr, frame + sizeof(hdr), hdr.len);
}

static void link_ring_self(struct link *l)
{
	bell_ring(l->fds[HELLO_BELL_TO_CP]);
}

// Some frames of one ring: how many; fewer than PUNTS_A_RING: it is empty, or the link is down.
static unsigned punts_drain(struct link *l, unsigned worker)
{
	uint8_t frame[sizeof(struct punt_hdr) + PUNT_MAX_PAYLOAD];
	unsigned n = 0;

	while (n < PUNTS_A_RING && l->state != LINK_DOWN) {
		int len = pktring_pop(&l->rx[worker], frame, sizeof(frame));

		if (len == -EBADMSG)
			link_drop(l, "punt ring broken");
		if (len == -EAGAIN || len == -EBADMSG)
			break;
		n++;
		if (len > 0)
			punts_on_frame(l, worker, frame, (size_t)len);
	}
	return n;
}

bool link_awaits(const struct link *l)
{
	return loop_now(l->loop) < l->awaits_until;
}

// Announce sleep on all rings. False: one of them has something already.
static bool punts_announce_sleep(struct link *l)
{
	bool may_sleep = true, dozes = l->dozes && !link_awaits(l);

	for (unsigned i = 0; i < l->hello.n_workers; i++)
		may_sleep &= dozes ? pktring_doze(&l->rx[i]) : pktring_sleep(&l->rx[i]);
	return may_sleep;
}

// All rings by turns until they are empty. False: the time or number of this turn of the loop is used up first.
static bool punts_drain_all(struct link *l, ns_t until, unsigned *left)
{
	unsigned n_empty = 0;

	while (n_empty < l->hello.n_workers && l->state != LINK_DOWN) {
		unsigned n = punts_drain(l, l->next_ring % l->hello.n_workers);

		l->next_ring++;
		n_empty = n < PUNTS_A_RING ? n_empty + 1 : 0;
		*left = *left > n ? *left - n : 0;
		if (*left == 0 || (n > 0 && clock_now() >= until))
			return false;
	}
	return true;
}

// What a turn costs is time, not number: a datagram may be an acknowledgement or half a handshake.
static void punts_take(struct link *l)
{
	ns_t until = clock_now() + MAX_PUNT_TIME_A_TURN;
	unsigned left = MAX_PUNTS_A_TURN;

	do {
		bool is_done = punts_drain_all(l, until, &left);

		if (l->state == LINK_DOWN)
			return;
		if (!is_done) {
			link_ring_self(l); // let the others run; the bell brings us back
			return;
		}
	} while (!punts_announce_sleep(l));
}

static void punts_on_bell(void *arg, unsigned events)
{
	struct link *l = arg;

	pktring_wake(&l->rx[0]); // one doorbell for all
	for (unsigned i = 1; i < l->hello.n_workers; i++)
		pktring_awake(&l->rx[i]);
	punts_take(l);
}

void link_doze(struct link *l, bool on)
{
	l->dozes = on;
}

void link_look(struct link *l)
{
	if (l->state == LINK_UP)
		punts_take(l);
}

void link_await(struct link *l)
{
	l->awaits_until = loop_now(l->loop) + AWAIT_NS;
	loop_defer(l->loop, &l->kick);
}

static int punts_open(struct link *l)
{
	int rc = pktring_map(&l->mem, l->fds[HELLO_RINGS], l->hello.punt_size,
			     N_PUNT_RINGS(l->hello.n_workers));

	if (rc < 0)
		return rc;
	pktring_prefault(&l->mem);
	for (unsigned i = 0; i < l->hello.n_workers; i++) {
		pktring_rx_init(&l->rx[i], &l->mem, PUNT_RING_TO_CP(i), l->fds[HELLO_BELL_TO_CP]);
		pktring_tx_init(&l->tx[i], &l->mem, PUNT_RING_TO_DP(i), l->fds[HELLO_BELL_TO_DP + i]);
	}
	l->pushed = 0;
	l->bell = loop_watch(l->loop, l->fds[HELLO_BELL_TO_CP], LOOP_READ, punts_on_bell, l);
	if (l->bell == NULL)
		return -ENOMEM;
	punts_on_bell(l, LOOP_READ);                 // announces sleep
	return l->state == LINK_DOWN ? -EBADMSG : 0; // it may have found a ring broken
}

static void link_on_kick(struct deferred *d)
{
	struct link *l = container_of(d, struct link, kick);

	for (; l->state != LINK_DOWN && l->pushed; l->pushed &= l->pushed - 1)
		pktring_kick(&l->tx[__builtin_ctzll(l->pushed)]);
	if (l->state == LINK_UP && link_awaits(l) && !punts_announce_sleep(l))
		link_ring_self(l);
}

int link_punt(struct link *l, unsigned worker, uint32_t sid, const uint8_t *data, size_t len)
{
	struct punt_hdr hdr = {.sid = sid, .kind = PUNT_DTLS, .len = (uint16_t)len};
	int rc;

	if (l->state != LINK_UP)
		return -ENOTCONN;
	if (len > PUNT_MAX_PAYLOAD)
		return -EMSGSIZE;
	if (worker >= l->hello.n_workers) // known from another dataplane; any may take it
		worker = 0;
	rc = pktring_push(&l->tx[worker], &hdr, sizeof(hdr), data, len);
	if (rc < 0) {
		l->stats.punt_dropped++;
		if (rc == -EBADMSG)
			loop_defer(l->loop, &l->fall);
		return rc;
	}
	l->stats.punt_out++;
	l->pushed |= UINT64_C(1) << worker;
	loop_defer(l->loop, &l->kick);
	return 0;
}

// --- messages ----------------------------------------------------------------------------------
static int link_on_hello(struct link *l, const union ipc_msg *m, const int *fds, unsigned n_fds)
{
	struct ipc_hello ours;
	struct ipc_bare snapshot;
	int rc;

	assert(l->state == LINK_HELLO && n_fds <= IPC_MAX_FDS);
	memcpy(l->fds, fds, n_fds * sizeof(*fds)); // as many as there must be: ipc_chan_recv
	l->hello = m->hello;
	l->stats_seg = statseg_open(l->fds[HELLO_STATS]);
	if (l->stats_seg == NULL)
		log_warn("dataplane: its counters cannot be read (%s)", strerror(errno));
	rc = punts_open(l);
	if (rc < 0)
		return rc;
	l->state = LINK_SNAPSHOT;
	ipc_begin(&ours, CMD_HELLO);
	ours.version = IPC_VERSION;
	ours.pid = (uint32_t)getpid();
	ours.boot_id = l->boot_id;
	rc = link_send_now(l, &ours);
	if (rc < 0)
		return rc;
	ipc_begin(&snapshot, CMD_SNAPSHOT);
	return link_send_now(l, &snapshot);
}

// Another sluice-cp is there. returns: 0, the link is down
static int link_on_refusal(struct link *l, const struct ipc_ack *ack)
{
	void (*fn)(void *) = l->on_taken;

	if (ack->cmd != CMD_HELLO || ack->err != -EBUSY)
		return -EPROTO;
	link_drop(l, "it serves another sluice-cp");
	l->on_taken = NULL;
	if (fn != NULL && l->stats.n_connects == 0)
		fn(l->taken_arg);
	return 0;
}

void link_on_taken(struct link *l, void (*fn)(void *arg), void *arg)
{
	l->on_taken = fn;
	l->taken_arg = arg;
}

static void link_on_snap_end(struct link *l)
{
	bool same = l->hello.boot_id == l->last_boot;

	assert(l->state == LINK_SNAPSHOT);
	loop_cancel(l->loop, &l->timer);
	l->retry = RETRY_MIN;
	l->last_boot = l->hello.boot_id;
	l->state = LINK_UP;
	l->stats.n_connects++;
	log_notice("dataplane %s: connected (pid %u, %u workers, media port %u)", l->path, l->hello.pid,
		   l->hello.n_workers, l->hello.media_port);
	l->ops.on_synced(l->arg, same);
}

static void link_on_ack(struct link *l, const union ipc_msg *m)
{
	if (m->ack.err == 0)
		return;
	l->stats.n_acks_failed++;
	if (m->ack.sid == 0) // else the session says it
		log_warn("dataplane: %s refused (%s)", ipc_type_name(m->ack.cmd), strerror(-m->ack.err));
	if (l->state == LINK_UP)
		l->ops.on_event(l->arg, m);
}

// returns: 0 or -errno when the link must fall
static int link_on_message(struct link *l, const union ipc_msg *m, const int *fds, unsigned n_fds)
{
	if (l->state == LINK_HELLO && m->hdr.type == EVT_ACK)
		return link_on_refusal(l, &m->ack);
	if (l->state == LINK_HELLO)
		return m->hdr.type == EVT_HELLO ? link_on_hello(l, m, fds, n_fds) : -EPROTO;
	switch (m->hdr.type) {
	case EVT_SNAP_SESSION:
	case EVT_SNAP_TRACK:
	case EVT_SNAP_LEG:
		if (l->state != LINK_SNAPSHOT)
			return -EPROTO;
		l->ops.on_snap(l->arg, m);
		return 0;
	case EVT_SNAP_END:
		if (l->state != LINK_SNAPSHOT)
			return -EPROTO;
		link_on_snap_end(l);
		return 0;
	case EVT_ACK:
		link_on_ack(l, m);
		return 0;
	case EVT_HELLO:
		return -EPROTO;
	default:
		if (l->state == LINK_UP) // before that the snapshot tells the same
			l->ops.on_event(l->arg, m);
		return 0;
	}
}

static void link_on_socket(void *arg, unsigned events)
{
	struct link *l = arg;
	union ipc_msg m;

	if (events & LOOP_WRITE) {
		if (ipc_chan_flush(l->chan) < 0) {
			link_drop(l, "write failed");
			return;
		}
		if (!ipc_chan_wants_write(l->chan))
			loop_rewatch(l->watch, LOOP_READ);
	}
	for (unsigned i = 0; i < MAX_EVENTS_A_TURN && l->state != LINK_DOWN; i++) {
		int fds[IPC_MAX_FDS];
		unsigned n_fds = 0;
		const char *why = NULL;
		int len = ipc_chan_recv(l->chan, &m, fds, &n_fds, &why);
		if (len == -EAGAIN)
			return;
		if (len > 0 && link_on_message(l, &m, fds, n_fds) == 0)
			continue;
		if (len != 0)
			l->stats.n_bad_messages++;
		if (l->state != LINK_DOWN)
			link_drop(l, len == 0 ? "closed by the dataplane" : why ? why : "protocol error");
		return;
	}
}

// --- connecting --------------------------------------------------------------------------------
static void link_on_timer(struct timer *t, ns_t now)
{
	struct link *l = container_of(t, struct link, timer);
	int fd;

	if (l->state != LINK_DOWN) {
		link_drop(l, "no complete snapshot in time");
		return;
	}
	fd = ipc_connect(l->path);
	if (fd < 0) {
		if (l->retry >= RETRY_MAX)
			log_warn("dataplane %s: not reachable (%s); is sluice-dp running?", l->path,
				 strerror(-fd));
		link_retry(l);
		return;
	}
	l->chan = ipc_chan_new(fd, IPC_FROM_CP, MAX_QUEUED);
	if (l->chan == NULL) {
		close(fd);
		link_retry(l);
		return;
	}
	l->state = LINK_HELLO;
	l->watch = loop_watch(l->loop, fd, LOOP_READ, link_on_socket, l);
	if (l->watch == NULL) {
		link_drop(l, "out of memory");
		return;
	}
	loop_arm_in(l->loop, &l->timer, SYNC_LIMIT);
}

static void link_retry(struct link *l)
{
	l->timer.on_due = link_on_timer;
	loop_arm_in(l->loop, &l->timer, l->retry);
	l->retry = l->retry * 2 > RETRY_MAX ? RETRY_MAX : l->retry * 2;
}

struct link *link_new(struct loop *loop, const char *path, const struct link_ops *ops, void *arg)
{
	struct link *l = calloc(1, sizeof(*l));

	assert(ops->on_snap && ops->on_synced && ops->on_down && ops->on_event && ops->on_punt);
	if (l == NULL)
		return NULL;
	*l = (struct link){.loop = loop,
			   .ops = *ops,
			   .arg = arg,
			   .path = strdup(path),
			   .retry = RETRY_MIN,
			   .down_since = loop_now(loop),
			   .boot_id = rand_u64()};
	memset(l->fds, -1, sizeof(l->fds));
	l->timer.on_due = link_on_timer;
	l->kick.fn = link_on_kick;
	l->fall.fn = link_on_fall;
	if (l->path == NULL) {
		free(l);
		return NULL;
	}
	loop_arm_in(loop, &l->timer, 0);
	return l;
}

void link_free(struct link *l)
{
	if (l == NULL)
		return;
	link_on_kick(&l->kick); // a goodbye may still wait there
	loop_cancel(l->loop, &l->timer);
	loop_defer_cancel(l->loop, &l->kick);
	loop_defer_cancel(l->loop, &l->fall);
	link_disconnect(l);
	free(l->path);
	free(l);
}

bool link_is_up(const struct link *l)
{
	return l->state == LINK_UP;
}

int link_send(struct link *l, void *msg)
{
	return l->state == LINK_UP ? link_send_now(l, msg) : -ENOTCONN;
}

uint32_t link_tenant(const struct link *l, struct str name)
{
	const uint64_t key[2] = {l->boot_id, l->boot_id};

	return (uint32_t)hash_sip13(key, name.p, name.len);
}

void link_stats(const struct link *l, struct link_stats *out)
{
	*out = l->stats;
}

uint16_t link_tcp_port(const struct link *l)
{
	return l->hello.tcp_port;
}

const struct statseg *link_counters(const struct link *l)
{
	return l->state == LINK_UP ? l->stats_seg : NULL;
}

bool link_cycles(const struct link *l, struct link_cycles *out)
{
	if (link_counters(l) == NULL)
		return false;
	*out = (struct link_cycles){.busy = statseg_sum(l->stats_seg, CTR_CYCLES_BUSY),
				    .idle = statseg_sum(l->stats_seg, CTR_CYCLES_IDLE),
				    .n_workers = l->hello.n_workers};
	return true;
}

ns_t link_down_for(const struct link *l)
{
	return l->state == LINK_UP ? 0 : loop_now(l->loop) - l->down_since + 1;
}

bool link_is_full(const struct link *l)
{
	return link_counters(l) && statseg_sum(l->stats_seg, GAUGE_FULL) >= l->hello.n_workers;
}
