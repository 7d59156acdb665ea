// States of the link: waiting (timer) -> connected, hello awaited -> snapshot being read -> up. Anything that
// is wrong on the way drops the connection and waits again; sluice-dp makes new rings for each connection.
#include "controlplane/link/link.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/rand.h"
#include "lib/ipc/pktring.h"
#include "lib/ipc/statseg.h"

#define RETRY_MIN (50 * NS_PER_MS)
#define RETRY_MAX NS_PER_S
#define SYNC_LIMIT (10 * NS_PER_S)    // connect to on_synced
#define MAX_QUEUED (8u * 1024 * 1024) // bytes of commands that wait for the socket
#define MAX_EVENTS_A_TURN 512
#define MAX_PUNTS_A_TURN 256
#define AWAIT_NS (500 * NS_PER_MS)

enum link { LINK_DOWN, LINK_HELLO, LINK_SNAPSHOT, LINK_UP };

struct dp {
	struct loop *loop;
	struct dp_ops ops;
	void *arg;
	char *path; // owned
	enum link link;
	struct ipc_chan *chan;        // owned
	struct loop_fd *watch, *bell; // owned
	int fds[IPC_MAX_FDS];         // owned, by enum ipc_hello_fd; -1 when absent
	struct ipc_hello hello;
	struct statseg *stats_seg; // owned: counters of the dataplane
	struct pktring_mem mem;
	struct pktring_tx tx[IPC_MAX_WORKERS]; // by worker
	struct pktring_rx rx[IPC_MAX_WORKERS];
	uint64_t pushed; // bit per worker: tx is to be kicked
	bool dozes;
	ns_t awaits_until;           // does not doze before
	uint64_t boot_id, last_boot; // ours; the last dataplane's
	uint32_t seq;
	ns_t retry;
	struct timer timer;   // reconnect, or the limit of the handshake
	struct deferred kick; // ring the doorbells once per turn
	struct deferred fall; // drop the link outside of the call that noticed
	struct dp_stats stats;
};

static void wait_and_retry(struct dp *p);

static void close_fds(struct dp *p)
{
	for (unsigned i = 0; i < IPC_MAX_FDS; i++) {
		if (p->fds[i] >= 0)
			close(p->fds[i]);
		p->fds[i] = -1;
	}
}

static void disconnect(struct dp *p)
{
	loop_unwatch(p->watch);
	loop_unwatch(p->bell);
	p->watch = p->bell = NULL;
	ipc_chan_free(p->chan);
	p->chan = NULL;
	pktring_unmap(&p->mem);
	statseg_close(p->stats_seg);
	p->stats_seg = NULL;
	close_fds(p);
	p->link = LINK_DOWN;
}

static void drop(struct dp *p, const char *why)
{
	bool was_up = p->link == LINK_UP;

	log_warn("dataplane %s: link lost (%s)", p->path, why);
	disconnect(p);
	wait_and_retry(p);
	if (was_up)
		p->ops.on_down(p->arg);
}

static void on_fall(struct deferred *d)
{
	struct dp *p = container_of(d, struct dp, fall);

	if (p->link != LINK_DOWN)
		drop(p, "it does not take what we send");
}

static int send_now(struct dp *p, void *msg)
{
	struct ipc_hdr *hdr = msg;
	int rc;

	hdr->seq = ++p->seq;
	rc = ipc_chan_send(p->chan, msg);
	if (rc < 0) {
		loop_defer(p->loop, &p->fall);
		return rc;
	}
	p->stats.n_commands++;
	if (ipc_chan_wants_write(p->chan))
		loop_rewatch(p->watch, LOOP_READ | LOOP_WRITE);
	return 0;
}

// --- punt rings --------------------------------------------------------------------------------
static void on_frame(struct dp *p, unsigned worker, const uint8_t *frame, size_t len)
{
	struct punt_hdr hdr;

	if (len < sizeof(hdr))
		return;
	memcpy(&hdr, frame, sizeof(hdr));
	if (hdr.kind != PUNT_DTLS || hdr.len != len - sizeof(hdr))
		return;
	p->stats.punt_in++;
	if (p->link == LINK_UP)
		p->ops.on_punt(p->arg, worker, &hdr, frame + sizeof(hdr), hdr.len);
}

