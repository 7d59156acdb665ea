#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"
#include "lib/base/err.h"
#include "lib/base/rand.h"
#include "lib/rtc/wire/demux.h"
#include "lib/rtc/wire/rtp.h"
#include "lib/rtc/wire/stun.h"
#include "tests/mock/mock.h"

#define PAYLOAD 80 // bytes of a voice packet

// --- making -----------------------------------------------------------------------------------------------

void mock_peer_socket(struct mock_peer *p)
{
	const char *server = p->dp->server ? p->dp->server : "127.0.0.1";
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(p->dp->hello.media_port)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = v4.sin_port};
	bool is_v4 = inet_pton(AF_INET, server, &v4.sin_addr) == 1;

	if (!is_v4 && inet_pton(AF_INET6, server, &v6.sin6_addr) != 1)
		die(EXIT_USAGE, "\"%s\" is no address", server);
	if (p->fd >= 0)
		close(p->fd);
	p->fd = socket(is_v4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (p->fd >= 0)
		(void)!setsockopt(p->fd, SOL_SOCKET, SO_TIMESTAMPNS, &(int){1}, sizeof(int));
	if (p->fd < 0 || (is_v4 ? connect(p->fd, (struct sockaddr *)&v4, sizeof(v4))
				: connect(p->fd, (struct sockaddr *)&v6, sizeof(v6))) < 0)
		die(EXIT_OS, "client socket: %s", strerror(errno));
}

static struct seal_key *new_key(struct mock_peer *p, const uint8_t *key, const uint8_t *salt)
{
	struct seal_key *k = aligned_alloc(64, (seal_key_size(p->seal) + 63) / 64 * 64);

	if (k == NULL || seal_key_init(p->seal, k, p->profile, key, salt) < 0)
		die(EXIT_SOFTWARE, "client key");
	return k;
}

