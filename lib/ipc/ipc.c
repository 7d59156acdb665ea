// Sockets of the link and the connection object. The checks are in ipc_check.c.
#include "lib/ipc/ipc.h"

#include <assert.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/base/list.h"

#define SOCKET_MODE 0660
#define SEND_BUFFER (1 << 20) // bytes asked of the kernel: a burst of commands should not need our queue

struct queued {
	STAILQ_ENTRY(queued) link;
	size_t len;
	alignas(8) uint8_t bytes[];
};

struct ipc_chan {
	int fd; // owned
	enum ipc_side we_are;
	size_t n_queued, max_queued; // bytes
	STAILQ_HEAD(, queued) queue;
};

// --- sockets -----------------------------------------------------------------------------------
static int address_of(const char *path, struct sockaddr_un *sa)
{
	*sa = (struct sockaddr_un){.sun_family = AF_UNIX};
	if (strlen(path) == 0 || strlen(path) >= sizeof(sa->sun_path))
		return err_set(ENAMETOOLONG);
	strcpy(sa->sun_path, path);
	return 0;
}

static int seqpacket_socket(void)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return fd < 0 ? -errno : fd;
}

int ipc_connect(const char *path)
{
	struct sockaddr_un sa;
	int fd, err;

	if (address_of(path, &sa) < 0)
		return -errno;
	fd = seqpacket_socket();
	if (fd < 0)
		return fd;
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
		return fd;
	err = errno;
	close(fd);
	return err_set(err);
}

// Does somebody serve there? A stream socket cannot connect to a seqpacket one: EPROTOTYPE when it is alive,
// ECONNREFUSED when only the file is left, and in neither case does the server notice.
static int stale_check(const struct sockaddr_un *sa)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), rc, err;

	if (fd < 0)
		return -errno;
	rc = connect(fd, (const struct sockaddr *)sa, sizeof(*sa));
	err = errno;
	close(fd);
	if (rc < 0 && err == ECONNREFUSED)
		return 0;
	return err_set(rc == 0 || err == EPROTOTYPE || err == EAGAIN ? EADDRINUSE : err);
}