static void ring_self(struct dp *p)
{
	uint64_t one = 1;

	if (write(p->fds[HELLO_BELL_TO_CP], &one, sizeof(one)) < 0 && errno != EAGAIN)
		log_warn("dataplane: doorbell (%s)", strerror(errno));
}

// Frames of one ring. How many of the budget are left; the link may be down then.
static unsigned drain(struct dp *p, unsigned worker, unsigned budget)
{
	uint8_t frame[sizeof(struct punt_hdr) + PUNT_MAX_PAYLOAD];

	while (budget > 0 && p->link != LINK_DOWN) {
		int len = pktring_pop(&p->rx[worker], frame, sizeof(frame));

		if (len == -EBADMSG)
			drop(p, "punt ring broken");
		if (len == -EAGAIN || len == -EBADMSG)
			break;
		budget--;
		if (len > 0)
			on_frame(p, worker, frame, (size_t)len);
	}
	return budget;
}

bool dp_awaits(const struct dp *p)
{
	return loop_now(p->loop) < p->awaits_until;
}

// Announce sleep on all rings. False: one of them has something already.
static bool announce_sleep(struct dp *p)
{
	bool may_sleep = true, dozes = p->dozes && !dp_awaits(p);

	for (unsigned i = 0; i < p->hello.n_workers; i++)
		may_sleep &= dozes ? pktring_doze(&p->rx[i]) : pktring_sleep(&p->rx[i]);
	return may_sleep;
}

static void take_punts(struct dp *p)
{
	unsigned budget = MAX_PUNTS_A_TURN;

	do {
		for (unsigned i = 0; i < p->hello.n_workers && p->link != LINK_DOWN; i++)
			budget = drain(p, i, budget);
		if (p->link == LINK_DOWN)
			return;
		if (budget == 0) {
			ring_self(p); // let the others run; the bell brings us back
			return;
		}
	} while (!announce_sleep(p));
}

static void on_bell(void *arg, unsigned events)
{
	struct dp *p = arg;

	pktring_wake(&p->rx[0]); // one doorbell for all
	for (unsigned i = 1; i < p->hello.n_workers; i++)
		pktring_awake(&p->rx[i]);
	take_punts(p);
}

void dp_doze(struct dp *p, bool on)
{
	p->dozes = on;
}

void dp_look(struct dp *p)
{
	if (p->link == LINK_UP)
		take_punts(p);
}

void dp_await(struct dp *p)
{
	p->awaits_until = loop_now(p->loop) + AWAIT_NS;
	loop_defer(p->loop, &p->kick);
}

static int open_rings(struct dp *p)
{
	int rc = pktring_map(&p->mem, p->fds[HELLO_RINGS], p->hello.punt_size,
			     N_PUNT_RINGS(p->hello.n_workers));

	if (rc < 0)
		return rc;
	pktring_prefault(&p->mem);
	for (unsigned i = 0; i < p->hello.n_workers; i++) {
		pktring_rx_init(&p->rx[i], &p->mem, PUNT_RING_TO_CP(i), p->fds[HELLO_BELL_TO_CP]);
		pktring_tx_init(&p->tx[i], &p->mem, PUNT_RING_TO_DP(i), p->fds[HELLO_BELL_TO_DP + i]);
	}
	p->pushed = 0;
	p->bell = loop_watch(p->loop, p->fds[HELLO_BELL_TO_CP], LOOP_READ, on_bell, p);
	if (p->bell == NULL)
		return -ENOMEM;
	on_bell(p, LOOP_READ);                      // announces sleep
	return p->link == LINK_DOWN ? -EBADMSG : 0; // it may have found a ring broken
}

static void on_kick(struct deferred *d)
{
	struct dp *p = container_of(d, struct dp, kick);

	for (; p->link != LINK_DOWN && p->pushed; p->pushed &= p->pushed - 1)
		pktring_kick(&p->tx[__builtin_ctzll(p->pushed)]);
	if (p->link == LINK_UP && dp_awaits(p) && !announce_sleep(p))
		ring_self(p);
}

