#include "controlplane/plugin/wsmsg.h"

#include <assert.h>
#include <errno.h>

#include "lib/base/rand.h"
#include "lib/rtc/wire/msgpack.h"

static const char *const type_names[N_WSMSG] = {
	[WSMSG_UNKNOWN] = "unknown", [WSMSG_HELLO] = "hello",
	[WSMSG_JOIN] = "join",       [WSMSG_RECONNECT] = "reconnect",
	[WSMSG_LEAVE] = "leave",     [WSMSG_RTC] = "rtc",
	[WSMSG_VAD] = "vad",         [WSMSG_CLOSE] = "close",
};

const char *wsmsg_type_name(enum wsmsg_type type)
{
	return type_names[type];
}

static int wsmsg_refuse(struct wsmsg *m, const char *error)
{
	m->error = error;
	return -EINVAL;
}

static enum wsmsg_type type_of(struct str word)
{
	for (unsigned i = WSMSG_HELLO; i < N_WSMSG; i++)
		if (str_eq(word, str_of(type_names[i])))
			return (enum wsmsg_type)i;
	return WSMSG_UNKNOWN;
}

// --- join: a map of anything; values of another type than expected count as absent --------------------
static void read_join_str(struct mp_reader value, struct str *out, bool *has)
{
	bool ok = mp_read_str(&value, out) == 0;

	if (!ok)
		*out = STR_NONE;
	if (has)
		*has = ok;
}

static void read_join_bool(struct mp_reader value, bool *out, bool *has)
{
	*has = mp_read_bool(&value, out) == 0;
	if (!*has)
		*out = false;
}

static void read_join_value(struct str key, struct mp_reader value, struct join_msg *j)
{
	if (str_eq(key, STR("callID")))
		read_join_str(value, &j->call_id, NULL);
	else if (str_eq(key, STR("userID")))
		read_join_str(value, &j->user_id, NULL);
	else if (str_eq(key, STR("sessionID")))
		read_join_str(value, &j->session_id, NULL);
	else if (str_eq(key, STR("channelID")))
		read_join_str(value, &j->channel_id, &j->flags.has_channel);
	else if (str_eq(key, STR("av1Support")))
		read_join_bool(value, &j->flags.av1_support, &j->flags.has_av1);
	else if (str_eq(key, STR("dcSignaling")))
		read_join_bool(value, &j->flags.dc_signaling, &j->flags.has_dc);
}

static int check_id(struct wsmsg *m, struct str id, const char *when_empty)
{
	if (id.len == 0)
		return wsmsg_refuse(m, when_empty);
	return id.len > WSMSG_MAX_ID ? wsmsg_refuse(m, "id too long") : 0;
}

static int decode_join(struct mp_reader *r, struct wsmsg *m)
{
	struct join_msg *j = &m->join;
	uint32_t n;

	if (mp_read_map(r, &n) < 0)
		return wsmsg_refuse(m, "join is not a map");
	while (n-- > 0) {
		struct str key;
		struct mp_reader value;

		if (mp_read_bytes(r, false, &key) < 0)
			return wsmsg_refuse(m, "join has a key that is not a string");
		value = *r;
		if (mp_skip(r) < 0)
			return wsmsg_refuse(m, "join is malformed");
		read_join_value(key, value, j);
	}
	if (check_id(m, j->call_id, "invalid CallID value: should not be empty") < 0 ||
	    check_id(m, j->user_id, "invalid UserID value: should not be empty") < 0 ||
	    check_id(m, j->session_id, "invalid SessionID value: should not be empty") < 0)
		return -EINVAL;
	return j->channel_id.len > WSMSG_MAX_ID ? wsmsg_refuse(m, "id too long") : 0;
}

// --- leave, reconnect: a map of strings ----------------------------------------------------------------
static int decode_session(struct mp_reader *r, struct wsmsg *m)
{
	uint32_t n;

	if (mp_read_map(r, &n) < 0)
		return wsmsg_refuse(m, "not a map");
	for (uint32_t i = 0; i < n; i++) {
		struct str key, value;

		if (mp_read_bytes(r, false, &key) < 0) // nil too (D15)
			return wsmsg_refuse(m, "a key is not a string");
		if ((i == 0 && mp_peek(r) != MP_STR) || mp_read_bytes(r, i > 0, &value) < 0)
			return wsmsg_refuse(m, "a value is not a string");
		if (str_eq(key, STR("sessionID")))
			m->session_id = value;
	}
	return check_id(m, m->session_id, "invalid SessionID value: should not be empty");
}

// --- rtc: a map, or an array of its six fields ----------------------------------------------------------
enum rtc_field { RTC_GROUP_ID, RTC_USER_ID, RTC_SESSION_ID, RTC_CALL_ID, RTC_TYPE, RTC_DATA, N_RTC_FIELDS };

static const char *const rtc_fields[N_RTC_FIELDS] = {"group_id", "user_id", "session_id",
						     "call_id",  "type",    "data"};

