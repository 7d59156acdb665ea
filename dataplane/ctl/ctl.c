#include "dataplane/ctl/ctl.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "dataplane/core/dp.h"
#include "dataplane/core/mailbox.h"
#include "dataplane/ctl/build.h"
#include "dataplane/ctl/model.h"
#include "dataplane/gate/flow.h"
#include "dataplane/gate/punt.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/rand.h"
#include "lib/ipc/ipc.h"

#define MAX_QUEUED (4u << 20)      // bytes of events and acks a slow control plane may leave unread
#define CMD_BATCH 256              // commands per look, then events and DTLS have their turn
#define SNAP_BATCH 64              // sessions of a snapshot per look
#define GREETING_NS (2 * NS_PER_S) // who has not said hello by then keeps nobody out
#define HOUSEKEEPING_NS (1 * NS_PER_S)
#define PORT_TICK_NS (100 * NS_PER_MS)
#define RECLAIM_MS 5

enum watch { WATCH_LISTEN, WATCH_PEER, WATCH_NOTES, WATCH_SIGNAL };

struct ctl {
	struct dp *dp; // borrowed
	struct model *model;
	char *path; // of the socket
	int epoll_fd, listen_fd, signal_fd;
	uint16_t media_port;
	uint64_t boot_id;
	struct ipc_chan *peer; // NULL: nobody is connected
	ns_t peer_since;
	bool awaits_room;  // peer is watched for EPOLLOUT, too
	struct punt *punt; // owned: there while peer is
	bool greeted;      // CMD_HELLO came
	bool snapshotting;
	uint32_t snap_slot, snap_seq;
	struct {
		uint32_t seq, sid;
		int32_t err;
		uint16_t cmd, leg;
	} pending[CMD_BATCH]; // acks of this round
	unsigned n_pending;
	bool reclaiming, stop;
	ns_t housekeeping_due, port_tick_due, last_watch;
	bool warned[PORT_MAX_WORKERS];
};

static struct statseg_block *main_stats(struct ctl *c)
{
	return statseg_block(c->dp->statseg, c->dp->n_workers);
}

static int watch_fd(struct ctl *c, int fd, enum watch what, uint32_t events, int op)
{
	struct epoll_event ev = {.events = events, .data.u32 = what};

	return epoll_ctl(c->epoll_fd, op, fd, &ev) < 0 ? -errno : 0;
}

// --- the peer ---------------------------------------------------------------------------------------

static void drop_peer(struct ctl *c, const char *why)
{
	if (c->peer == NULL)
		return;
	log_notice("control plane disconnected: %s", why);
	ipc_chan_free(c->peer); // closes, which also ends the watch
	punt_close(c->dp, c->punt);
	c->punt = NULL;
	c->peer = NULL;
	c->greeted = c->snapshotting = c->awaits_room = false;
	c->n_pending = 0;
}

// Send or queue; a peer that lets too much pile up is dropped, its successor gets a snapshot.
static int tell_peer(void *ctl, const void *msg)
{
	struct ctl *c = ctl;
	int err = c->peer ? ipc_chan_send(c->peer, msg) : -EPIPE;

	if (err < 0 && c->peer) {
		statseg_add(main_stats(c), CTR_EVENTS_LOST, 1);
		drop_peer(c, err == -ENOBUFS ? "it does not read its events" : strerror(-err));
	}
	return err;
}

// Acks wait until the fan-out lists of their commands are published: acknowledged means in force.
// sid: that it was about, 0: none.
static void note_ack(struct ctl *c, const union ipc_msg *cmd, uint32_t sid, int err)
{
	assert(c->n_pending < CMD_BATCH);
	c->pending[c->n_pending].seq = cmd->hdr.seq;
	c->pending[c->n_pending].sid = sid;
	c->pending[c->n_pending].cmd = cmd->hdr.type;
	c->pending[c->n_pending].leg = cmd->hdr.type == CMD_LEG_ADD && sid != 0 ? cmd->leg_add.leg : 0;
	c->pending[c->n_pending++].err = err;
	statseg_add(main_stats(c), err < 0 ? CTR_COMMANDS_REFUSED : CTR_COMMANDS, 1);
}

