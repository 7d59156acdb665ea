#include <stdbool.h>
#include <errno.h>
#include <stdlib.h>

#include "controlplane/plugin/wsmsg.h"
#include "tests/unit/check.h"

#define SESSION_ID "sessionID\xa2s1"
static const char empty_rtc_ids[] = "\xa8group_id\xa0\xa7user_id\xa0\xaasession_id\xa2s1\xa7"
				    "call_id\xa0";

static struct wsmsg decode_ok(const void *p, size_t len)
{
	struct wsmsg m;

	CHECK_EQ(wsmsg_decode(p, len, &m), 0);
	return m;
}

static int decode_rc(const void *p, size_t len)
{
	struct wsmsg m;

	return wsmsg_decode(p, len, &m);
}
#define OK(text) decode_ok(text, sizeof(text) - 1)
#define RC(text) decode_rc(text, sizeof(text) - 1)

static void check_str(struct str got, const char *want)
{
	char text[2048];

	CHECK(str_copy(got, text, sizeof(text)));
	CHECK_STR(text, want);
}

static void writes_hello(void)
{
	static const char want[] = "\xa5hello\x82\xa8"
				   "clientID\xa7"
				   "clientA\xa6"
				   "connID\xbaybndrfg8ejkmcpqxot1uwisza3";
	uint8_t buf[128];
	struct wbuf w = wbuf_of(buf, sizeof(buf));

	wsmsg_write_hello(&w, STR("clientA"), STR("ybndrfg8ejkmcpqxot1uwisza3"));
	CHECK_EQ(wbuf_len(&w), 58);
	CHECK_MEM(buf, want, 58);
}

static void writes_close(void)
{
	uint8_t buf[64];
	struct wbuf w = wbuf_of(buf, sizeof(buf));

	wsmsg_write_close(&w, STR("s1"));
	CHECK_EQ(wbuf_len(&w), 20);
	CHECK_MEM(buf,
		  "\xa5"
		  "close\x81\xa9" SESSION_ID,
		  20);
}

static void writes_answer(void)
{
	static const char data[] = "{\"type\":\"answer\",\"sdp\":\"v=0\\r\\n\"}";
	static const char want[] = "\xa3rtc\x86\xa8group_id\xa7"
				   "clientA\xa7user_id\xa2u1\xaasession_id\xa2s1\xa7"
				   "call_id\xa2"
				   "c1"
				   "\xa4type\x02\xa4"
				   "data\xc4\x21{\"type\":\"answer\",\"sdp\":\"v=0\\r\\n\"}";
	struct rtc_msg m = {STR("clientA"), STR("u1"), STR("s1"), STR("c1"), RTC_SDP, str_of(data)};
	uint8_t buf[256];
	struct wbuf w = wbuf_of(buf, sizeof(buf));

	wsmsg_write_rtc(&w, &m);
	CHECK_EQ(wbuf_len(&w), 104);
	CHECK_MEM(buf, want, 104);
	CHECK(wsmsg_rtc_size(&m) >= 104);
}

static void writes_vad(void)
{
	static const char want[] = "\xa3vad\x85\xa8group_id\xa7"
				   "clientA\xa7user_id\xa2u1\xaasession_id\xa2s1\xa7"
				   "call_id\xa2"
				   "c1"
				   "\xa4type\x07";
	uint8_t buf[128];
	struct wbuf w = wbuf_of(buf, sizeof(buf));

	wsmsg_write_rtc(&w, &(struct rtc_msg){STR("clientA"), STR("u1"), STR("s1"), STR("c1"), RTC_VOICE_ON,
					      STR_NONE});
	CHECK_EQ(wbuf_len(&w), 64);
	CHECK_MEM(buf, want, 64);
}

static void large_sdp_is_bin16(void)
{
	static char data[300];
	struct rtc_msg m = {STR("g"), STR("u"), STR("s"), STR("c"), RTC_SDP, {data, sizeof(data)}};
	uint8_t buf[512];
	struct wbuf w = wbuf_of(buf, wsmsg_rtc_size(&m));

	wsmsg_write_rtc(&w, &m);
	CHECK(!w.full);
	CHECK_MEM(w.p - 303, "\xc5\x01\x2c", 3);
}