// Remove what a crashed process left.
static int stale_remove(const struct sockaddr_un *sa)
{
	struct stat st;
	int rc;

	if (lstat(sa->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return err_set(EEXIST);
	rc = stale_check(sa);
	if (rc < 0)
		return rc;
	return unlink(sa->sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

int ipc_listen(const char *path)
{
	struct sockaddr_un sa;
	int fd, err;

	if (address_of(path, &sa) < 0 || stale_remove(&sa) < 0)
		return -errno;
	fd = seqpacket_socket();
	if (fd < 0)
		return fd;
	// Until listen nobody can connect, so the mode is right before it matters.
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 && chmod(path, SOCKET_MODE) == 0 &&
	    listen(fd, 4) == 0)
		return fd;
	err = errno;
	close(fd);
	return err_set(err);
}

int ipc_accept(int listen_fd)
{
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	return fd < 0 ? -errno : fd;
}

void ipc_refuse(int fd, int err)
{
	struct ipc_ack msg;

	assert(err < 0);
	ipc_begin(&msg, EVT_ACK);
	msg.cmd = CMD_HELLO;
	msg.err = err;
	(void)!send(fd, &msg, sizeof(msg), MSG_DONTWAIT | MSG_NOSIGNAL);
	close(fd);
}

int ipc_peer_pid(int fd)
{
	struct ucred cred = {};
	socklen_t len = sizeof(cred);

	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 ? 0 : (int)cred.pid;
}

// --- one connection ----------------------------------------------------------------------------
struct ipc_chan *ipc_chan_new(int fd, enum ipc_side we_are, size_t max_queued)
{
	struct ipc_chan *c = calloc(1, sizeof(*c));
	int want = SEND_BUFFER;

	assert(fd >= 0);
	if (c == NULL)
		return err_null(ENOMEM);
	*c = (struct ipc_chan){.fd = fd, .we_are = we_are, .max_queued = max_queued};
	STAILQ_INIT(&c->queue);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &want, sizeof(want)); // the kernel may give less
	return c;
}

static void queue_pop(struct ipc_chan *c)
{
	struct queued *q = STAILQ_FIRST(&c->queue);

	assert(c->n_queued >= q->len);
	STAILQ_REMOVE_HEAD(&c->queue, link);
	c->n_queued -= q->len;
	explicit_bzero(q->bytes, q->len); // may be keys
	free(q);
}

void ipc_chan_free(struct ipc_chan *c)
{
	if (c == NULL)
		return;
	while (!STAILQ_EMPTY(&c->queue))
		queue_pop(c);
	close(c->fd);
	free(c);
}

int ipc_chan_fd(const struct ipc_chan *c)
{
	return c->fd;
}

static int socket_send(int fd, const void *msg, size_t len, const int *fds, unsigned n_fds)
{
	alignas(struct cmsghdr) char control[CMSG_SPACE(IPC_MAX_FDS * sizeof(int))] = {0};
	struct iovec iov = {(void *)(uintptr_t)msg, len};
	struct msghdr mh = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (n_fds > 0) {
		struct cmsghdr *c;

		mh.msg_control = control;
		mh.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
		c = CMSG_FIRSTHDR(&mh);
		*c = (struct cmsghdr){CMSG_LEN(n_fds * sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
		memcpy(CMSG_DATA(c), fds, n_fds * sizeof(int));
	}
	do
		n = sendmsg(fd, &mh, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return 0;
	return err_set(errno == ECONNRESET || errno == ENOTCONN ? EPIPE : errno);
}

static int queue_push(struct ipc_chan *c, const void *msg, size_t len)
{
	struct queued *q;

	if (c->n_queued + len > c->max_queued)
		return err_set(ENOBUFS);
	q = malloc(sizeof(*q) + len);
	if (q == NULL)
		return err_set(ENOMEM);
	q->len = len;
	memcpy(q->bytes, msg, len);
	STAILQ_INSERT_TAIL(&c->queue, q, link);
	c->n_queued += len;
	return 0;
}

int ipc_chan_send_fds(struct ipc_chan *c, const void *msg, const int *fds, unsigned n_fds)
{
	const struct ipc_hdr *hdr = msg;
	int rc = -EAGAIN;

	// cannot: messages to send are made by ipc_begin
	MUST(hdr->len == ipc_type_size(hdr->type) && n_fds <= IPC_MAX_FDS);
	if (STAILQ_EMPTY(&c->queue))
		rc = socket_send(c->fd, msg, hdr->len, fds, n_fds);
	if (rc == -EAGAIN && n_fds == 0)
		rc = queue_push(c, msg, hdr->len);
	return rc;
}

int ipc_chan_send(struct ipc_chan *c, const void *msg)
{
	return ipc_chan_send_fds(c, msg, NULL, 0);
}

bool ipc_chan_wants_write(const struct ipc_chan *c)
{
	return !STAILQ_EMPTY(&c->queue);
}

int ipc_chan_flush(struct ipc_chan *c)
{
	while (!STAILQ_EMPTY(&c->queue)) {
		struct queued *q = STAILQ_FIRST(&c->queue);
		int rc = socket_send(c->fd, q->bytes, q->len, NULL, 0);

		if (rc == -EAGAIN)
			return 0;
		if (rc < 0)
			return rc;
		queue_pop(c);
	}
	return 0;
}

// Descriptors of a received message; all are closed when there are more than the caller takes.
static int take_fds(struct msghdr *mh, int *fds, unsigned *n_fds)
{
	unsigned n = 0, n_over = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(mh); c; c = CMSG_NXTHDR(mh, c)) {
		size_t n_here = c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS
					? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int)
					: 0;

		for (size_t i = 0; i < n_here; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (fds && n < IPC_MAX_FDS) {
				fds[n++] = fd;
			} else {
				close(fd);
				n_over++;
			}
		}
	}
	if (n_over == 0 && !(mh->msg_flags & MSG_CTRUNC)) {
		if (n_fds)
			*n_fds = n;
		return 0;
	}
	while (n > 0)
		close(fds[--n]);
	return -EBADMSG;
}

static int refuse(const char **why, const char *reason, int err, const int *fds, unsigned n_fds)
{
	for (unsigned i = 0; i < n_fds; i++)
		close(fds[i]);
	if (why)
		*why = reason;
	return err_set(-err);
}

int ipc_chan_recv(struct ipc_chan *c, union ipc_msg *msg, int *fds, unsigned *n_fds, const char **why)
{
	alignas(struct cmsghdr) char control[CMSG_SPACE(IPC_MAX_FDS * sizeof(int))];
	struct iovec iov = {msg, sizeof(*msg)};
	struct msghdr mh = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	const char *reason = NULL;
	unsigned n = 0;
	ssize_t len;
	int rc;

	assert((fds == NULL) == (n_fds == NULL));
	memset(msg, 0, sizeof(*msg));
	if (n_fds)
		*n_fds = 0;
	do
		len = recvmsg(c->fd, &mh, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (len < 0 && errno == EINTR);
	if (len <= 0)
		return len == 0 || errno == ECONNRESET ? 0 : -errno;
	if (take_fds(&mh, fds, &n) < 0)
		return refuse(why, "unwanted descriptors", -EBADMSG, NULL, 0);
	if (mh.msg_flags & MSG_TRUNC)
		return refuse(why, "wrong length", -EBADMSG, fds, n);
	rc = ipc_check(msg, (size_t)len, c->we_are == IPC_FROM_CP ? IPC_FROM_DP : IPC_FROM_CP, &reason);
	if (rc < 0)
		return refuse(why, reason, rc, fds, n);
	if (n != (msg->hdr.type == EVT_HELLO ? IPC_HELLO_FDS((unsigned)msg->hello.n_workers) : 0))
		return refuse(why, "wrong number of descriptors", -EBADMSG, fds, n);
	if (n_fds)
		*n_fds = n;
	return (int)len;
}
