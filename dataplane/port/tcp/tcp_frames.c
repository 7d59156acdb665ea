// Frames of a TCP connection: from its socket to its worker, and from there through its queue into the socket.
#include <assert.h>
#include <errno.h>
#include <sys/socket.h>

#include "dataplane/port/tcp/tcp.h"
#include "lib/rtc/wire/demux.h"
#include "lib/rtc/wire/stun.h"

#define READ_BYTES 16384 // per look at a connection: then it is another's turn
#define WRITE_PIECES 64

// --- frames in -----------------------------------------------------------------------------------

// The first frame of a connection says that an ICE agent is there; who it is, the worker finds out.
static bool is_check(uint8_t *frame, size_t len)
{
	struct stun_msg m;

	return len <= TCP_FIRST_FRAME && demux_classify(frame, len) == DEMUX_STUN &&
	       stun_parse(frame, len, &m) == 0 && m.method == STUN_BINDING && m.cls == STUN_REQUEST &&
	       m.has_username && m.mac_off > 0 && stun_fingerprint_check(&m);
}

// False: the connection was closed.
static bool frame_take(struct port_tcp *p, struct tcp_conn *c, uint8_t *frame, size_t len)
{
	if (c->state == TCP_NEW) {
		if (!is_check(frame, len)) {
			tcp_conn_close(p, c, CTR_TCP_CLOSED_FIRST);
			return false;
		}
		c->state = TCP_CHECKED;
	}
	if (c->state == TCP_CHECKED) {
		if (++c->n_early > TCP_EARLY_FRAMES) {
			tcp_conn_close(p, c, CTR_TCP_CLOSED_FIRST);
			return false;
		}
		if (demux_classify(frame, len) != DEMUX_STUN) {
			statseg_add(p->stats, DROP_TCP_EARLY, 1);
			return true;
		}
	}
	tcp_rings_up(p, c, frame, len);
	return true;
}

void tcp_frames_in(struct port_tcp *p, struct tcp_conn *c)
{
	uint8_t data[READ_BYTES], *at = data, *frame;
	ssize_t got = recv(c->fd, data, sizeof(data), MSG_DONTWAIT);
	size_t left = got > 0 ? (size_t)got : 0;
	int len;

	assert(c->state != TCP_GONE);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		tcp_conn_close(p, c, CTR_NONE);
		return;
	}
	while ((len = deframe_next(&c->in, &at, &left, &frame)) > 0) {
		tcp_conn_set_partial(p, c, false);
		if (!frame_take(p, c, frame, (size_t)len))
			return;
	}
	if (len < 0)
		tcp_conn_close(p, c, CTR_TCP_CLOSED_FRAMING);
	else
		tcp_conn_set_partial(p, c, deframe_is_partial(&c->in));
}

// --- frames out ----------------------------------------------------------------------------------

static void queue_count_drops(struct port_tcp *p, struct tcp_queue *q)
{
	statseg_add(p->stats, DROP_TCP_VIDEO, q->n_video);
	statseg_add(p->stats, DROP_TCP_AUDIO, q->n_audio);
	statseg_add(p->stats, DROP_TCP_OTHER, q->n_other);
	q->n_video = q->n_audio = q->n_other = 0;
}

static void conn_watch_write(struct port_tcp *p, struct tcp_conn *c, bool wants)
{
	if (c->wants_write == wants)
		return;
	c->wants_write = wants;
	tcp_watch(p, c->fd, c->id, EPOLLIN | (wants ? EPOLLOUT : 0), EPOLL_CTL_MOD);
}

void tcp_frames_out(struct port_tcp *p, struct tcp_conn *c)
{
	struct iovec iov[WRITE_PIECES];
	struct msghdr msg = {.msg_iov = iov};

	while ((msg.msg_iovlen = tcp_queue_peek(&c->out, iov, WRITE_PIECES)) > 0) {
		ssize_t n = sendmsg(c->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN) {
			tcp_conn_close(p, c, CTR_NONE);
			return;
		}
		if (n < 0) {
			tcp_conn_set_blocked(p, c, true);
			conn_watch_write(p, c, true);
			return;
		}
		tcp_conn_set_blocked(p, c, false);
		tcp_queue_written(&c->out, (size_t)n);
	}
	conn_watch_write(p, c, false);
}

void tcp_frames_down(struct port_tcp *p, const struct tcp_down *head, const void *data, size_t len)
{
	struct tcp_conn *c = tcp_conn_find(p, head->conn);

	if (c == NULL || c->key.remote_port != head->remote_port)
		return; // closed meanwhile
	switch ((enum tcp_op)head->op) {
	case TCP_BIND:
		tcp_conn_bind(p, c, head->sid);
		break;
	case TCP_UNBIND:
		if (c->state == TCP_BOUND && c->sid == head->sid) // else another session has it now
			tcp_conn_close(p, c, CTR_NONE);
		break;
	case TCP_SEND:
		tcp_queue_add(&c->out, head->class, data, (uint16_t)len, p->now);
		queue_count_drops(p, &c->out);
		if (!c->is_dirty && !c->wants_write) {
			c->is_dirty = true;
			STAILQ_INSERT_TAIL(&p->dirty, c, of_dirty);
		}
		break;
	}
}

void tcp_frames_flush(struct port_tcp *p)
{
	struct tcp_conn *c;

	while ((c = STAILQ_FIRST(&p->dirty)) != NULL) {
		STAILQ_REMOVE_HEAD(&p->dirty, of_dirty);
		c->is_dirty = false;
		tcp_frames_out(p, c);
	}
}