static void size_is_enough_for_any_ids(void)
{
	static char long_text[70000];
	struct str l = {long_text, sizeof(long_text)};
	struct rtc_msg m = {l, l, l, l, RTC_SDP, l};
	uint8_t *buf = malloc(wsmsg_rtc_size(&m));
	struct wbuf w = wbuf_of(buf, wsmsg_rtc_size(&m));

	wsmsg_write_rtc(&w, &m);
	CHECK(!w.full);
	free(buf);
}

static void reads_join(void)
{
	static const char join[] = "\xa4join\x86\xa6"
				   "callID\xa2"
				   "c1\xa6userID\xa2u1\xa9" SESSION_ID "\xa9"
				   "channelID\xa3"
				   "ch1"
				   "\xaa"
				   "av1Support\xc3\xab"
				   "dcSignaling\xc2";
	struct wsmsg m = OK(join);

	CHECK_EQ(sizeof(join) - 1, 78);
	CHECK_EQ(m.type, WSMSG_JOIN);
	check_str(m.join.call_id, "c1");
	check_str(m.join.user_id, "u1");
	check_str(m.join.session_id, "s1");
	check_str(m.join.channel_id, "ch1");
	CHECK(m.join.flags.has_channel && m.join.flags.has_av1 && m.join.flags.av1_support &&
	      m.join.flags.has_dc && !m.join.flags.dc_signaling);
}

static void join_is_lenient(void)
{
	// map16, bin keys, unknown key with nested value, groupID, wrong types read as absent, last duplicate wins
	struct wsmsg m = OK("\xa4join\xde\x00\x09\xc4\x06"
			    "callID\xa2"
			    "c0\xa6"
			    "callID\xa2"
			    "c1\xa6userID\xa2u1\xa9" SESSION_ID "\xa9"
			    "channelID\x05\xaa"
			    "av1Support\x01\xab"
			    "dcSignaling\xc3\xa7groupID\xa5other\xa1x\x92\x01\x81\xa1y\xc0");

	check_str(m.join.call_id, "c1");
	CHECK(!m.join.flags.has_channel && !m.join.flags.has_av1 && !m.join.flags.av1_support &&
	      m.join.flags.dc_signaling);
}

static void join_is_refused(void)
{
	CHECK_EQ(RC("\xa4join\xc0"), -EINVAL);
	CHECK_EQ(RC("\xa4join\x80"), -EINVAL);
	CHECK_EQ(RC("\xa4join"), -EINVAL);
	CHECK_EQ(RC("\xa4join\x82\xa6"
		    "callID\xa2"
		    "c1\xa6userID\xa2u1"),
		 -EINVAL);
	CHECK_EQ(RC("\xa4join\x83\xa6"
		    "callID\xc4\x02"
		    "c1\xa6userID\xa2u1\xa9" SESSION_ID),
		 -EINVAL); // bin is no string here
	CHECK_EQ(RC("\xa4join\x81\xc0\xa2"
		    "c1"),
		 -EINVAL);
}

static void reads_leave_and_reconnect(void)
{
	struct wsmsg m = OK("\xa5leave\x81\xa9" SESSION_ID);

	CHECK_EQ(m.type, WSMSG_LEAVE);
	check_str(m.session_id, "s1");
	m = OK("\xa9reconnect\x81\xa9" SESSION_ID);
	CHECK_EQ(m.type, WSMSG_RECONNECT);
	m = OK("\xd9\x05leave\x82\xa1x\xa1y\xda\x00\x09" SESSION_ID); // str8 and str16
	check_str(m.session_id, "s1");
	m = OK("\xc4\x05leave\x81\xa9" SESSION_ID "trailing bytes");
	check_str(m.session_id, "s1");
}