static void send_acks(struct ctl *c)
{
	struct ipc_ack msg;

	for (unsigned i = 0; i < c->n_pending; i++) {
		ipc_begin(&msg, EVT_ACK);
		msg.hdr.seq = c->pending[i].seq;
		msg.cmd = c->pending[i].cmd;
		msg.err = c->pending[i].err;
		msg.leg = c->pending[i].leg;
		msg.sid = c->pending[i].sid;
		tell_peer(c, &msg);
	}
	c->n_pending = 0;
}

static int greet_peer(struct ctl *c)
{
	struct ipc_hello hello;
	int fds[IPC_MAX_FDS] = {[HELLO_RINGS] = c->punt->memfd,
				[HELLO_STATS] = statseg_fd(c->dp->statseg),
				[HELLO_BELL_TO_CP] = c->punt->to_cp};

	for (unsigned i = 0; i < c->dp->n_workers; i++)
		fds[HELLO_BELL_TO_DP + i] = c->dp->worker[i]->punt_bell;
	ipc_begin(&hello, EVT_HELLO);
	hello.version = IPC_VERSION;
	hello.pid = (uint32_t)getpid();
	hello.boot_id = c->boot_id;
	hello.punt_size = PUNT_RING_BYTES;
	hello.max_sessions = c->dp->max_sessions;
	hello.n_workers = (uint16_t)c->dp->n_workers;
	hello.media_port = c->media_port;
	hello.tcp_port = dp_tcp_port(c->dp);
	return ipc_chan_send_fds(c->peer, &hello, fds, IPC_HELLO_FDS(c->dp->n_workers));
}

// The first one serves while it lives. A killed one's end of the socket is closed, so its successor need not wait.
static bool peer_holds(const struct ctl *c)
{
	struct pollfd p = {.events = POLLRDHUP};

	if (c->peer == NULL)
		return false;
	p.fd = ipc_chan_fd(c->peer);
	if (poll(&p, 1, 0) != 0)
		return false;
	return c->greeted || clock_now() - c->peer_since < GREETING_NS;
}

static void on_connect(struct ctl *c)
{
	int fd = ipc_accept(c->listen_fd), err;

	if (fd < 0)
		return;
	if (peer_holds(c)) {
		log_warn("a second control plane (pid %d) is refused: pid %d serves", ipc_peer_pid(fd),
			 ipc_peer_pid(ipc_chan_fd(c->peer)));
		ipc_refuse(fd, -EBUSY);
		return;
	}
	drop_peer(c, "another one takes its place");
	c->peer = ipc_chan_new(fd, IPC_FROM_DP, MAX_QUEUED);
	if (c->peer == NULL) {
		close(fd);
		return;
	}
	c->peer_since = clock_now();
	c->punt = punt_open(c->dp);
	err = c->punt ? watch_fd(c, fd, WATCH_PEER, EPOLLIN, EPOLL_CTL_ADD) : -errno;
	if (err == 0)
		err = greet_peer(c);
	if (err < 0)
		drop_peer(c, strerror(-err));
	else
		log_info("control plane connected");
}

// --- commands ---------------------------------------------------------------------------------------

// Commands begin with the session they are about.
static_assert(offsetof(struct ipc_session_ref, sid) == offsetof(struct ipc_leg_add, sid));

static void on_command(struct ctl *c, union ipc_msg *cmd)
{
	switch (cmd->hdr.type) {
	case CMD_HELLO:
		c->greeted = true;
		note_ack(c, cmd, 0, 0);
		return;
	case CMD_SNAPSHOT:
		c->snapshotting = true;
		c->snap_slot = 0;
		c->snap_seq = cmd->hdr.seq;
		note_ack(c, cmd, 0, 0);
		return;
	default:
		note_ack(c, cmd, cmd->session_ref.sid, c->greeted ? model_apply(c->model, cmd) : -EPROTO);
	}
}

static void on_peer(struct ctl *c)
{
	union ipc_msg cmd;
	const char *why = NULL;

	for (unsigned i = 0; c->peer && i < CMD_BATCH; i++) {
		int len = ipc_chan_recv(c->peer, &cmd, NULL, NULL, &why);

		if (len == -EAGAIN)
			break;
		if (len == -EBADMSG) {
			log_warn("invalid command refused: %s", why ? why : "?");
			note_ack(c, &cmd, 0, -EINVAL);
		} else if (len <= 0) {
			drop_peer(c, len == 0 ? "it closed" : why ? why : strerror(-len));
		} else {
			on_command(c, &cmd);
		}
	}
	explicit_bzero(&cmd, sizeof(cmd)); // it may have held keys
}

