// Data channels over usrsctp with AF_CONN sockets: its "addresses" are our handles.
//
// Rules that keep this safe: usrsctp's receive callback only appends to the association's inbox (it runs
// inside usrsctp, with its state half changed); deliver() empties the inbox after usrsctp has returned.
// An association that is freed leaves the pool at once, so whatever usrsctp still has to say about the
// handle is dropped.
#include "lib/peer/dchan.h"

#include <assert.h>
#include <usrsctp.h>

#include "lib/base/err.h"
#include "lib/base/list.h"
#include "lib/base/pool.h"
#include "lib/rtc/wire/dcep.h"

#define RECV_WINDOW (128 * 1024)
#define SHORT_BYTES 16 // of a message that nobody waits to see acknowledged

enum inbox_kind { IN_DATA, IN_UP, IN_DOWN, IN_RESET };

struct inbox {
	STAILQ_ENTRY(inbox) next;
	enum inbox_kind kind;
	uint16_t stream;
	uint32_t ppid;
	uint8_t *data; // owned
	size_t len;
};

struct dchan {
	TAILQ_ENTRY(dchan) next_pending;
	STAILQ_HEAD(, inbox) inbox;
	handle_t id;
	struct socket *sock; // owned
	struct dchan_ops ops;
	void *arg;
	uint8_t *part; // owned: the message being delivered in pieces
	size_t part_len;
	uint16_t part_stream;
	bool is_up, is_down, is_pending;
	uint64_t open_ours, open_theirs; // streams with a channel, by who opened it
};
static_assert(DCHAN_MAX_STREAMS <= 64, "one bit a stream");

static struct {
	struct pool *pool;
	ns_t clocked;
	TAILQ_HEAD(, dchan) pending; // inbox not empty
	bool is_sending;             // inside ops.send, which must not call back
} lib;

static struct dchan *find(void *addr)
{
	return lib.pool ? pool_find(lib.pool, (handle_t)(uintptr_t)addr) : NULL;
}

// --- called by usrsctp -------------------------------------------------------------------------
static int on_output(void *addr, void *packet, size_t len, uint8_t tos, uint8_t set_df)
{
	struct dchan *d = find(addr);

	if (d != NULL && !d->is_down) {
		lib.is_sending = true;
		d->ops.send(d->arg, packet, len);
		lib.is_sending = false;
	}
	return 0;
}

static void push(struct dchan *d, enum inbox_kind kind, uint16_t stream, uint32_t ppid, uint8_t *data,
		 size_t len)
{
	struct inbox *in = malloc(sizeof(*in));

	if (in == NULL) {
		free(data);
		return;
	}
	*in = (struct inbox){.kind = kind, .stream = stream, .ppid = ppid, .data = data, .len = len};
	STAILQ_INSERT_TAIL(&d->inbox, in, next);
	if (!d->is_pending) {
		d->is_pending = true;
		TAILQ_INSERT_TAIL(&lib.pending, d, next_pending);
	}
}

static void on_notification(struct dchan *d, const union sctp_notification *n, size_t len)
{
	if (len < sizeof(n->sn_header) || n->sn_header.sn_length > len)
		return;
	switch (n->sn_header.sn_type) {
	case SCTP_ASSOC_CHANGE:
		if (n->sn_assoc_change.sac_state == SCTP_COMM_UP)
			push(d, IN_UP, 0, 0, NULL, 0);
		else if (n->sn_assoc_change.sac_state != SCTP_RESTART)
			push(d, IN_DOWN, 0, 0, NULL, 0);
		break;
	case SCTP_STREAM_RESET_EVENT: {
		const struct sctp_stream_reset_event *r = &n->sn_strreset_event;
		size_t count = (r->strreset_length - sizeof(*r)) / sizeof(uint16_t);
		if (!(r->strreset_flags & SCTP_STREAM_RESET_INCOMING_SSN))
			break;
		for (size_t i = 0; i < count && i < DCHAN_MAX_STREAMS; i++)
			push(d, IN_RESET, r->strreset_stream_list[i], 0, NULL, 0);
		break;
	}
	default:
		break;
	}
}