static void nil_keys_are_refused(void)
{
	CHECK_EQ(RC("\xa5leave\x81\xc0\xa2s1"), -EINVAL);
	CHECK_EQ(RC("\xa5leave\x81\xa9sessionID\xc0"), -EINVAL);
	CHECK_EQ(RC("\xa9reconnect\x81\xc0\xc0"), -EINVAL);
	CHECK_EQ(RC("\xa5leave\x82\xa9" SESSION_ID "\xc0\xa1x"), -EINVAL);
	CHECK_EQ(RC("\xa5leave\x81\xa9sessionID\xc4\x02s1"), -EINVAL); // the first value fixes the type: str
	CHECK_EQ(RC("\xa5leave\xc0"), -EINVAL);
	CHECK_EQ(RC("\xa5leave\x80"), -EINVAL);
	CHECK_EQ(RC("\xa5leave\x81\xa9sessionID\xa0"), -EINVAL);
	CHECK_EQ(RC("\xc0"), -EBADMSG);
	CHECK_EQ(RC(""), -EBADMSG);
	CHECK_EQ(RC("\x05leave"), -EBADMSG);
}

static void reads_rtc(void)
{
	char buf[256];
	size_t n = 0;
	struct wsmsg m;

	memcpy(buf, "\xa3rtc\x86", 5);
	n = 5;
	memcpy(buf + n, empty_rtc_ids, sizeof(empty_rtc_ids) - 1);
	n += sizeof(empty_rtc_ids) - 1;
	memcpy(buf + n,
	       "\xa4type\x02\xa4"
	       "data\xc4\x20{\"type\":\"offer\",\"sdp\":\"v=0\\r\\n\"}",
	       45);
	n += 45;
	CHECK_EQ(n, 92);
	m = decode_ok(buf, n);
	CHECK_EQ(m.type, WSMSG_RTC);
	CHECK_EQ(m.rtc, RTC_SDP);
	check_str(m.session_id, "s1");
	check_str(m.data, "{\"type\":\"offer\",\"sdp\":\"v=0\\r\\n\"}");
}

static void rtc_is_lenient(void)
{
	struct wsmsg m = OK("\xa3rtc\x96\xa0\xa0\xa2s1\xa0\x03\xc0"); // array of six

	CHECK_EQ(m.rtc, RTC_MUTE);
	CHECK_EQ(m.data.len, 0);
	static const struct {
		const char *bytes;
		size_t len;
	} types[] = {{"\x04", 1},
		     {"\xcc\x04", 2},
		     {"\xcd\x00\x04", 3},
		     {"\xce\x00\x00\x00\x04", 5},
		     {"\xcf\x00\x00\x00\x00\x00\x00\x00\x04", 9},
		     {"\xd0\x04", 2},
		     {"\xd1\x00\x04", 3},
		     {"\xd2\x00\x00\x00\x04", 5},
		     {"\xd3\x00\x00\x00\x00\x00\x00\x00\x04", 9}};
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		char buf[64];
		size_t n = sizeof("\xa3rtc\x82\xaasession_id\xa2s1\xa4type") - 1;

		memcpy(buf, "\xa3rtc\x82\xaasession_id\xa2s1\xa4type", n);
		memcpy(buf + n, types[i].bytes, types[i].len);
		m = decode_ok(buf, n + types[i].len);
		CHECK_EQ(m.rtc, RTC_UNMUTE);
	}
	m = OK("\xa3rtc\x84\xaasession_id\xc4\x02s1\xc4\x04type\x05\xa1?\x93\xc0\xc0\xc0\xa4"
	       "data\xd9\x02{}"); // str data
	check_str(m.data, "{}");
	m = OK("\xa3rtc\x83\xaasession_id\xa2s0\xaasession_id\xa2s1\xa4type\x06"); // last wins
	check_str(m.session_id, "s1");
}

static void rtc_is_refused(void)
{
	CHECK_EQ(RC("\xa3rtc\x95\xa0\xa0\xa2s1\xa0\x03"), -EINVAL); // array of five
	CHECK_EQ(RC("\xa3rtc\x90"), -EINVAL);
	CHECK_EQ(RC("\xa3rtc\xc0"), -EINVAL);
	CHECK_EQ(RC("\xa3rtc\x82\xaasession_id\xa2s1\xa4type\x00"), -EINVAL);
	CHECK_EQ(RC("\xa3rtc\x82\xaasession_id\xa2s1\xa4type\xc0"), -EINVAL);
	CHECK_EQ(RC("\xa3rtc\x82\xaasession_id\xa2s1\xa4type\x07"), -EINVAL); // voice on is ours to send
	CHECK_EQ(RC("\xa3rtc\x82\xaasession_id\xa2s1\xa4type\xcd\x01\x02"), -EINVAL);         // 258 is not 2
	CHECK_EQ(RC("\xa3rtc\x82\xaasession_id\xa2s1\xa4type\xca\x40\x00\x00\x00"), -EINVAL); // a float
	CHECK_EQ(RC("\xa3rtc\x81\xa4type\x02"), -EINVAL);
	CHECK_EQ(RC("\xa3rtc\x81\xc0\x02"), -EINVAL);
}

