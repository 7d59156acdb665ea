// The loop of one worker. It does not wake for every datagram: it sleeps for a turn, then takes all that has
// come. The kernel's time stamps keep the measurement exact, and a turn's packets of one socket cost one call.
#include "tools/sluicegun/peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "tools/sluicegun/ws.h"

#define TURN_NS (5 * NS_PER_MS)
#define BUSY_TURN_NS (1 * NS_PER_MS) // while participants are joining: handshakes wait for each turn
#define CLOCK_NS (20 * NS_PER_MS)    // of usrsctp
#define EVENTS 1024

static uint64_t cpu_us(void)
{
	struct rusage r;

	getrusage(RUSAGE_SELF, &r);
	return (uint64_t)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000 +
	       (uint64_t)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

struct peer *worker_find(struct worker *w, struct str session)
{
	for (unsigned i = 0; i < w->n_peers; i++)
		if (w->peer[i].state != PEER_OUT && str_eq(session, str_of(w->peer[i].session)))
			return &w->peer[i];
	return NULL;
}

static unsigned share_of(const struct gun_conf *c, unsigned index)
{
	unsigned n = c->calls * c->people;

	return n / c->n_workers + (index < n % c->n_workers);
}

static int set_profiles(struct worker *w)
{
	static const uint16_t cm[] = {KEYS_CM_SHA1_80};

	return w->conf->cm ? dtls_ctx_set_profiles(w->dtls, cm, 1) : 0;
}

static int worker_open(struct worker *w)
{
	const struct signaling *s = w->conf->protocol == GUN_JANUS ? &signaling_janus : &signaling_rtcd;
	struct epoll_event ev = {.events = EPOLLIN};
	int rc;

	w->seal = seal_engine_new(NULL);
	w->dtls = dtls_ctx_new();
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	w->n_peers = share_of(w->conf, w->index);
	w->peer = calloc(w->n_peers, sizeof(*w->peer));
	if (w->seal == NULL || w->dtls == NULL || w->epoll < 0 || w->peer == NULL || set_profiles(w) < 0 ||
	    dchan_start(w->now) < 0)
		return -ENOMEM;
	rc = s->open(w);
	if (rc < 0)
		return rc;
	return epoll_ctl(w->epoll, EPOLL_CTL_ADD, ws_fd(w->ws), &ev) < 0 ? -errno : 0;
}

static void worker_close(struct worker *w)
{
	for (unsigned i = 0; w->peer && i < w->n_peers; i++)
		peer_fini(&w->peer[i]);
	free(w->peer);
	dchan_stop();
	ws_close(w->ws);
	dtls_ctx_free(w->dtls);
	seal_engine_free(w->seal);
	if (w->epoll >= 0)
		close(w->epoll);
}

// What has come since the last turn.
static int take(struct worker *w)
{
	static struct epoll_event ev[EVENTS];
	const struct signaling *s = w->conf->protocol == GUN_JANUS ? &signaling_janus : &signaling_rtcd;
	int n = epoll_wait(w->epoll, ev, EVENTS, 0), rc = 0;

	for (int i = 0; i < n && rc == 0; i++) {
		if (ev[i].data.ptr)
			peer_receive(ev[i].data.ptr);
		else
			rc = ws_read(w->ws, s->on_message, w);
	}
	return rc < 0 ? rc : ws_flush(w->ws);
}

static void sleep_until(ns_t t)
{
	struct timespec ts = {.tv_sec = t / NS_PER_S, .tv_nsec = t % NS_PER_S};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}

static void on_phase(struct worker *w, int phase)
{
	if (phase == GUN_RUN || w->is_over)
		return;
	w->is_over = true;
	for (unsigned i = 0; i < w->n_peers; i++)
		peer_silence(&w->peer[i]);
}

static int loop(struct worker *w)
{
	const struct signaling *s = w->conf->protocol == GUN_JANUS ? &signaling_janus : &signaling_rtcd;
	ns_t next = w->now, next_clock = w->now, next_second = w->now;
	int phase, rc;

	while ((phase = atomic_load_explicit(&w->shared->phase, memory_order_relaxed)) != GUN_STOP) {
		on_phase(w, phase);
		w->now = clock_now();
		rc = take(w);
		if (rc < 0) {
			fprintf(stderr, "sluicegun: the WebSocket is gone: %s\n", strerror(-rc));
			return EXIT_UNAVAILABLE;
		}
		wheel_advance(&w->wheel, w->now, 0);
		if (w->now >= next_clock) {
			dchan_clock(w->now);
			next_clock = w->now + CLOCK_NS;
		}
		if (w->now >= next_second) {
			w->tally->cpu_us = cpu_us();
			next_second += NS_PER_S;
			if (s->tick)
				s->tick(w);
		}
		next += w->n_busy ? BUSY_TURN_NS : TURN_NS;
		if (next < w->now)
			next = w->now; // behind: no sleep, and no catching up either
		sleep_until(next);
	}
	return EXIT_OK;
}

int worker_run(const struct gun_conf *c, struct shared *sh, unsigned index)
{
	struct worker w = {.conf = c,
			   .shared = sh,
			   .tally = &sh->tally[index],
			   .index = index,
			   .now = clock_now(),
			   .rng = {c->seed * UINT64_C(1000003) + index},
			   .epoll = -1};
	int status = EXIT_UNAVAILABLE, rc;

	wheel_init(&w.wheel, w.now);
	rc = worker_open(&w);
	if (rc < 0) {
		fprintf(stderr, "sluicegun: %s: %s\n", c->url, strerror(-rc));
	} else {
		for (unsigned i = 0; i < w.n_peers; i++)
			peer_init(&w.peer[i], &w, i * c->n_workers + index);
		status = loop(&w);
		for (unsigned i = 0; i < w.n_peers; i++)
			peer_leave(&w.peer[i]);
		for (ns_t end = clock_now() + NS_PER_S; ws_flush(w.ws) == 0 && clock_now() < end;)
			sleep_until(clock_now() + NS_PER_MS * 100);
		w.tally->cpu_us = cpu_us();
	}
	worker_close(&w);
	return status;
}