// Collect pieces until the record ends. Takes data.
static void on_piece(struct dchan *d, uint16_t stream, uint32_t ppid, uint8_t *data, size_t len, bool is_last)
{
	uint8_t *grown;

	if (d->part == NULL && is_last && len <= DCHAN_MAX_MSG) {
		push(d, IN_DATA, stream, ppid, data, len);
		return;
	}
	grown = d->part_len + len <= DCHAN_MAX_MSG && (d->part == NULL || d->part_stream == stream)
			? realloc(d->part, d->part_len + len + 1)
			: NULL;
	if (grown == NULL) {
		free(data);
		push(d, IN_DOWN, 0, 0, NULL, 0); // too big for us or out of memory: this peer goes
		return;
	}
	memcpy(grown + d->part_len, data, len);
	free(data);
	d->part = grown;
	d->part_len += len;
	d->part_stream = stream;
	if (!is_last)
		return;
	push(d, IN_DATA, stream, ppid, d->part, d->part_len);
	d->part = NULL;
	d->part_len = 0;
}

static int on_receive(struct socket *sock, union sctp_sockstore from, void *data, size_t len,
		      struct sctp_rcvinfo info, int flags, void *ulp)
{
	struct dchan *d = find(ulp);

	if (d == NULL || d->is_down) {
		free(data);
	} else if (data == NULL) {
		push(d, IN_DOWN, 0, 0, NULL, 0);
	} else if (flags & MSG_NOTIFICATION) {
		on_notification(d, data, len);
		free(data);
	} else {
		on_piece(d, info.rcv_sid, ntohl(info.rcv_ppid), data, len, flags & MSG_EOR);
	}
	return 1;
}

// --- library -----------------------------------------------------------------------------------
int dchan_start(ns_t now)
{
	assert(lib.pool == NULL); // once
	lib.pool = pool_new(sizeof(struct dchan), POOL_MAX_SLOTS - 1);
	if (lib.pool == NULL)
		return -ENOMEM;
	TAILQ_INIT(&lib.pending);
	lib.clocked = now;
	usrsctp_init_nothreads(0, on_output, NULL);
	usrsctp_sysctl_set_sctp_ecn_enable(0);
	usrsctp_sysctl_set_sctp_auth_enable(0);
	usrsctp_sysctl_set_sctp_asconf_enable(0);
	usrsctp_sysctl_set_sctp_nrsack_enable(0);
	usrsctp_sysctl_set_sctp_pktdrop_enable(0);
	usrsctp_sysctl_set_sctp_blackhole(2); // no answer to packets of unknown associations
	usrsctp_sysctl_set_sctp_max_chunks_on_queue(256);
	// With the pace of the clock it stays below the 400 ms after which Chromium sends again.
	usrsctp_sysctl_set_sctp_delayed_sack_time_default(100);
	usrsctp_tunable_set_sctp_pcbtblsize(1); // of each endpoint, which has one association
	usrsctp_sysctl_set_sctp_nr_outgoing_streams_default(DCHAN_MAX_STREAMS);
	return 0;
}

void dchan_stop(void)
{
	struct dchan *d;
	uint32_t cursor = 0;

	if (lib.pool == NULL)
		return;
	while ((d = pool_next(lib.pool, &cursor, NULL)) != NULL)
		dchan_free(d);
	for (int i = 0; i < 64 && usrsctp_finish() != 0; i++)
		usrsctp_handle_timers(1000); // endpoints are freed from timers
	pool_free(lib.pool);
	lib.pool = NULL;
}

static void deliver(struct dchan *d);

static void deliver_all(void)
{
	struct dchan *d;

	while ((d = TAILQ_FIRST(&lib.pending)) != NULL)
		deliver(d);
}

void dchan_clock(ns_t now)
{
	ns_t elapsed = now - lib.clocked;

	if (lib.pool == NULL || elapsed < NS_PER_MS)
		return;
	if (elapsed > 10 * NS_PER_S)
		elapsed = 10 * NS_PER_S; // suspended: do not fire every retransmission at once
	lib.clocked = now - elapsed % NS_PER_MS;
	usrsctp_handle_timers((uint32_t)(elapsed / NS_PER_MS));
	deliver_all();
}

