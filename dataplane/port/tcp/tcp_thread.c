// The loop of the TCP thread. It sleeps in epoll_wait; workers ring its doorbell when it has announced that.
#include <string.h>
#include <sys/epoll.h>

#include "dataplane/port/tcp/tcp.h"
#include "lib/base/err.h"

#define EVENTS 128
#define RING_BATCH 1024 // frames per look at a worker's ring

// Closed connections whose workers had no room for the news.
static void conns_tell_gone(struct port_tcp *p)
{
	struct tcp_conn *c;

	while ((c = TAILQ_FIRST(&p->gone)) != NULL) {
		struct tcp_end *end = &p->end[c->queue];
		struct tcp_up head = {.key = c->key};

		if (pktring_push(&end->up, &head, sizeof(head), NULL, 0) < 0)
			return;
		end->is_pushed = true;
		tcp_conn_close(p, c, CTR_NONE);
	}
}

// What workers want sent. True: there may be more.
static bool rings_drain(struct port_tcp *p)
{
	uint8_t frame[sizeof(struct tcp_down) + PORT_MAX_PAYLOAD];
	struct tcp_down head;
	bool more = false;

	for (unsigned i = 0; i < p->port.n_queues; i++) {
		unsigned n = 0;
		int len;

		while (n < RING_BATCH && (len = pktring_pop(&p->end[i].down, frame, sizeof(frame))) >= 0) {
			// cannot: frames of this ring are written by tcp_tx and tcp_bind alone, in this
			// process
			MUST((size_t)len >= sizeof(head));
			memcpy(&head, frame, sizeof(head));
			tcp_frames_down(p, &head, frame + sizeof(head), (size_t)len - sizeof(head));
			n++;
		}
		more |= n == RING_BATCH;
	}
	return more;
}

static void event_take(struct port_tcp *p, const struct epoll_event *ev)
{
	uint64_t tag = ev->data.u64;
	struct tcp_conn *c;

	if (tag == TCP_TAG_DOORBELL) {
		tcp_rings_wake(p);
		return;
	}
	if (tag >= TCP_TAG_LISTEN) {
		tcp_listen_accept(p, (unsigned)(tag - TCP_TAG_LISTEN));
		return;
	}
	c = tcp_conn_find(p, (uint16_t)tag);
	if (c != NULL && (ev->events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		tcp_frames_in(p, c);
	c = tcp_conn_find(p, (uint16_t)tag);
	if (c != NULL && (ev->events & EPOLLOUT))
		tcp_frames_out(p, c);
}

// Milliseconds to sleep, rounded up so that the time has come when we wake.
static int timeout_ms(const struct port_tcp *p)
{
	ns_t due = tcp_conn_due(p);

	if (!TAILQ_EMPTY(&p->gone))
		return 1;
	if (p->accept_again != 0 && p->accept_again < due)
		due = p->accept_again;
	if (due == NS_NEVER)
		return -1;
	return due <= p->now ? 0 : (int)RTE_MIN((due - p->now + NS_PER_MS - 1) / NS_PER_MS, INT64_C(60000));
}

void *tcp_thread(void *arg)
{
	struct port_tcp *p = arg;
	struct epoll_event ev[EVENTS];

	while (!atomic_load_explicit(&p->stop, memory_order_relaxed)) {
		p->now = clock_now();
		bool more = rings_drain(p);
		tcp_frames_flush(p);
		tcp_conn_timers(p);
		tcp_listen_resume(p);
		conns_tell_gone(p);
		tcp_rings_kick(p);
		statseg_set(p->stats, GAUGE_TCP_CONNECTIONS, p->n_conns);
		more = more || !tcp_rings_sleep(p);
		int n = epoll_wait(p->epoll_fd, ev, EVENTS, more ? 0 : timeout_ms(p));
		p->now = clock_now();
		for (int i = 0; i < n; i++)
			event_take(p, &ev[i]);
	}
	return NULL;
}