int dp_punt(struct dp *p, unsigned worker, uint32_t sid, const uint8_t *data, size_t len)
{
	struct punt_hdr hdr = {.sid = sid, .kind = PUNT_DTLS, .len = (uint16_t)len};
	int rc;

	if (p->link != LINK_UP)
		return -ENOTCONN;
	if (len > PUNT_MAX_PAYLOAD)
		return -EMSGSIZE;
	if (worker >= p->hello.n_workers) // known from another dataplane; any may take it
		worker = 0;
	rc = pktring_push(&p->tx[worker], &hdr, sizeof(hdr), data, len);
	if (rc < 0) {
		p->stats.punt_dropped++;
		if (rc == -EBADMSG)
			loop_defer(p->loop, &p->fall);
		return rc;
	}
	p->stats.punt_out++;
	p->pushed |= UINT64_C(1) << worker;
	loop_defer(p->loop, &p->kick);
	return 0;
}

// --- messages ----------------------------------------------------------------------------------
static int on_hello(struct dp *p, const union ipc_msg *m, const int *fds, unsigned n_fds)
{
	struct ipc_hello ours;
	struct ipc_bare snapshot;
	int rc;

	memcpy(p->fds, fds, n_fds * sizeof(*fds)); // as many as there must be: ipc_chan_recv
	p->hello = m->hello;
	p->stats_seg = statseg_open(p->fds[HELLO_STATS]);
	if (p->stats_seg == NULL)
		log_warn("dataplane: its counters cannot be read (%s)", strerror(errno));
	rc = open_rings(p);
	if (rc < 0)
		return rc;
	p->link = LINK_SNAPSHOT;
	ipc_begin(&ours, CMD_HELLO);
	ours.version = IPC_VERSION;
	ours.pid = (uint32_t)getpid();
	ours.boot_id = p->boot_id;
	rc = send_now(p, &ours);
	if (rc < 0)
		return rc;
	ipc_begin(&snapshot, CMD_SNAPSHOT);
	return send_now(p, &snapshot);
}

static void on_snap_end(struct dp *p)
{
	bool same = p->hello.boot_id == p->last_boot;

	loop_cancel(p->loop, &p->timer);
	p->retry = RETRY_MIN;
	p->last_boot = p->hello.boot_id;
	p->link = LINK_UP;
	p->stats.n_connects++;
	log_notice("dataplane %s: connected (pid %u, %u workers, media port %u)", p->path, p->hello.pid,
		   p->hello.n_workers, p->hello.media_port);
	p->ops.on_synced(p->arg, same);
}

static void on_ack(struct dp *p, const union ipc_msg *m)
{
	if (m->ack.err == 0)
		return;
	p->stats.n_acks_failed++;
	log_warn("dataplane: %s refused (%s)", ipc_type_name(m->ack.cmd), strerror(-m->ack.err));
	if (p->link == LINK_UP)
		p->ops.on_event(p->arg, m);
}

// returns: 0 or -errno when the link must fall
static int on_message(struct dp *p, const union ipc_msg *m, const int *fds, unsigned n_fds)
{
	if (p->link == LINK_HELLO)
		return m->hdr.type == EVT_HELLO ? on_hello(p, m, fds, n_fds) : -EPROTO;
	switch (m->hdr.type) {
	case EVT_SNAP_SESSION:
	case EVT_SNAP_TRACK:
	case EVT_SNAP_LEG:
		if (p->link != LINK_SNAPSHOT)
			return -EPROTO;
		p->ops.on_snap(p->arg, m);
		return 0;
	case EVT_SNAP_END:
		if (p->link != LINK_SNAPSHOT)
			return -EPROTO;
		on_snap_end(p);
		return 0;
	case EVT_ACK:
		on_ack(p, m);
		return 0;
	case EVT_HELLO:
		return -EPROTO;
	default:
		if (p->link == LINK_UP) // before that the snapshot tells the same
			p->ops.on_event(p->arg, m);
		return 0;
	}
}