static void go_on_with_snapshot(struct ctl *c)
{
	struct ipc_bare end;

	for (unsigned i = 0; c->snapshotting && i < SNAP_BATCH && !ipc_chan_wants_write(c->peer); i++) {
		if (model_snapshot(c->model, &c->snap_slot, tell_peer, c))
			continue;
		ipc_begin(&end, EVT_SNAP_END);
		c->snapshotting = false;
		tell_peer(c, &end);
	}
}

// --- from and to the workers -------------------------------------------------------------------------

static void on_notes(struct ctl *c)
{
	union ipc_msg event;
	struct note note;

	for (unsigned i = 0; i < c->dp->n_workers; i++) {
		for (unsigned n = 0; n < NOTE_RING && note_take(c->dp->worker[i], &note); n++) {
			if (note.type == NOTE_PUNT_BROKEN && note.punt == c->punt)
				drop_peer(c, "it broke a punt ring");
			else if (model_note(c->model, &note, &event) > 0 && c->greeted)
				tell_peer(c, &event);
		}
	}
}

static bool notes_wait(const struct ctl *c)
{
	for (unsigned i = 0; i < c->dp->n_workers; i++)
		if (!ring_is_empty(c->dp->worker[i]->notes))
			return true;
	return false;
}

// --- now and then -----------------------------------------------------------------------------------

// A worker that is awake and does not turn is stuck: say so, and end rather than serve half.
static void watchdog(struct ctl *c, ns_t now)
{
	bool we_slept = now - c->last_watch > 2 * HOUSEKEEPING_NS; // the whole process did not run

	c->last_watch = now;
	for (unsigned i = 0; !we_slept && i < c->dp->n_workers; i++) {
		struct worker *w = c->dp->worker[i];
		// acquire: awake implies a fresh beat; pairs with sleep_idle
		bool asleep = atomic_load_explicit(&w->asleep, memory_order_acquire);
		ns_t silent = now - atomic_load_explicit(&w->beat, memory_order_relaxed);

		if (asleep || silent < STALL_WARN_NS) {
			c->warned[i] = false;
			continue;
		}
		if (!c->warned[i])
			log_error("worker %u has not turned for %lld ms", i, (long long)(silent / NS_PER_MS));
		c->warned[i] = true;
		if (silent > STALL_FATAL_NS) {
			log_error("worker %u is stuck: giving up", i);
			// cannot: a turn of a worker is bounded by its bursts, not by what packets say; 10 s
			// without one is a worker that is stuck
			abort();
		}
	}
}

static void housekeeping(struct ctl *c, ns_t now)
{
	watchdog(c, now);
	statseg_set(main_stats(c), GAUGE_FLOWS, flow_count(c->dp));
	statseg_set(main_stats(c), GAUGE_MBUFS_FREE,
		    rte_mempool_avail_count(c->dp->rx_pool) + rte_mempool_avail_count(c->dp->tx_pool));
	c->housekeeping_due = now + HOUSEKEEPING_NS;
}

static bool tick_ports(struct ctl *c, ns_t now)
{
	bool any = false;

	for (unsigned i = 0; i < c->dp->n_ports; i++) {
		struct port *p = c->dp->port[i];
		if (p->ops->tick == NULL)
			continue;
		any = true;
		if (now >= c->port_tick_due)
			p->ops->tick(p, now);
	}
	if (any && now >= c->port_tick_due)
		c->port_tick_due = now + PORT_TICK_NS;
	return any;
}

static int timeout_ms(struct ctl *c, bool ports_tick)
{
	ns_t due = c->housekeeping_due, now = clock_now();

	if (ports_tick && c->port_tick_due < due)
		due = c->port_tick_due;
	if (c->reclaiming && due > now + RECLAIM_MS * NS_PER_MS)
		due = now + RECLAIM_MS * NS_PER_MS;
	if (c->snapshotting && !ipc_chan_wants_write(c->peer))
		return 0;
	return due <= now ? 0 : (int)((due - now + NS_PER_MS - 1) / NS_PER_MS);
}

