// A record: version, flags, sid, strings with 16-bit lengths, tracks; and the seal around the negotiated state.
#include "controlplane/session/persist.h"

#include <openssl/evp.h>
#include <openssl/rand.h>

#include "controlplane/negotiate/negotiate.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"

#define VERSION 2
#define NONCE_LEN 12
#define TAG_LEN 16

enum track_flags { F_HELD = 1, F_WITHDRAWN = 2 };
enum record_flags { F_CHANNEL = 1, F_AV1 = 2, F_HAS_AV1 = 4, F_DC = 8, F_HAS_DC = 16, F_MIC = 32 };

// --- records ---------------------------------------------------------------------------------------
static void put_str(struct wbuf *w, struct str s)
{
	if (s.len > UINT16_MAX)
		w->full = true;
	wbuf_u16(w, (uint16_t)s.len);
	wbuf_bytes(w, s.p, s.len);
}

static struct str get_str(struct rbuf *r)
{
	size_t len = rbuf_u16(r);
	const uint8_t *p = rbuf_take(r, len);

	return p ? (struct str){(const char *)p, len} : STR_NONE;
}

static void put_track(struct wbuf *w, const struct persist_track *t)
{
	wbuf_u8(w, t->type);
	wbuf_u8(w, (uint8_t)((t->is_held ? F_HELD : 0) | (t->withdrawn ? F_WITHDRAWN : 0)));
	put_str(w, t->mid);
	put_str(w, t->suffix);
}

static void get_tracks(struct rbuf *b, struct persist_record *r)
{
	r->n_tracks = rbuf_u8(b);
	if (r->n_tracks > IPC_MAX_TRACKS) {
		b->bad = true;
		r->n_tracks = 0;
	}
	for (unsigned i = 0; i < r->n_tracks; i++) {
		struct persist_track *t = &r->tracks[i];
		uint8_t flags;

		t->type = rbuf_u8(b);
		flags = rbuf_u8(b);
		t->is_held = flags & F_HELD;
		t->withdrawn = flags & F_WITHDRAWN;
		t->mid = get_str(b);
		t->suffix = get_str(b);
		b->bad |= t->type > TYPE_VIDEO || flags > (F_HELD | F_WITHDRAWN);
	}
}

int persist_encode(const struct persist_record *r, void *buf, size_t size)
{
	struct wbuf w = wbuf_of(buf, size);
	const struct join_msg *j = &r->join;
	const struct join_flags *f = &j->flags;

	wbuf_u8(&w, VERSION);
	wbuf_u8(&w, (uint8_t)((f->has_channel ? F_CHANNEL : 0) | (f->av1_support ? F_AV1 : 0) |
			      (f->has_av1 ? F_HAS_AV1 : 0) | (f->dc_signaling ? F_DC : 0) |
			      (f->has_dc ? F_HAS_DC : 0) | (r->mic_on ? F_MIC : 0)));
	wbuf_u32(&w, r->sid);
	put_str(&w, r->client);
	put_str(&w, j->call_id);
	put_str(&w, j->user_id);
	put_str(&w, j->session_id);
	put_str(&w, j->channel_id);
	put_str(&w, r->screen_id);
	put_str(&w, r->video_id);
	wbuf_u8(&w, (uint8_t)r->n_tracks);
	for (unsigned i = 0; i < r->n_tracks; i++)
		put_track(&w, &r->tracks[i]);
	put_str(&w, r->sealed);
	return w.full ? -ENOSPC : (int)wbuf_len(&w);
}

int persist_decode(struct str value, struct persist_record *r)
{
	struct rbuf b = rbuf_of(value.p, value.len);
	uint8_t version = rbuf_u8(&b), flags = rbuf_u8(&b);

	*r = (struct persist_record){.sid = rbuf_u32(&b)};
	if (b.bad)
		return -EBADMSG;
	if (version != VERSION)
		return -ENOTSUP;
	r->client = get_str(&b);
	r->join = (struct join_msg){.call_id = get_str(&b)};
	r->join.user_id = get_str(&b);
	r->join.session_id = get_str(&b);
	r->join.channel_id = get_str(&b);
	r->screen_id = get_str(&b);
	r->video_id = get_str(&b);
	get_tracks(&b, r);
	r->sealed = get_str(&b);
	r->join.flags.has_channel = flags & F_CHANNEL;
	r->join.flags.av1_support = flags & F_AV1;
	r->join.flags.has_av1 = flags & F_HAS_AV1;
	r->join.flags.dc_signaling = flags & F_DC;
	r->join.flags.has_dc = flags & F_HAS_DC;
	r->mic_on = flags & F_MIC;
	if (b.bad || r->sid == 0 || r->client.len == 0 || r->join.call_id.len == 0 ||
	    r->join.user_id.len == 0 || r->join.session_id.len == 0)
		return -EBADMSG;
	return 0;
}

// --- sealing ---------------------------------------------------------------------------------------
static int derive(uint64_t cookie, uint32_t sid, uint8_t key[32])
{
	uint8_t in[32] = "sluice session state";
	unsigned len = 0;

	be64_put(in + 20, cookie);
	be32_put(in + 28, sid);
	return EVP_Digest(in, sizeof(in), key, &len, EVP_sha256(), NULL) == 1 && len == 32 ? 0 : -EIO;
}

int persist_seal(uint64_t cookie, uint32_t sid, const void *in, size_t len, void *out)
{
	EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
	uint8_t key[32], *o = out;
	int n = 0, rest = 0, rc = -EIO;

	if (c == NULL || derive(cookie, sid, key) < 0 || RAND_bytes(o, NONCE_LEN) != 1)
		goto out;
	if (EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, o) == 1 &&
	    EVP_EncryptUpdate(c, o + NONCE_LEN, &n, in, (int)len) == 1 &&
	    EVP_EncryptFinal_ex(c, o + NONCE_LEN + n, &rest) == 1 &&
	    EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG_LEN, o + NONCE_LEN + n) == 1)
		rc = NONCE_LEN + n + TAG_LEN;
out:
	explicit_bzero(key, sizeof(key));
	EVP_CIPHER_CTX_free(c);
	return rc;
}

int persist_open(uint64_t cookie, uint32_t sid, struct str sealed, void *out)
{
	EVP_CIPHER_CTX *c;
	const uint8_t *in = (const uint8_t *)sealed.p;
	uint8_t key[32];
	int n = 0, rest = 0, rc = -EBADMSG, len = (int)sealed.len - NONCE_LEN - TAG_LEN;

	if (len < 0)
		return -EBADMSG;
	c = EVP_CIPHER_CTX_new();
	if (c == NULL || derive(cookie, sid, key) < 0)
		goto out;
	if (EVP_DecryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, in) == 1 &&
	    EVP_DecryptUpdate(c, out, &n, in + NONCE_LEN, len) == 1 &&
	    EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG_LEN,
				(void *)(uintptr_t)(in + NONCE_LEN + len)) == 1 &&
	    EVP_DecryptFinal_ex(c, (uint8_t *)out + n, &rest) == 1)
		rc = n;
out:
	explicit_bzero(key, sizeof(key));
	EVP_CIPHER_CTX_free(c);
	return rc;
}
