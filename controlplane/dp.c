// States of the link: waiting (timer) -> connected, hello awaited -> snapshot being read -> up. Anything that
// is wrong on the way drops the connection and waits again; sluice-dp makes new rings for each connection.
#include "controlplane/dp.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/rand.h"
#include "lib/ipc/pktring.h"

#define RETRY_MIN (50 * NS_PER_MS)
#define RETRY_MAX NS_PER_S
#define SYNC_LIMIT (10 * NS_PER_S)    // connect to on_synced
#define MAX_QUEUED (8u * 1024 * 1024) // bytes of commands that wait for the socket
#define MAX_EVENTS_A_TURN 512
#define MAX_PUNTS_A_TURN 256

enum link { LINK_DOWN, LINK_HELLO, LINK_SNAPSHOT, LINK_UP };
enum hello_fd { FD_RINGS, FD_BELL_TO_CP, FD_BELL_TO_DP, FD_STATS };

struct dp {
	struct loop *loop;
	struct dp_ops ops;
	void *arg;
	char *path; // owned
	enum link link;
	struct ipc_chan *chan;        // owned
	struct loop_fd *watch, *bell; // owned
	int fds[IPC_N_HELLO_FDS];     // owned, -1 when absent
	struct pktring_mem mem;
	struct pktring_tx tx;
	struct pktring_rx rx;
	struct ipc_hello hello;
	uint64_t boot_id, last_boot; // ours; the last dataplane's
	uint32_t seq;
	ns_t retry;
	struct timer timer;   // reconnect, or the limit of the handshake
	struct deferred kick; // ring the doorbell once per turn
	struct deferred fall; // drop the link outside of the call that noticed
	struct dp_stats stats;
};

static void wait_and_retry(struct dp *p);

static void close_fds(struct dp *p)
{
	for (unsigned i = 0; i < IPC_N_HELLO_FDS; i++) {
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
static void on_frame(struct dp *p, const uint8_t *frame, size_t len)
{
	struct punt_hdr hdr;

	memcpy(&hdr, frame, sizeof(hdr));
	if (hdr.kind != PUNT_DTLS || hdr.len != len - sizeof(hdr))
		return;
	p->stats.punt_in++;
	if (p->link == LINK_UP)
		p->ops.on_punt(p->arg, &hdr, frame + sizeof(hdr), hdr.len);
}

static void ring_self(struct dp *p)
{
	uint64_t one = 1;

	if (write(p->fds[FD_BELL_TO_CP], &one, sizeof(one)) < 0 && errno != EAGAIN)
		log_warn("dataplane: doorbell (%s)", strerror(errno));
}

static void on_bell(void *arg, unsigned events)
{
	struct dp *p = arg;
	uint8_t frame[sizeof(struct punt_hdr) + PUNT_MAX_PAYLOAD];
	unsigned n = 0;

	pktring_wake(&p->rx);
	while (p->link != LINK_DOWN) {
		int len = pktring_pop(&p->rx, frame, sizeof(frame));
		if (len == -EBADMSG) {
			drop(p, "punt ring broken");
			return;
		}
		if (len == -EAGAIN) {
			if (pktring_sleep(&p->rx))
				return;
			continue;
		}
		if (len >= (int)sizeof(struct punt_hdr))
			on_frame(p, frame, (size_t)len);
		if (++n == MAX_PUNTS_A_TURN) {
			ring_self(p); // let the others run; the bell brings us back
			return;
		}
	}
}

static int open_rings(struct dp *p)
{
	int rc = pktring_map(&p->mem, p->fds[FD_RINGS], p->hello.punt_size, N_PUNT_RINGS);

	if (rc < 0)
		return rc;
	pktring_rx_init(&p->rx, &p->mem, PUNT_RING_TO_CP, p->fds[FD_BELL_TO_CP]);
	pktring_tx_init(&p->tx, &p->mem, PUNT_RING_TO_DP, p->fds[FD_BELL_TO_DP]);
	p->bell = loop_watch(p->loop, p->fds[FD_BELL_TO_CP], LOOP_READ, on_bell, p);
	if (p->bell == NULL)
		return -ENOMEM;
	on_bell(p, LOOP_READ);                      // announces sleep
	return p->link == LINK_DOWN ? -EBADMSG : 0; // it may have found the ring broken
}

static void on_kick(struct deferred *d)
{
	struct dp *p = container_of(d, struct dp, kick);

	if (p->link != LINK_DOWN)
		pktring_kick(&p->tx);
}

int dp_punt(struct dp *p, uint32_t sid, const uint8_t *data, size_t len)
{
	struct punt_hdr hdr = {.sid = sid, .kind = PUNT_DTLS, .len = (uint16_t)len};
	int rc;

	if (p->link != LINK_UP)
		return -ENOTCONN;
	if (len > PUNT_MAX_PAYLOAD)
		return -EMSGSIZE;
	rc = pktring_push(&p->tx, &hdr, sizeof(hdr), data, len);
	if (rc < 0) {
		p->stats.punt_dropped++;
		if (rc == -EBADMSG)
			loop_defer(p->loop, &p->fall);
		return rc;
	}
	p->stats.punt_out++;
	loop_defer(p->loop, &p->kick);
	return 0;
}

// --- messages ----------------------------------------------------------------------------------
static int on_hello(struct dp *p, const union ipc_msg *m, const int *fds, unsigned n_fds)
{
	struct ipc_hello ours;
	struct ipc_bare snapshot;
	int rc;

	if (n_fds != IPC_N_HELLO_FDS) {
		for (unsigned i = 0; i < n_fds; i++)
			close(fds[i]);
		return -EBADMSG;
	}
	memcpy(p->fds, fds, sizeof(p->fds));
	p->hello = m->hello;
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
		int fds[IPC_N_HELLO_FDS];
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
			 .boot_id = rand_u64(),
			 .fds = {-1, -1, -1, -1}};
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
	if (p->link == LINK_UP)
		pktring_kick(&p->tx); // a goodbye may still wait there
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

int dp_stats_fd(const struct dp *p)
{
	return p->link == LINK_UP ? p->fds[FD_STATS] : -1;
}