// Announce sleep to the workers; true when something came in meanwhile.
static bool prepare_sleep(struct ctl *c)
{
	atomic_store_explicit(&c->dp->main_asleep, true, memory_order_relaxed);
	atomic_thread_fence(memory_order_seq_cst); // the flag before the look; pairs with note_flush
	return notes_wait(c);
}

static void on_signal(struct ctl *c)
{
	struct signalfd_siginfo info;

	if (read(c->signal_fd, &info, sizeof(info)) == sizeof(info))
		log_info("%s: stopping", info.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM");
	c->stop = true;
}

static void dispatch(struct ctl *c, const struct epoll_event *ev)
{
	uint64_t rings;

	switch ((enum watch)ev->data.u32) {
	case WATCH_LISTEN:
		on_connect(c);
		break;
	case WATCH_PEER:
		if (c->peer && (ev->events & EPOLLOUT) && ipc_chan_flush(c->peer) < 0)
			drop_peer(c, "it went away");
		if (c->peer)
			on_peer(c);
		break;
	case WATCH_NOTES:
		(void)!read(c->dp->main_doorbell, &rings, sizeof(rings));
		break;
	case WATCH_SIGNAL:
		on_signal(c);
		break;
	}
}

// Watch the peer for room to write only while something waits for it.
static void watch_for_room(struct ctl *c)
{
	bool wanted = c->peer && ipc_chan_wants_write(c->peer);

	if (wanted == c->awaits_room)
		return;
	c->awaits_room = wanted;
	watch_fd(c, ipc_chan_fd(c->peer), WATCH_PEER, EPOLLIN | (wanted ? EPOLLOUT : 0), EPOLL_CTL_MOD);
}

int ctl_run(struct ctl *c)
{
	struct epoll_event ev[8];

	while (!c->stop) {
		ns_t now = clock_now();
		bool ports_tick = tick_ports(c, now);
		if (now >= c->housekeeping_due)
			housekeeping(c, now);
		bool more = prepare_sleep(c);
		int n = epoll_wait(c->epoll_fd, ev, ARRAY_LEN(ev), more ? 0 : timeout_ms(c, ports_tick));
		atomic_store_explicit(&c->dp->main_asleep, false, memory_order_relaxed);
		for (int i = 0; i < n; i++)
			dispatch(c, &ev[i]);
		c->reclaiming = model_flush(c->model);
		send_acks(c);
		on_notes(c); // what answers a command comes after its ack
		go_on_with_snapshot(c);
		watch_for_room(c);
	}
	return 0;
}

// --- open and close ---------------------------------------------------------------------------------

static int open_signals(struct ctl *c)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	c->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return c->signal_fd < 0 ? -errno : watch_fd(c, c->signal_fd, WATCH_SIGNAL, EPOLLIN, EPOLL_CTL_ADD);
}

struct ctl *ctl_open(struct dp *dp, uint16_t media_port)
{
	struct ctl *c = calloc(1, sizeof(*c));
	int err;

	if (c == NULL)
		return err_null(ENOMEM);
	c->dp = dp;
	c->media_port = media_port;
	c->boot_id = rand_u64();
	c->listen_fd = c->signal_fd = -1;
	c->last_watch = clock_now();
	c->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	c->model = model_new(dp);
	c->path = strdup(dp->conf->dataplane.socket);
	err = c->epoll_fd < 0 || c->model == NULL || c->path == NULL ? -ENOMEM : 0;
	if (err == 0)
		err = c->listen_fd = ipc_listen(c->path);
	if (err >= 0)
		err = watch_fd(c, c->listen_fd, WATCH_LISTEN, EPOLLIN, EPOLL_CTL_ADD);
	if (err >= 0)
		err = watch_fd(c, dp->main_doorbell, WATCH_NOTES, EPOLLIN, EPOLL_CTL_ADD);
	if (err >= 0)
		err = open_signals(c);
	if (err < 0) {
		ctl_close(c);
		return err_null(-err);
	}
	return c;
}

void ctl_close(struct ctl *c)
{
	if (c == NULL)
		return;
	drop_peer(c, "stopping");
	model_free(c->model);
	if (c->listen_fd >= 0) {
		close(c->listen_fd);
		unlink(c->path);
	}
	if (c->signal_fd >= 0)
		close(c->signal_fd);
	if (c->epoll_fd >= 0)
		close(c->epoll_fd);
	free(c->path);
	free(c);
}