// --- association -------------------------------------------------------------------------------
static bool set_options(struct socket *s)
{
	struct linger abort_on_close = {.l_onoff = 1, .l_linger = 0};
	struct sctp_initmsg init = {.sinit_num_ostreams = DCHAN_MAX_STREAMS,
				    .sinit_max_instreams = DCHAN_MAX_STREAMS,
				    .sinit_max_attempts = 12,
				    .sinit_max_init_timeo = 3000};
	struct sctp_rtoinfo rto = {.srto_initial = 500, .srto_min = 300, .srto_max = 3000};
	// The path is watched by ICE consent, so SCTP itself never gives up first and sends no heartbeats.
	struct sctp_assocparams assoc = {.sasoc_asocmaxrxt = 60, .sasoc_cookie_life = 60000};
	struct sctp_assoc_value reset = {.assoc_id = SCTP_ALL_ASSOC,
					 .assoc_value = SCTP_ENABLE_RESET_STREAM_REQ};
	struct sctp_paddrparams path = {.spp_pathmtu =
						DCHAN_MAX_PACKET - 30, // it may exceed this by a chunk header
					.spp_pathmaxrxt = 60,
					.spp_flags = SPP_PMTUD_DISABLE | SPP_HB_DISABLE};
	int on = 1, sndbuf = DCHAN_MAX_QUEUE, rcvbuf = RECV_WINDOW, interleave = 0;
	static const uint16_t events[] = {SCTP_ASSOC_CHANGE, SCTP_STREAM_RESET_EVENT};

	for (size_t i = 0; i < ARRAY_LEN(events); i++) {
		struct sctp_event e = {.se_assoc_id = SCTP_ALL_ASSOC, .se_type = events[i], .se_on = 1};
		if (usrsctp_setsockopt(s, IPPROTO_SCTP, SCTP_EVENT, &e, sizeof(e)) < 0)
			return false;
	}
	return usrsctp_set_non_blocking(s, 1) == 0 &&
	       usrsctp_setsockopt(s, SOL_SOCKET, SO_LINGER, &abort_on_close, sizeof(abort_on_close)) == 0 &&
	       usrsctp_setsockopt(s, SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof(sndbuf)) == 0 &&
	       usrsctp_setsockopt(s, SOL_SOCKET, SO_RCVBUF, &rcvbuf, sizeof(rcvbuf)) == 0 &&
	       usrsctp_setsockopt(s, IPPROTO_SCTP, SCTP_NODELAY, &on, sizeof(on)) == 0 &&
	       usrsctp_setsockopt(s, IPPROTO_SCTP, SCTP_FRAGMENT_INTERLEAVE, &interleave,
				  sizeof(interleave)) == 0 &&
	       usrsctp_setsockopt(s, IPPROTO_SCTP, SCTP_INITMSG, &init, sizeof(init)) == 0 &&
	       usrsctp_setsockopt(s, IPPROTO_SCTP, SCTP_RTOINFO, &rto, sizeof(rto)) == 0 &&
	       usrsctp_setsockopt(s, IPPROTO_SCTP, SCTP_ASSOCINFO, &assoc, sizeof(assoc)) == 0 &&
	       usrsctp_setsockopt(s, IPPROTO_SCTP, SCTP_ENABLE_STREAM_RESET, &reset, sizeof(reset)) == 0 &&
	       usrsctp_setsockopt(s, IPPROTO_SCTP, SCTP_PEER_ADDR_PARAMS, &path, sizeof(path)) == 0;
}

struct dchan *dchan_new(const struct dchan_ops *ops, void *arg)
{
	struct sockaddr_conn addr = {.sconn_family = AF_CONN, .sconn_port = htons(DCHAN_PORT)};
	struct dchan *d;
	handle_t id;

