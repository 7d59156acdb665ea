#include "lib/conf/schema.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/err.h"
#include "lib/conf/conf.h"

#define PORT_MIN 80 // rtcd's bounds but for the upper one: it refuses the dynamic range, from 49152
#define PORT_MAX 65535
#define AT(member) offsetof(struct conf, member)

const struct conf_key conf_schema[] = {
	{"api.listen", CONF_STRING, AT(api.listen), .def = ":8045", .env = "RTCD_API_HTTP_LISTENADDRESS",
	 .rtcd = "ListenAddress", .check = conf_check_listen, .syntax = "`[address]:port`",
	 .help = "Where HTTP and WebSocket of the API are served. Without an address: on all of them."},
	{"api.max_body_bytes", CONF_U32, AT(api.max_body_bytes), "bytes", 1024, 1048576, "16384",
	 .help = "Largest body of an HTTP request; larger ones get 413."},
	{"api.max_conns", CONF_U32, AT(api.max_conns), "connections", 8, 1000000, "4096",
	 .help = "HTTP and WebSocket connections open at the same time."},
	{"api.metrics_public", CONF_BOOL, AT(api.metrics_public), .def = "true",
	 .help = "Serve GET /metrics without authentication, as rtcd does. Client ids appear as labels."},
	{"api.trusted_proxies", CONF_LIST, AT(api.trusted_proxies), .def = "[]",
	 .check = conf_check_ip_prefix, .syntax = "`address/prefix`",
	 .help = "Proxies before the API, such as \"10.0.0.0/8\": their X-Forwarded-For says who asks, and "
		 "limits "
		 "by address count that one. Nobody else's is believed."},
	{"api.tls.enable", CONF_BOOL, AT(api.tls_enable), .def = "false", .env = "RTCD_API_HTTP_TLS_ENABLE",
	 .help = "Serve the API over TLS."},
	{"api.tls.cert_file", CONF_STRING, AT(api.tls_cert_file), .def = "",
	 .env = "RTCD_API_HTTP_TLS_CERTFILE", .rtcd = "CertFile", .syntax = "path",
	 .help = "Certificate chain in PEM. Needed with api.tls.enable."},
	{"api.tls.key_file", CONF_STRING, AT(api.tls_key_file), .def = "", .env = "RTCD_API_HTTP_TLS_CERTKEY",
	 .rtcd = "CertKey", .syntax = "path", .help = "Private key in PEM. Needed with api.tls.enable."},
	{"api.security.enable_admin", CONF_BOOL, AT(api.enable_admin), .def = "false",
	 .env = "RTCD_API_SECURITY_ENABLEADMIN",
	 .help = "Accept api.security.admin_secret_key as the password of the admin, who may register and "
		 "unregister clients."},
	{"api.security.admin_secret_key", CONF_STRING, AT(api.admin_secret_key), .def = "",
	 .env = "RTCD_API_SECURITY_ADMINSECRETKEY", .rtcd = "AdminSecretKey", .flags = CONF_SECRET,
	 .help = "The admin's password. 32 random characters or more; better given by the environment than "
		 "in this file."},
	{"api.security.allow_self_registration", CONF_BOOL, AT(api.allow_self_registration), .def = "false",
	 .env = "RTCD_API_SECURITY_ALLOWSELFREGISTRATION",
	 .help = "Let anybody who reaches the API register a client of a new name. Only where the API is "
		 "reachable by trusted hosts alone."},
	{"api.security.session_expiration_min", CONF_U32, AT(api.session_expiration_min), "min", 1, 525600,
	 "1440", "RTCD_API_SECURITY_SESSIONCACHE_EXPIRATIONMINUTES", "ExpirationMinutes",
	 .help = "How long a bearer token of POST /login is good for."},
	{"api.security.max_clients", CONF_U32, AT(api.max_clients), "clients", 1, 1000000, "1000",
	 .help = "Registered clients; a registration above it is refused."},
	{"api.security.register_per_min", CONF_U32, AT(api.register_per_min), "requests/min", 1, 100000, "30",
	 .help = "Registrations accepted from one source address in a minute."},

	{"rtc.ice_port_udp", CONF_U16, AT(rtc.port_udp), "port", PORT_MIN, PORT_MAX, "8443",
	 "RTCD_RTC_ICEPORTUDP", "ICEPortUDP", .help = "UDP port of all media."},
	{"rtc.ice_port_tcp", CONF_U16, AT(rtc.port_tcp), "port", PORT_MIN, PORT_MAX, "8443",
	 "RTCD_RTC_ICEPORTTCP", "ICEPortTCP",
	 .help = "TCP port of media for clients whose network lets no UDP through (ICE-TCP, passive). When "
		 "nothing is said here and the port is taken, media is served over UDP only, with a "
		 "warning."},
	{"rtc.ice_address_udp", CONF_LIST, AT(rtc.address_udp), .def = "[]", .env = "RTCD_RTC_ICEADDRESSUDP",
	 .rtcd = "ICEAddressUDP", .check = conf_check_ip, .syntax = "IP addresses",
	 .help = "Local addresses that serve media over UDP. None: all of the machine."},
	{"rtc.ice_address_tcp", CONF_LIST, AT(rtc.address_tcp), .def = "[]", .env = "RTCD_RTC_ICEADDRESSTCP",
	 .rtcd = "ICEAddressTCP", .check = conf_check_ip, .syntax = "IP addresses",
	 .help = "Local addresses that serve media over TCP. None: all of the machine."},
	{"rtc.ice_host_override", CONF_STRING, AT(rtc.host_override), .def = "",
	 .env = "RTCD_RTC_ICEHOSTOVERRIDE", .rtcd = "ICEHostOverride", .check = conf_check_host_override,
	 .syntax = "host name, IP address, or `external/local,…`",
	 .help = "Address that clients are told instead of the local one: behind NAT, the public one. Pairs "
		 "give each local address its own."},
	{"rtc.ice_host_port_override", CONF_STRING, AT(rtc.host_port_override), .def = "",
	 .env = "RTCD_RTC_ICEHOSTPORTOVERRIDE", .rtcd = "ICEHostPortOverride",
	 .check = conf_check_port_override, .syntax = "port, or `localIP/port,…`",
	 .help = "Port that clients are told instead of the local one, for all addresses or for the one "
		 "named."},
	{"rtc.ice_servers", CONF_LIST, AT(rtc.ice_servers), .def = "[]", .env = "RTCD_RTC_ICESERVERS",
	 .rtcd = "ICEServers", .check = conf_check_ice_url, .syntax = "`stun:host[:port]`",
	 .help = "STUN servers that tell this server its public address. rtcd's tables {urls, username, "
		 "credential} and TURN URLs are accepted; only stun: URLs are used, since the server needs "
		 "no relay."},
	{"rtc.turn_secret", CONF_STRING, AT(rtc.turn_secret), .def = "",
	 .env = "RTCD_RTC_TURNCONFIG_STATICAUTHSECRET", .flags = CONF_SECRET,
	 .help = "Shared secret of TURN servers. Accepted for rtcd's sake, without effect."},
	{"rtc.turn_expiration_min", CONF_U32, AT(rtc.turn_expiration_min), "min", 0, UINT32_MAX, "1440",
	 "RTCD_RTC_TURNCONFIG_CREDENTIALSEXPIRATIONMINUTES", "CredentialsExpirationMinutes",
	 .help = "How long TURN credentials are good for. Accepted for rtcd's sake, without effect."},
	{"rtc.enable_ipv6", CONF_BOOL, AT(rtc.enable_ipv6), .def = "false", .env = "RTCD_RTC_ENABLEIPV6",
	 .help = "Serve and announce IPv6 addresses too."},
	{"rtc.nack_buffer_size", CONF_U32, AT(rtc.nack_buffer_size), "packets", 0, 65535, "1024",
	 "RTCD_RTC_NACKBUFFERSIZE", "NACKBufferSize", .check = conf_check_nack_size,
	 .help = "Packets kept for retransmission of each encoding that a publisher sends, once for all of "
		 "its receivers (rtcd keeps them per receiver): a power of 2 from 32 to 8192; 64 to 4096 are "
		 "used. 0 means 1024, about 4 s at 2.5 Mbit/s."},
	{"rtc.rtx", CONF_BOOL, AT(rtc.rtx), .def = "true",
	 .help = "Resend lost video over RTX (RFC 4588) to and from clients that know it. false: resend the "
		 "packet itself, as rtcd does."},
	{"rtc.dtls_role", CONF_STRING, AT(rtc.dtls_role), .def = "passive", .check = conf_check_dtls_role,
	 .syntax = "`passive` or `active`",
	 .help = "Side of the DTLS handshake. passive lets the server choose the cheapest cipher; active is "
		 "what rtcd does."},
	{"rtc.first_offer_s", CONF_U32, AT(rtc.first_offer_s), "s", 1, 600, "10",
	 .help = "A session that sends no offer within this time after its join is closed."},
	{"rtc.answer_s", CONF_U32, AT(rtc.answer_s), "s", 1, 600, "10",
	 .help = "An offer of ours that is not answered within this time is rolled back and made again."},
	{"rtc.dc_open_s", CONF_U32, AT(rtc.dc_open_s), "s", 1, 600, "30",
	 .help = "A session whose data channel is not open within this time after the first answer is "
		 "closed."},
	{"rtc.lock_lease_s", CONF_U32, AT(rtc.lock_lease_s), "s", 1, 600, "15",
	 .help = "A signaling lock that a client holds longer is taken from it."},

	{"limits.sessions", CONF_U32, AT(limits.sessions), "sessions", 1, 1000000, "10000",
	 .help = "Sessions of this node; a join above it is refused."},
	{"limits.sessions_per_client", CONF_U32, AT(limits.sessions_per_client), "sessions", 1, 1000000,
	 "10000", .help = "Sessions of one client (one Mattermost installation)."},
	{"limits.sessions_per_call", CONF_U32, AT(limits.sessions_per_call), "sessions", 1, 1000000, "2000",
	 .help = "Sessions of one call."},
	{"limits.calls_per_client", CONF_U32, AT(limits.calls_per_client), "calls", 1, 1000000, "2000",
	 .help = "Calls of one client."},
	{"limits.joins_per_s", CONF_U32, AT(limits.joins_per_s), "joins/s", 1, 100000, "100",
	 .help = "Joins of one client in a second."},
	{"limits.voice_lines", CONF_U32, AT(limits.voice_lines), "lines", 1, 250, "128",
	 .help = "Voices that one receiver is sent at most, each on an SDP line of its own. Everybody's first voice "
		 "comes before anybody's second one."},

	{"audio.speakers", CONF_U32, AT(audio.speakers), "voices", 0, 8, "0",
	 .help = "How many voices a large call hears at a time, chosen by loudness, besides the dominant "
		 "speaker. 0: all of them, as rtcd does. docs/audio-at-scale.md says how they are chosen and "
		 "what it costs."},
	{"audio.speakers_from", CONF_U32, AT(audio.speakers_from), "microphones", 1, 10000, "25",
	 .help = "A choice is made while more microphones than this are open in a call; up to it everybody "
		 "is heard."},
	{"audio.every_voice_users", CONF_LIST, AT(audio.every_voice_users), .def = "[]", .syntax = "user ids",
	 .help = "Users that get every voice of a call, however large it is: the bots that record and "
		 "transcribe."},

	{"dataplane.socket", CONF_STRING, AT(dataplane.socket), .def = "/run/sluice/dp.sock",
	 .check = conf_check_socket_path, .syntax = "path",
	 .help = "Unix socket between sluice-dp, which serves it, and sluice-cp."},
	{"dataplane.ports", CONF_LIST, AT(dataplane.ports), .def = "[sockets]", .check = conf_check_port_spec,
	 .syntax = "`sockets`, or DPDK devices",
	 .help = "Where packets come from: the kernel's UDP sockets, or devices as DPDK names them, such as "
		 "\"0000:3b:00.0\" or \"net_af_xdp0,iface=eth1\"."},
	{"dataplane.addresses", CONF_LIST, AT(dataplane.addresses), .def = "[]",
	 .check = conf_check_ip_prefix, .syntax = "`address/prefix`",
	 .help = "Our addresses on DPDK devices, such as \"192.0.2.5/24\". Needed when dataplane.ports names "
		 "one."},
	{"dataplane.eal", CONF_STRING, AT(dataplane.eal), .def = "", .syntax = "EAL options",
	 .help = "Further arguments of DPDK's EAL, separated by spaces."},
	{"dataplane.worker_cores", CONF_STRING, AT(dataplane.worker_cores), .def = "",
	 .check = conf_check_cores, .syntax = "core list, `2-5,7`",
	 .help = "Cores of the workers, one each. Empty: one worker that is not pinned."},
	{"dataplane.main_core", CONF_I32, AT(dataplane.main_core), "core", -1, 1023, "-1",
	 .help = "Core of the thread that serves commands. -1: not pinned."},
	{"dataplane.idle", CONF_STRING, AT(dataplane.idle), .def = "auto", .check = conf_check_idle,
	 .syntax = "`auto`, `poll` or `sleep`",
	 .help = "What a worker without packets does. poll: look again at once, for cores of its own; sleep: "
		 "wait in the kernel; auto: poll where dataplane.worker_cores pins it, else sleep."},
	{"dataplane.busy_poll_us", CONF_U32, AT(dataplane.busy_poll_us), "us", 0, 10000, "0",
	 .help = "How long a worker that sleeps when idle goes on looking before it does. A packet that "
		 "comes meanwhile costs no wake-up and waits less; the core is busy instead. Kernel sockets "
		 "also poll their NIC's queue for so long (SO_BUSY_POLL)."},
	{"dataplane.rx_burst", CONF_U32, AT(dataplane.rx_burst), "packets", 1, 64, "32",
	 .help = "Packets taken from a port at a time."},
	{"dataplane.tx_burst", CONF_U32, AT(dataplane.tx_burst), "packets", 1, 64, "64",
	 .help = "Packets given to a port at a time."},
	{"dataplane.memory_mib", CONF_U32, AT(dataplane.memory_mib), "MiB", 64, 1048576, "384",
	 .help = "Memory for packets and tables."},
	{"dataplane.video_memory_mib", CONF_U32, AT(dataplane.video_memory_mib), "MiB", 0, 65536, "0",
	 .help = "Part of dataplane.memory_mib that keeps the last two seconds of each video, at 1 MiB for "
		 "2.5 Mbit/s; when it runs short the oldest packets go first. 0: a quarter."},
	{"dataplane.hugepages", CONF_BOOL, AT(dataplane.hugepages), .def = "false",
	 .help = "Take that memory from hugepages. Needed by most NIC drivers."},
	{"dataplane.seal", CONF_STRING, AT(dataplane.seal), .def = "ipsec-mb", .check = conf_check_seal,
	 .syntax = "`ipsec-mb` or `libsrtp2`",
	 .help = "SRTP implementation. libsrtp2 is many times slower; for CPUs without AES instructions, and "
		 "for comparison."},
	{"dataplane.max_sessions", CONF_U32, AT(dataplane.max_sessions), "sessions", 1, 1000000, "10000",
	 .help = "Sessions that the dataplane has room for."},

	{"store.url", CONF_STRING, AT(store.url), .def = "lmdb:/var/lib/sluice/store",
	 .env = "RTCD_STORE_DATASOURCE", .rtcd = "DataSource", .flags = CONF_SECRET_IN_URL,
	 .check = conf_check_store_url, .syntax = "`lmdb:PATH` or `redis://[:password@]host[:port][/db]`",
	 .help = "Where credentials and calls are kept. LMDB: a directory of this node; Redis: shared by "
		 "several nodes."},
	{"store.node_id", CONF_STRING, AT(store.node_id), .def = "", .check = conf_check_node_id,
	 .syntax = "letters, digits, `.`, `_`, `-`",
	 .help = "Name of this node in a shared store. Empty: the host name."},

	{"log.level", CONF_STRING, AT(log.level), .def = "info", .env = "RTCD_LOGGER_CONSOLELEVEL",
	 .rtcd = "ConsoleLevel", .check = conf_check_log_level,
	 .syntax = "`error`, `warn`, `notice`, `info` or `debug`",
	 .help = "Least important messages that are logged. rtcd's names panic, fatal, trace and stdlog are "
		 "accepted."},
	{"log.json", CONF_BOOL, AT(log.json), .def = "false", .env = "RTCD_LOGGER_CONSOLEJSON",
	 .help = "One JSON object per line."},

	{"drain.max_s", CONF_U32, AT(drain.max_s), "s", 0, 604800, "3600",
	 .help = "After SIGTERM, sluice-cp waits this long for calls to end, then ends them. A second "
		 "SIGTERM ends them at once."},
};