static void on_socket(void *arg, unsigned events)
{
	struct dp *p = arg;
	union ipc_msg m;

	if (events & LOOP_WRITE) {
		if (ipc_chan_flush(p->chan) < 0) {
			drop(p, "write failed");
			return;
		}
		if (!ipc_chan_wants_write(p->chan))
			loop_rewatch(p->watch, LOOP_READ);
	}
	for (unsigned i = 0; i < MAX_EVENTS_A_TURN && p->link != LINK_DOWN; i++) {
		int fds[IPC_MAX_FDS];
		unsigned n_fds = 0;
		const char *why = NULL;
		int len = ipc_chan_recv(p->chan, &m, fds, &n_fds, &why);
		if (len == -EAGAIN)
			return;
		if (len > 0 && on_message(p, &m, fds, n_fds) == 0)
			continue;
		if (len != 0)
			p->stats.n_bad_messages++;
		if (p->link != LINK_DOWN)
			drop(p, len == 0 ? "closed by the dataplane" : why ? why : "protocol error");
		return;
	}
}

// --- connecting --------------------------------------------------------------------------------
static void on_timer(struct timer *t, ns_t now)
{
	struct dp *p = container_of(t, struct dp, timer);
	int fd;

	if (p->link != LINK_DOWN) {
		drop(p, "no complete snapshot in time");
		return;
	}
	fd = ipc_connect(p->path);
	if (fd < 0) {
		if (p->retry >= RETRY_MAX)
			log_warn("dataplane %s: not reachable (%s); is sluice-dp running?", p->path,
				 strerror(-fd));
		wait_and_retry(p);
		return;
	}
	p->chan = ipc_chan_new(fd, IPC_FROM_CP, MAX_QUEUED);
	if (p->chan == NULL) {
		close(fd);
		wait_and_retry(p);
		return;
	}
	p->link = LINK_HELLO;
	p->watch = loop_watch(p->loop, fd, LOOP_READ, on_socket, p);
	if (p->watch == NULL) {
		drop(p, "out of memory");
		return;
	}
	loop_arm_in(p->loop, &p->timer, SYNC_LIMIT);
}

static void wait_and_retry(struct dp *p)
{
	p->timer.on_due = on_timer;
	loop_arm_in(p->loop, &p->timer, p->retry);
	p->retry = p->retry * 2 > RETRY_MAX ? RETRY_MAX : p->retry * 2;
}

struct dp *dp_new(struct loop *loop, const char *path, const struct dp_ops *ops, void *arg)
{
	struct dp *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	*p = (struct dp){.loop = loop,
			 .ops = *ops,
			 .arg = arg,
			 .path = strdup(path),
			 .retry = RETRY_MIN,
			 .boot_id = rand_u64()};
	memset(p->fds, -1, sizeof(p->fds));
	p->timer.on_due = on_timer;
	p->kick.fn = on_kick;
	p->fall.fn = on_fall;
	if (p->path == NULL) {
		free(p);
		return NULL;
	}
	loop_arm_in(loop, &p->timer, 0);
	return p;
}

void dp_free(struct dp *p)
{
	if (p == NULL)
		return;
	on_kick(&p->kick); // a goodbye may still wait there
	loop_cancel(p->loop, &p->timer);
	loop_defer_cancel(p->loop, &p->kick);
	loop_defer_cancel(p->loop, &p->fall);
	disconnect(p);
	free(p->path);
	free(p);
}

bool dp_is_up(const struct dp *p)
{
	return p->link == LINK_UP;
}

int dp_send(struct dp *p, void *msg)
{
	return p->link == LINK_UP ? send_now(p, msg) : -ENOTCONN;
}

void dp_stats(const struct dp *p, struct dp_stats *out)
{
	*out = p->stats;
}

uint16_t dp_tcp_port(const struct dp *p)
{
	return p->hello.tcp_port;
}

const struct statseg *dp_counters(const struct dp *p)
{
	return p->link == LINK_UP ? p->stats_seg : NULL;
}

bool dp_is_full(const struct dp *p)
{
	return dp_counters(p) && statseg_sum(p->stats_seg, GAUGE_FULL) >= p->hello.n_workers;
}