	assert(ops->send && ops->on_up && ops->on_open && ops->on_message && ops->on_closed && ops->on_down);
	if (lib.pool == NULL)
		return err_null(EINVAL);
	d = pool_get(lib.pool, &id);
	if (d == NULL)
		return NULL;
	*d = (struct dchan){.id = id, .ops = *ops, .arg = arg};
	STAILQ_INIT(&d->inbox);
	addr.sconn_addr = (void *)(uintptr_t)id;
	usrsctp_register_address(addr.sconn_addr);
	d->sock = usrsctp_socket(AF_CONN, SOCK_STREAM, IPPROTO_SCTP, on_receive, NULL, 0, addr.sconn_addr);
	if (d->sock == NULL || !set_options(d->sock) ||
	    usrsctp_bind(d->sock, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    (usrsctp_connect(d->sock, (struct sockaddr *)&addr, sizeof(addr)) < 0 && errno != EINPROGRESS)) {
		dchan_free(d);
		return err_null(ENOMEM);
	}
	return d;
}

static void inbox_clear(struct dchan *d)
{
	struct inbox *in;

	while ((in = STAILQ_FIRST(&d->inbox)) != NULL) {
		STAILQ_REMOVE_HEAD(&d->inbox, next);
		free(in->data);
		free(in);
	}
	if (d->is_pending)
		TAILQ_REMOVE(&lib.pending, d, next_pending);
	d->is_pending = false;
}

void dchan_free(struct dchan *d)
{
	void *addr;

	if (d == NULL)
		return;
	assert(!lib.is_sending);
	addr = (void *)(uintptr_t)d->id;
	if (d->sock != NULL)
		usrsctp_close(d->sock); // sends ABORT, so the pool entry must still be there
	usrsctp_deregister_address(addr);
	inbox_clear(d);
	free(d->part);
	pool_put(lib.pool, d->id);
}

void dchan_input(struct dchan *d, const uint8_t *packet, size_t len)
{
	assert(!lib.is_sending);
	if (len < 12 || d->is_down)
		return;
	usrsctp_conninput((void *)(uintptr_t)d->id, packet, len, 0);
	deliver_all();
}

// --- messages out ------------------------------------------------------------------------------
static int send_ppid(struct dchan *d, uint16_t stream, uint32_t ppid, const void *data, size_t len)
{
	// Acknowledged at once (RFC 7053), as some offers wait for their media map to have arrived; not so pings, pongs and
	// locks, whose acknowledgement may travel with what the peer sends next.
	struct sctp_sndinfo info = {.snd_sid = stream,
				    .snd_flags = len > SHORT_BYTES ? SCTP_SACK_IMMEDIATELY : 0,
				    .snd_ppid = htonl(ppid)};

	assert(!lib.is_sending);
	if (!d->is_up || d->is_down)
		return -ENOTCONN;
	if (len > DCHAN_MAX_MSG)
		return -EMSGSIZE;
	if (usrsctp_sendv(d->sock, data, len, NULL, 0, &info, sizeof(info), SCTP_SENDV_SNDINFO, 0) >= 0)
		return 0;
	return errno == EWOULDBLOCK || errno == EAGAIN || errno == ENOBUFS ? -ENOBUFS : -ENOTCONN;
}

static bool has_channel(const struct dchan *d, uint16_t stream)
{
	return stream < DCHAN_MAX_STREAMS && ((d->open_ours | d->open_theirs) >> stream & 1);
}

int dchan_send(struct dchan *d, uint16_t stream, enum dchan_kind kind, const void *data, size_t len)
{
	static const uint8_t zero;

	if (!has_channel(d, stream))
		return -ENOTCONN;
	if (len == 0) // RFC 8831 section 6.6: SCTP cannot carry an empty message
		return send_ppid(d, stream,
				 kind == DCHAN_TEXT ? DCEP_PPID_STRING_EMPTY : DCEP_PPID_BINARY_EMPTY, &zero,
				 1);
	return send_ppid(d, stream, kind == DCHAN_TEXT ? DCEP_PPID_STRING : DCEP_PPID_BINARY, data, len);
}

int dchan_open(struct dchan *d, uint16_t stream, struct str label)
{
	uint8_t msg[16 + 256];
	struct wbuf w = wbuf_of(msg, sizeof(msg));
	int rc;

	if (stream >= DCHAN_MAX_STREAMS || label.len > 255)
		return -EINVAL;
	dcep_write_open(&w, &(struct dcep_open){.channel = DCEP_RELIABLE, .label = label});
	rc = send_ppid(d, stream, DCEP_PPID_CONTROL, msg, wbuf_len(&w));
	if (rc == 0)
		d->open_ours |= UINT64_C(1) << stream;
	return rc;
}

bool dchan_is_flushed(const struct dchan *d)
{
	struct sctp_status st = {};
	socklen_t len = sizeof(st);

	if (!d->is_up || d->is_down)
		return true;
	if (usrsctp_getsockopt(d->sock, IPPROTO_SCTP, SCTP_STATUS, &st, &len) < 0)
		return true;
	return st.sstat_unackdata == 0 && st.sstat_penddata == 0;
}

// --- messages in -------------------------------------------------------------------------------
static void on_dcep(struct dchan *d, uint16_t stream, const uint8_t *p, size_t len)
{
	struct dcep_open open;
	uint8_t ack[4];
	struct wbuf w = wbuf_of(ack, sizeof(ack));
	int type = dcep_parse(p, len, &open);

	if (stream >= DCHAN_MAX_STREAMS)
		return;
	if (type == DCEP_ACK && (d->open_ours >> stream & 1)) {
		d->ops.on_open(d->arg, stream, STR_NONE, STR_NONE);
		return;
	}
	if (type != DCEP_OPEN || (d->open_theirs >> stream & 1))
		return;
	dcep_write_ack(&w);
	if (send_ppid(d, stream, DCEP_PPID_CONTROL, ack, wbuf_len(&w)) < 0)
		return;
	d->open_theirs |= UINT64_C(1) << stream;
	d->ops.on_open(d->arg, stream, open.label, open.protocol);
}

static void on_data(struct dchan *d, const struct inbox *in)
{
	switch (in->ppid) {
	case DCEP_PPID_CONTROL:
		on_dcep(d, in->stream, in->data, in->len);
		break;
	case DCEP_PPID_STRING:
	case DCEP_PPID_BINARY:
	case DCEP_PPID_STRING_EMPTY:
	case DCEP_PPID_BINARY_EMPTY:
		if (has_channel(d, in->stream)) {
			bool is_empty =
				in->ppid == DCEP_PPID_STRING_EMPTY || in->ppid == DCEP_PPID_BINARY_EMPTY;
			bool is_text = in->ppid == DCEP_PPID_STRING || in->ppid == DCEP_PPID_STRING_EMPTY;
			d->ops.on_message(d->arg, in->stream, is_text ? DCHAN_TEXT : DCHAN_BINARY, in->data,
					  is_empty ? 0 : in->len);
		}
		break;
	default: // 52 and 54 are withdrawn partial messages (RFC 8831 section 6.6)
		break;
	}
}

// A channel closes by resetting both directions (RFC 8831 section 6.7).
static void on_reset(struct dchan *d, uint16_t stream)
{
	uint8_t room[sizeof(struct sctp_reset_streams) + sizeof(uint16_t)];
	struct sctp_reset_streams *r = (void *)room;

	if (!has_channel(d, stream))
		return;
	*r = (struct sctp_reset_streams){.srs_assoc_id = SCTP_ALL_ASSOC,
					 .srs_flags = SCTP_STREAM_RESET_OUTGOING,
					 .srs_number_streams = 1};
	r->srs_stream_list[0] = stream;
	usrsctp_setsockopt(d->sock, IPPROTO_SCTP, SCTP_RESET_STREAMS, r, sizeof(room));
	d->open_ours &= ~(UINT64_C(1) << stream);
	d->open_theirs &= ~(UINT64_C(1) << stream);
	d->ops.on_closed(d->arg, stream);
}

static void hand_out(struct dchan *d, const struct inbox *in)
{
	switch (in->kind) {
	case IN_UP:
		if (!d->is_up) {
			d->is_up = true;
			d->ops.on_up(d->arg);
		}
		break;
	case IN_DATA:
		on_data(d, in);
		break;
	case IN_RESET:
		on_reset(d, in->stream);
		break;
	case IN_DOWN:
		d->is_down = true;
		d->ops.on_down(d->arg);
		break;
	}
}

// Empty the inbox; a callback may free d, which the pool then does not know any more.
static void deliver(struct dchan *d)
{
	handle_t id = d->id;
	struct inbox *in;

	assert(d->is_pending);
	d->is_pending = false;
	TAILQ_REMOVE(&lib.pending, d, next_pending);
	while (pool_find(lib.pool, id) == d && (in = STAILQ_FIRST(&d->inbox)) != NULL) {
		STAILQ_REMOVE_HEAD(&d->inbox, next);
		if (!d->is_down)
			hand_out(d, in);
		free(in->data);
		free(in);
	}
}