const unsigned conf_n_keys = ARRAY_LEN(conf_schema);
static_assert(ARRAY_LEN(conf_schema) <= CONF_MAX_KEYS);

const char *const conf_ignored_env[] = {
	"RTCD_RTC_UDPSOCKETSCOUNT",
	"RTCD_RTC_NACKDISABLECOPY",
	"RTCD_RTC_DTLS_INSECURE_SKIP_HELLOVERIFY",
	"RTCD_LOGGER_ENABLECONSOLE",
	"RTCD_LOGGER_ENABLEFILE",
	"RTCD_LOGGER_FILEJSON",
	"RTCD_LOGGER_FILELEVEL",
	"RTCD_LOGGER_FILELOCATION",
	"RTCD_LOGGER_ENABLECOLOR",
	"PERF_PROFILES",
	NULL,
};

void conf_env_name(const struct conf_key *key, char *out, size_t size)
{
	assert(size > strlen("SLUICE_") + strlen(key->path));
	snprintf(out, size, "SLUICE_%s", key->path);
	for (char *p = out; *p; p++)
		*p = *p == '.' ? '_' : (char)toupper((unsigned char)*p);
}

const struct conf_key *conf_key_find(const char *path)
{
	for (unsigned i = 0; i < conf_n_keys; i++)
		if (strcmp(conf_schema[i].path, path) == 0)
			return &conf_schema[i];
	return NULL;
}

bool conf_is_section(const char *path)
{
	size_t len = strlen(path);

	for (unsigned i = 0; i < conf_n_keys; i++)
		if (strncmp(conf_schema[i].path, path, len) == 0 && conf_schema[i].path[len] == '.')
			return true;
	return false;
}
