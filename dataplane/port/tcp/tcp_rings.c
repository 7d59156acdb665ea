// The TCP thread's ends of its rings with the workers.
#include <assert.h>

#include "dataplane/port/tcp/tcp.h"

void tcp_rings_up(struct port_tcp *p, struct tcp_conn *c, const void *data, size_t len)
{
	struct tcp_end *end = &p->end[c->queue];
	struct tcp_up head = {.key = c->key};

	assert(c->key.conn == c->id && len > 0 && len <= PORT_MAX_PAYLOAD);
	if (pktring_push(&end->up, &head, sizeof(head), data, len) == 0)
		end->is_pushed = true;
	else
		statseg_add(p->stats, DROP_TCP_RING, 1);
}

void tcp_rings_kick(struct port_tcp *p)
{
	for (unsigned i = 0; i < p->port.n_queues; i++)
		if (p->end[i].is_pushed) {
			p->end[i].is_pushed = false;
			pktring_kick(&p->end[i].up);
		}
}

bool tcp_rings_sleep(struct port_tcp *p)
{
	bool may_sleep = true;

	for (unsigned i = 0; i < p->port.n_queues; i++)
		may_sleep &= pktring_sleep(&p->end[i].down);
	return may_sleep;
}

void tcp_rings_wake(struct port_tcp *p)
{
	for (unsigned i = 0; i < p->port.n_queues; i++)
		pktring_wake(&p->end[i].down);
}