void mock_peer_init(struct mock_peer *p, struct mock_dp *d, uint32_t sid, enum seal_profile profile)
{
	static const char chars[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/";
	char text[IPC_PWD_LEN + 1];

	*p = (struct mock_peer){.dp = d, .sid = sid, .profile = profile, .fd = -1};
	rand_text(text, IPC_UFRAG_LEN, chars);
	memcpy(p->ufrag, text, sizeof(p->ufrag));
	rand_text(text, IPC_PWD_LEN, chars);
	memcpy(p->pwd, text, sizeof(p->pwd));
	rand_bytes(p->rx_key, sizeof(p->rx_key));
	rand_bytes(p->rx_salt, sizeof(p->rx_salt));
	rand_bytes(p->tx_key, sizeof(p->tx_key));
	rand_bytes(p->tx_salt, sizeof(p->tx_salt));
	p->seal = seal_engine_new(NULL);
	if (p->seal == NULL)
		die(EXIT_SOFTWARE, "seal engine");
	p->tx = new_key(p, p->rx_key, p->rx_salt); // rx and tx are sluice-dp's names for them
	p->rx = new_key(p, p->tx_key, p->tx_salt);
	p->ssrc = rand_u32() | 1;
	p->ts = rand_u32();
	p->index = 1 + rand_u32() % 0x7fff;
	p->seen = calloc(MOCK_SEEN, sizeof(*p->seen));
	if (p->seen == NULL)
		die(EXIT_OS, "client memory");
	twcc_log_init(&p->arrivals, p->arrival_ring, 1024, 50 * NS_PER_MS);
	mock_peer_socket(p);
}

void mock_peer_close(struct mock_peer *p)
{
	seal_key_fini(p->tx);
	seal_key_fini(p->rx);
	free(p->tx);
	free(p->rx);
	seal_engine_free(p->seal);
	free(p->seen);
	close(p->fd);
	p->fd = -1;
}

// --- commands ---------------------------------------------------------------------------------------------

int mock_peer_add(struct mock_peer *p)
{
	struct ipc_session_add add = {.sid = p->sid, .call = 1, .cookie = 0xc00c1e00 + p->sid};

	memcpy(add.ufrag, p->ufrag, sizeof(add.ufrag));
	memcpy(add.pwd, p->pwd, sizeof(add.pwd));
	snprintf(add.name, sizeof(add.name), "session-%08x", p->sid);
	return mock_cmd(p->dp, &add, CMD_SESSION_ADD);
}

int mock_peer_keys(struct mock_peer *p)
{
	struct ipc_session_keys keys = {
		.sid = p->sid, .profile = p->profile, .rtcp_ssrc = 0x51000000 + p->sid};

	memcpy(keys.rx_key, p->rx_key, sizeof(keys.rx_key));
	memcpy(keys.rx_salt, p->rx_salt, sizeof(keys.rx_salt));
	memcpy(keys.tx_key, p->tx_key, sizeof(keys.tx_key));
	memcpy(keys.tx_salt, p->tx_salt, sizeof(keys.tx_salt));
	return mock_cmd(p->dp, &keys, CMD_SESSION_KEYS);
}

int mock_peer_track(struct mock_peer *p, bool enabled)
{
	struct ipc_track_add add = {.sid = p->sid,
				    .kind = KIND_AUDIO,
				    .enabled = enabled,
				    .mid = "0",
				    .clock_hz = 48000,
				    .ssrc = {p->ssrc},
				    .codec[0] = {.pt = MOCK_PT, .codec = CODEC_OPUS}};

	return mock_cmd(p->dp, &add, CMD_TRACK_ADD);
}

int mock_peer_gate(struct mock_peer *p, bool enabled)
{
	struct ipc_track_gate gate = {.sid = p->sid, .enabled = enabled};

	return mock_cmd(p->dp, &gate, CMD_TRACK_GATE);
}

void mock_join(struct mock_peer *p, struct mock_dp *d, uint32_t sid, enum seal_profile profile)
{
	struct ipc_session_extmap ext = {.sid = sid,
					 .id = {[EXT_LEVEL] = MOCK_LEVEL_ID,
						[EXT_TWCC] = MOCK_TWCC_ID,
						[EXT_MID] = MOCK_MID_ID,
						[EXT_RID] = MOCK_RID_ID,
						[EXT_RRID] = MOCK_RRID_ID}};

	mock_peer_init(p, d, sid, profile);
	if (mock_peer_add(p) != 0 || !mock_peer_check(p) || mock_peer_keys(p) != 0 ||
	    mock_cmd(d, &ext, CMD_SESSION_EXTMAP) != 0 || mock_peer_track(p, true) != 0) {
		mock_counters(d);
		die(EXIT_SOFTWARE, "session %08x does not get in (ack %d)", sid, d->ack.err);
	}
}

int mock_leave(struct mock_peer *p)
{
	struct ipc_session_ref ref = {.sid = p->sid};
	int err = mock_cmd(p->dp, &ref, CMD_SESSION_DEL);

	mock_peer_close(p);
	return err;
}

uint32_t mock_subscribe(struct mock_peer *to, const struct mock_peer *from)
{
	struct ipc_leg_add add = {.sid = to->sid,
				  .leg = to->next_leg++,
				  .kind = KIND_AUDIO,
				  .pt = MOCK_PT,
				  .src_sid = from->sid,
				  .codec = CODEC_OPUS,
				  .ssrc = rand_u32() | 1,
				  .clock_hz = 48000,
				  .mid = "1"};

	if (mock_cmd(to->dp, &add, CMD_LEG_ADD) != 0)
		die(EXIT_SOFTWARE, "leg refused: %d", to->dp->ack.err);
	return add.ssrc;
}

// --- sending ----------------------------------------------------------------------------------------------

void mock_send(struct mock_peer *p, const void *data, size_t len)
{
	// Refusals (the port was closed) show as missing replies.
	(void)!send(p->fd, data, len, MSG_NOSIGNAL);
}

static void hmac(void *engine, const uint8_t *key, size_t key_len, const uint8_t *msg, size_t len,
		 uint8_t out[20])
{
	seal_hmac_sha1(engine, key, key_len, msg, len, out);
}

void mock_peer_check_send(struct mock_peer *p, const char *pwd)
{
	struct stun_mac mac = {hmac, p->seal};
	struct stun_key key = {&mac, (const uint8_t *)pwd, IPC_PWD_LEN};
	uint8_t txid[STUN_TXID_LEN], msg[STUN_MAX_PROBE];
	struct stun_request req = {.txid = txid,
				   .to_ufrag = {p->ufrag, sizeof(p->ufrag)},
				   .from_ufrag = STR("mock"),
				   .priority = 1,
				   .use_candidate = true};
	int len;

	rand_bytes(txid, sizeof(txid));
	len = stun_write_request(msg, sizeof(msg), &req, &key);
	mock_send(p, msg, (size_t)len);
}

size_t mock_voice_build(struct mock_peer *p, unsigned level, uint8_t *out, size_t size)
{
	uint8_t level_byte = (uint8_t)level, twcc[2], payload[PAYLOAD] = {};
	struct rtp_ext ext[] = {{.id = MOCK_LEVEL_ID, .data = &level_byte, .len = 1},
				{.id = MOCK_TWCC_ID, .data = twcc, .len = 2}};
	struct seal_rtp job = {.key = p->tx, .hdr = out, .src = payload, .len = PAYLOAD, .ssrc = p->ssrc};
	int ext_len;

	be16_put(twcc, p->twcc++);
	be64_put(payload, p->index);
	rtp_write(out, true, false, MOCK_PT, (uint16_t)p->index, p->ts, p->ssrc);
	ext_len = rtp_ext_write(out + RTP_HDR_LEN, size - RTP_HDR_LEN, ext, 2);
	job.hdr_len = (uint16_t)(RTP_HDR_LEN + ext_len);
	job.dst = out + job.hdr_len;
	job.index = p->index++;
	p->ts += 960;
	if (seal_rtp_protect(p->seal, &job, 1) != 1)
		die(EXIT_SOFTWARE, "client cannot seal");
	return job.hdr_len + PAYLOAD + seal_rtp_tag_len(p->profile);
}

void mock_voice(struct mock_peer *p, unsigned level)
{
	uint8_t pkt[512];

	mock_send(p, pkt, mock_voice_build(p, level, pkt, sizeof(pkt)));
}

void mock_rtcp(struct mock_peer *p, const uint8_t *plain, size_t len)
{
	uint8_t pkt[1500];
	int sealed;

	memcpy(pkt, plain, len);
	sealed = seal_rtcp_protect(p->seal, p->tx, pkt, len, sizeof(pkt), p->rtcp_index++);
	if (sealed < 0)
		die(EXIT_SOFTWARE, "client cannot seal RTCP");
	mock_send(p, pkt, (size_t)sealed);
}

// --- hearing ----------------------------------------------------------------------------------------------

struct mock_stream *mock_stream(struct mock_peer *p, uint32_t ssrc)
{
	for (unsigned i = 0; i < p->n_streams; i++)
		if (p->stream[i].ssrc == ssrc)
			return &p->stream[i];
	return NULL;
}

static struct mock_stream *get_stream(struct mock_peer *p, uint32_t ssrc)
{
	struct mock_stream *s = mock_stream(p, ssrc);

	if (s == NULL && p->n_streams < MOCK_STREAMS) {
		s = &p->stream[p->n_streams++];
		*s = (struct mock_stream){.ssrc = ssrc};
	}
	return s;
}

static void enter(struct mock_stream *s, const struct rtp_view *v, const uint8_t *pkt, uint64_t index)
{
	static const uint8_t id[RTP_N_EXTS] = {[RTP_EXT_LEVEL] = MOCK_LEVEL_ID};
	struct rtp_exts exts;

	if (s->n == 0)
		s->first = s->top = index;
	else if (index > s->top) {
		s->n_gaps += index - s->top - 1;
		s->top = index;
	} else {
		s->n_late++;
	}
	s->n++;
	s->last_ts = v->ts;
	s->last_marker = v->marker;
	s->pt = v->pt;
	memcpy(s->last_payload, pkt + v->hdr_len, sizeof(s->last_payload));
	if (rtp_ext_read(pkt, v, id, &exts) == 0 && exts.has_level)
		s->last_level = exts.level;
}

static uint64_t hash_of(const uint8_t *p, size_t len)
{
	uint64_t h = 0xcbf29ce484222325;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 0x100000001b3;
	return h | 1;
}

// True: nothing came under this index yet.
static bool is_first(struct mock_peer *p, uint32_t ssrc, uint64_t index, uint64_t hash)
{
	struct mock_seen *e = &p->seen[(ssrc * 2654435761u ^ index) % MOCK_SEEN];
	bool is_same = e->hash && e->ssrc == ssrc && e->index == index;

	p->n_again += is_same && e->hash == hash;
	p->n_two += is_same && e->hash != hash;
	*e = (struct mock_seen){.ssrc = ssrc, .index = index, .hash = hash};
	return !is_same;
}

static bool is_lost(struct mock_peer *p, const struct rtp_view *v)
{
	if (p->n_to_lose == 0 || v->ssrc != p->lose_ssrc || p->n_lost == MOCK_LOSE)
		return false;
	p->n_to_lose--;
	p->lost[p->n_lost++] = v->seq;
	return true;
}

// True: a packet, or its repair, came that was lost.
static bool mend(struct mock_peer *p, const struct rtp_view *v, const uint8_t *payload)
{
	uint16_t seq = v->pt == MOCK_RTX ? be16_get(payload) : v->seq;

	p->n_rtx += v->pt == MOCK_RTX;
	if (v->ssrc != p->lose_ssrc + (v->pt == MOCK_RTX))
		return false;
	for (unsigned i = 0; i < p->n_lost; i++)
		if (p->lost[i] == seq) {
			p->lost[i] = p->lost[--p->n_lost];
			return true;
		}
	return false;
}

static void note_arrival(struct mock_peer *p, const uint8_t *pkt, const struct rtp_view *v)
{
	static const uint8_t id[RTP_N_EXTS] = {[RTP_EXT_TWCC] = MOCK_TWCC_ID};
	struct rtp_exts exts;

	if (rtp_ext_read(pkt, v, id, &exts) == 0 && exts.has_twcc)
		twcc_log_add(&p->arrivals, exts.twcc, p->arrival);
}

static bool on_rtp(struct mock_peer *p, uint8_t *pkt, size_t len)
{
	struct rtp_view v;
	struct mock_stream *s;
	uint64_t index, hash = hash_of(pkt, len);
	bool is_new;

	if (rtp_parse(pkt, len, seal_rtp_tag_len(p->profile), &v) < 0 ||
	    (s = get_stream(p, v.ssrc)) == NULL || srtpidx_estimate(&s->idx, v.seq, &index) < 0) {
		p->n_bad++;
		return false;
	}
	struct seal_rtp job = {.key = p->rx,
			       .hdr = pkt,
			       .src = pkt + v.hdr_len,
			       .dst = pkt + v.hdr_len,
			       .hdr_len = v.hdr_len,
			       .len = (uint16_t)(len - v.hdr_len),
			       .ssrc = v.ssrc,
			       .index = index};
	if (seal_rtp_unprotect(p->seal, &job, 1) != 1) {
		p->n_bad++;
		return false;
	}
	is_new = is_first(p, v.ssrc, index, hash);
	if (!v.has_pad && is_lost(p, &v))
		return false;
	srtpidx_accept(&s->idx, index);
	note_arrival(p, pkt, &v);
	if (mend(p, &v, pkt + v.hdr_len) || is_new)
		enter(s, &v, pkt, index);
	return true;
}

static void on_report(struct mock_peer *p, const struct rtcp_pkt *pkt)
{
	struct rtcp_sr sr;
	struct rtcp_fb fb;
	struct mock_stream *s;

	if (pkt->pt == RTCP_SR && rtcp_sr_read(pkt, &sr) == 0 && (s = mock_stream(p, sr.ssrc))) {
		s->n_sr++;
		s->sr = sr;
	} else if (pkt->pt == RTCP_RR) {
		p->n_rr++;
		(void)!rtcp_block_read(pkt, 0, &p->rr);
	} else if (pkt->pt == RTCP_RTPFB && pkt->count == RTPFB_TWCC) {
		p->n_twcc++;
	} else if (pkt->pt == RTCP_RTPFB && pkt->count == RTPFB_NACK && rtcp_fb_read(pkt, &fb) == 0) {
		p->n_nack++;
		p->n_nack_seqs = rtcp_nack_read(&fb, p->nack, MOCK_LOSE);
	} else if (pkt->pt == RTCP_PSFB && pkt->count == PSFB_PLI && rtcp_fb_read(pkt, &fb) == 0) {
		p->n_pli++;
		p->pli_ssrc = fb.media;
	} else if (pkt->pt == RTCP_SDES) {
		p->n_sdes++;
	}
}

static void on_rtcp(struct mock_peer *p, uint8_t *data, size_t len)
{
	struct rtcp_iter it;
	struct rtcp_pkt pkt;
	uint32_t index;
	int plain = seal_rtcp_unprotect(p->seal, p->rx, data, len, &index);

	if (plain < 0) {
		p->n_bad++;
		return;
	}
	p->n_rtcp++;
	rtcp_begin(&it, data, (size_t)plain);
	while (rtcp_next(&it, &pkt))
		on_report(p, &pkt);
	p->n_bad += it.bad;
}

static void on_stun(struct mock_peer *p, uint8_t *data, size_t len)
{
	struct stun_mac mac = {hmac, p->seal};
	struct stun_msg msg;

	if (stun_parse(data, len, &msg) < 0 ||
	    !stun_mac_check(&msg, &mac, (const uint8_t *)p->pwd, sizeof(p->pwd)))
		p->n_bad++;
	else if (msg.cls == STUN_SUCCESS)
		p->n_stun_ok++;
	else
		p->n_stun_error++;
}

// One datagram; true when it was voice.
static bool on_datagram(struct mock_peer *p, uint8_t *data, size_t len)
{
	switch (demux_classify(data, len)) {
	case DEMUX_RTP:
		return on_rtp(p, data, len);
	case DEMUX_RTCP:
		on_rtcp(p, data, len);
		return false;
	case DEMUX_STUN:
		on_stun(p, data, len);
		return false;
	case DEMUX_DTLS:
		p->n_dtls++;
		memcpy(p->dtls, data, len);
		p->dtls_len = len;
		return false;
	default:
		p->n_bad++;
		return false;
	}
}

// A datagram and when it came, not when this program looked: feedback must not report our own sleep as a queue.
static ssize_t receive(struct mock_peer *p, uint8_t *data, size_t size)
{
	struct iovec iov = {data, size};
	alignas(struct cmsghdr) char control[64];
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	ssize_t len = recvmsg(p->fd, &msg, MSG_DONTWAIT);
	struct cmsghdr *c = len < 0 ? NULL : CMSG_FIRSTHDR(&msg);
	struct timespec at;

	p->arrival = clock_now();
	if (c == NULL || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_TIMESTAMPNS)
		return len;
	memcpy(&at, CMSG_DATA(c), sizeof(at));
	p->arrival -= clock_wall() - (at.tv_sec * NS_PER_S + at.tv_nsec);
	return len;
}

// Wait for one datagram and take it. 1 voice, 0 something else, -1 nothing came.
static int hear_one(struct mock_peer *p, ns_t end)
{
	int left = (int)((end - clock_now() + NS_PER_MS - 1) / NS_PER_MS);
	struct pollfd fd = {.fd = p->fd, .events = POLLIN};
	uint8_t data[2048];
	ssize_t len;

	if (poll(&fd, 1, left > 0 ? left : 0) <= 0)
		return -1;
	len = receive(p, data, sizeof(data));
	return len > 0 && on_datagram(p, data, (size_t)len);
}

unsigned mock_hear(struct mock_peer *p, unsigned n, unsigned ms)
{
	ns_t end = clock_now() + ms * NS_PER_MS;
	unsigned n_voice = 0;
	int got;

	while ((n == 0 || n_voice < n) && (got = hear_one(p, end)) >= 0)
		n_voice += (unsigned)got;
	return n_voice;
}

bool mock_peer_check(struct mock_peer *p)
{
	ns_t end = clock_now() + MOCK_WAIT_MS * NS_PER_MS;
	uint64_t before = p->n_stun_ok;

	mock_peer_check_send(p, p->pwd);
	while (p->n_stun_ok == before && hear_one(p, end) >= 0)
		;
	return p->n_stun_ok > before;
}