static void declared_lengths_are_checked(void)
{
	CHECK_EQ(RC("\xa3rtc\x83\xaasession_id\xa2s1\xa4type\x02\xa4"
		    "data\xc6\xff\xff\xff\xff{}"),
		 -EINVAL);
	CHECK_EQ(RC("\xdb\xff\xff\xff\xffrtc"), -EBADMSG);
	CHECK_EQ(RC("\xa4join\xdf\xff\xff\xff\xff"), -EINVAL);
	CHECK_EQ(RC("\xa4join\x81\xa1x\xdd\x00\xff\xff\xff"), -EINVAL);
}

static void unknown_types_have_one_name(void)
{
	struct wsmsg m;
	static const char odd[] = "\xa3\xff\xfe!\x81\xa9" SESSION_ID;

	CHECK_EQ(wsmsg_decode(odd, sizeof(odd) - 1, &m), -EINVAL);
	CHECK_STR(wsmsg_type_name(m.type), "unknown");
	CHECK_EQ(wsmsg_decode("\xa5hello\x80", 7, &m), -EINVAL);
	CHECK_STR(wsmsg_type_name(m.type), "hello");
	CHECK_EQ(wsmsg_decode("\xa3vad\x80", 5, &m), -EINVAL);
	CHECK_STR(wsmsg_type_name(m.type), "vad");
}

static void ids_are_bounded(void)
{
	char buf[400] = "\xa5leave\x81\xa9sessionID\xda\x01\x01"; // 257 bytes
	size_t n = strlen("\xa5leave\x81\xa9sessionID") + 3;

	memset(buf + n, 'x', 257);
	CHECK_EQ(decode_rc(buf, n + 257), -EINVAL);
	buf[n - 1] = 0;
	CHECK_EQ(decode_rc(buf, n + 257), 0);
}

static void conn_ids_look_right(void)
{
	char a[WSMSG_CONN_ID_LEN + 1], b[WSMSG_CONN_ID_LEN + 1];

	wsmsg_conn_id(a);
	wsmsg_conn_id(b);
	CHECK_EQ(strspn(a, "ybndrfg8ejkmcpqxot1uwisza345h769"), 26);
	CHECK(strcmp(a, b) != 0);
}

CU_TestInfo wsmsg_tests[] = {
	{"hello is byte-exact", writes_hello},
	{"close is byte-exact", writes_close},
	{"an answer is byte-exact", writes_answer},
	{"voice on is a vad message without data", writes_vad},
	{"data above 255 bytes is bin16", large_sdp_is_bin16},
	{"the size estimate holds for ids of any length", size_is_enough_for_any_ids},
	{"reads the documented join", reads_join},
	{"join tolerates map16, bin keys, unknown keys, wrong types, duplicates", join_is_lenient},
	{"join without its three ids is refused", join_is_refused},
	{"reads leave and reconnect", reads_leave_and_reconnect},
	{"D15: nil keys and values in leave and reconnect are refused", nil_keys_are_refused},
	{"reads the documented offer", reads_rtc},
	{"rtc tolerates arrays, any int, str data, unknown and duplicate keys", rtc_is_lenient},
	{"rtc of unknown types or without session is refused", rtc_is_refused},
	{"D18: declared lengths count only when the bytes are there", declared_lengths_are_checked},
	{"D16: unknown types share one label", unknown_types_have_one_name},
	{"ids longer than 256 bytes are refused", ids_are_bounded},
	{"connection ids are 26 characters of the alphabet and differ", conn_ids_look_right},
	CU_TEST_INFO_NULL,
};