static int read_rtc_field(struct mp_reader *r, unsigned field, struct wsmsg *m, int64_t *type)
{
	struct str ignored;

	switch (field) {
	case RTC_TYPE:
		*type = 0;
		return mp_peek(r) == MP_NIL ? mp_read_nil(r) : mp_read_int(r, type);
	case RTC_DATA:
		return mp_read_bytes(r, true, &m->data);
	case RTC_SESSION_ID:
		return mp_read_bytes(r, true, &m->session_id);
	case N_RTC_FIELDS:
		return mp_skip(r);
	default: // the plugin leaves them empty; what they say would not be believed anyway
		return mp_read_bytes(r, true, &ignored);
	}
}

static int read_rtc_map(struct mp_reader *r, struct wsmsg *m, int64_t *type)
{
	uint32_t n;
	int rc = mp_read_map(r, &n);

	while (rc == 0 && n-- > 0) {
		unsigned field = 0;
		struct str key;

		rc = mp_read_bytes(r, false, &key);
		if (rc < 0)
			break;
		while (field < N_RTC_FIELDS && !str_eq(key, str_of(rtc_fields[field])))
			field++;
		rc = read_rtc_field(r, field, m, type);
	}
	return rc;
}

static int read_rtc_array(struct mp_reader *r, struct wsmsg *m, int64_t *type)
{
	uint32_t n;
	int rc = mp_read_array(r, &n);

	if (rc == 0 && n != 0 && n != N_RTC_FIELDS)
		return -EBADMSG;
	for (unsigned field = 0; rc == 0 && n == N_RTC_FIELDS && field < N_RTC_FIELDS; field++)
		rc = read_rtc_field(r, field, m, type);
	return rc;
}

static bool is_from_plugin(int64_t type)
{
	return type >= RTC_ICE && type <= RTC_VIDEO_OFF && type != RTC_VOICE_ON && type != RTC_VOICE_OFF;
}

static int decode_rtc(struct mp_reader *r, struct wsmsg *m)
{
	int64_t type = 0;
	int rc;

	switch (mp_peek(r)) {
	case MP_MAP:
		rc = read_rtc_map(r, m, &type);
		break;
	case MP_ARRAY:
		rc = read_rtc_array(r, m, &type);
		break;
	case MP_NIL:
		rc = 0;
		break;
	default:
		rc = -EBADMSG;
	}
	if (rc < 0)
		return wsmsg_refuse(m, "rtc message is malformed");
	if (check_id(m, m->session_id, "invalid SessionID value: should not be empty") < 0)
		return -EINVAL;
	if (!is_from_plugin(type))
		return wsmsg_refuse(m, "rtc message of a type that plugins do not send");
	m->rtc = (enum rtc_type)type;
	return 0;
}

int wsmsg_decode(const void *p, size_t len, struct wsmsg *m)
{
	struct mp_reader r = mp_reader_of(p, len);
	struct str word;

	*m = (struct wsmsg){};
	if (mp_read_bytes(&r, false, &word) < 0) {
		m->error = "no message type";
		return -EBADMSG;
	}
	m->type = type_of(word);
	switch (m->type) {
	case WSMSG_JOIN:
		return decode_join(&r, m);
	case WSMSG_LEAVE:
	case WSMSG_RECONNECT:
		return decode_session(&r, m);
	case WSMSG_RTC:
		return decode_rtc(&r, m);
	default:
		return wsmsg_refuse(m, "message of a type that plugins do not send");
	}
}

// --- encoders ------------------------------------------------------------------------------------------
static void write_pair(struct wbuf *w, struct str key, struct str value)
{
	mp_write_str(w, key);
	mp_write_str(w, value);
}

void wsmsg_write_hello(struct wbuf *w, struct str client, struct str conn)
{
	mp_write_str(w, STR("hello"));
	mp_write_map(w, 2);
	write_pair(w, STR("clientID"), client);
	write_pair(w, STR("connID"), conn);
}

void wsmsg_write_close(struct wbuf *w, struct str session_id)
{
	mp_write_str(w, STR("close"));
	mp_write_map(w, 1);
	write_pair(w, STR("sessionID"), session_id);
}

void wsmsg_write_rtc(struct wbuf *w, const struct rtc_msg *m)
{
	bool is_vad = m->type == RTC_VOICE_ON || m->type == RTC_VOICE_OFF;

	assert(m->type >= RTC_ICE && m->type <= RTC_VIDEO_OFF);
	mp_write_str(w, is_vad ? STR("vad") : STR("rtc"));
	mp_write_map(w, m->data.len > 0 ? 6 : 5);
	write_pair(w, STR("group_id"), m->client);
	write_pair(w, STR("user_id"), m->user_id);
	write_pair(w, STR("session_id"), m->session_id);
	write_pair(w, STR("call_id"), m->call_id);
	mp_write_str(w, STR("type"));
	mp_write_uint(w, m->type);
	if (m->data.len > 0) {
		mp_write_str(w, STR("data"));
		mp_write_bin(w, m->data.p, m->data.len);
	}
}

size_t wsmsg_rtc_size(const struct rtc_msg *m)
{
	return 96 + m->client.len + m->user_id.len + m->session_id.len + m->call_id.len + m->data.len;
}

void wsmsg_conn_id(char out[WSMSG_CONN_ID_LEN + 1])
{
	rand_text(out, WSMSG_CONN_ID_LEN, "ybndrfg8ejkmcpqxot1uwisza345h769");
}
