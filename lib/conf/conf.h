// The configuration: YAML file (libyaml) by the table in schema.c, then environment. Every key is there
// with type, unit, range, default and help; the same table makes conf/sluice.yaml and docs/config.md.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define CONF_MAX_LIST 16
#define CONF_MAX_KEYS 80
#define CONF_MAX_CORES 128

enum conf_source { CONF_DEFAULT, CONF_FILE, CONF_ENV };

struct conf_list {
	char *item[CONF_MAX_LIST]; // owned, NUL-terminated
	unsigned n;
};

struct conf {
	struct {
		char *listen;    // api.listen: "[address]:port" of HTTP and WebSocket (":8045")
		bool tls_enable; // api.tls.enable
		char *tls_cert_file, *tls_key_file;
		bool enable_admin; // api.security.*, down to register_per_min
		char *admin_secret_key;
		bool allow_self_registration;
		uint32_t session_expiration_min;
		uint32_t max_clients;      // registered clients (D7)
		uint32_t register_per_min; // registrations per source address and minute
		uint32_t max_body_bytes;   // api.max_body_bytes (D5)
		uint32_t max_conns;        // HTTP and WebSocket connections
		bool metrics_public;       // api.metrics_public: serve /metrics without authentication
		struct conf_list trusted_proxies; // api.trusted_proxies: "10.0.0.0/8"
	} api;
	struct {
		uint16_t port_udp, port_tcp;               // rtc.ice_port_udp, rtc.ice_port_tcp
		struct conf_list address_udp, address_tcp; // rtc.ice_address_*
		char *host_override;                       // rtc.ice_host_override
		char *host_port_override;                  // rtc.ice_host_port_override
		struct conf_list ice_servers; // stun:, stuns:, turn: and turns: URLs; only stun: is used
		char *turn_secret;
		uint32_t turn_expiration_min;
		bool enable_ipv6;
		uint32_t nack_buffer_size;
		char *dtls_role;                                           // "passive" or "active"
		bool rtx;                                                  // resend video over RTX
		uint32_t first_offer_s, answer_s, dc_open_s, lock_lease_s; // timers, seconds
	} rtc;
	struct {
		uint32_t sessions, sessions_per_client, sessions_per_call, calls_per_client; // D58
		uint32_t joins_per_s;                                                        // per client
		uint32_t voice_lines; // audio m-lines per receiver
	} limits;
	struct {
		uint32_t speakers;      // audio.speakers: voices heard at a time in large calls, 0: all
		uint32_t speakers_from; // audio.speakers_from: open microphones
		struct conf_list every_voice_users; // user ids of recorders and transcribers
	} audio;
	struct {
		char *socket; // dataplane.socket: path of the ipc socket
		struct conf_list
			ports; // "sockets", or DPDK device strings: "0000:3b:00.0", "net_af_xdp0,iface=eth1"
		struct conf_list addresses; // ethdev ports: our addresses with prefix, "192.0.2.5/24"
		char *eal;                  // further EAL arguments
		char *worker_cores;         // "" = one unpinned worker; "2-5,7": pinned
		int32_t main_core;          // -1: not pinned
		char *idle;                 // "auto", "poll" or "sleep"
		uint32_t busy_poll_us;
		uint32_t rx_burst, tx_burst;
		uint32_t memory_mib;
		uint32_t video_memory_mib; // part of memory_mib
		bool hugepages;
		char *seal; // "ipsec-mb" or "libsrtp2"
		uint32_t max_sessions;
	} dataplane;
	struct {
		char *url;     // "lmdb:PATH" or "redis://[:password@]host:port/db"
		char *node_id; // "" = host name
	} store;
	struct {
		char *level;
		bool json;
	} log;
	struct {
		uint32_t max_s; // drain.max_s: SIGTERM waits at most this long for calls to end
	} drain;
	uint8_t source[CONF_MAX_KEYS]; // enum conf_source, by row of the schema
};

// Where and why a configuration was refused: printed as "file:line:column: key: reason".
struct conf_error {
	char text[512];
};

// Defaults, then file (NULL: none), then environment. 0, or -EINVAL/-ENOENT/-errno with err->text filled.
[[nodiscard]] int conf_load(struct conf *, const char *path, struct conf_error *err);
// Same with text in place of the file; name is used in messages. (Tests and fuzzing.)
[[nodiscard]] int conf_parse(struct conf *, const char *name, const char *text, size_t len,
			     struct conf_error *err);
void conf_fini(struct conf *);

// Does the key have its built-in value because nobody gave one?
bool conf_is_default(const struct conf *, const char *path);

// Every key with its effective value and its source: default, file or environment. Secrets are masked.
void conf_print(const struct conf *, FILE *out);

// The commented sample file, and the Markdown table, from the schema.
void conf_print_sample(FILE *out);
void conf_print_docs(FILE *out);

// --- values with a syntax of their own ---------------------------------------------------------
// All of them are checked by conf_load, so on a loaded configuration these do not fail.

// "2-5,7" -> 2 3 4 5 7. Number of cores, 0 for "", or -EINVAL (syntax, twice the same, more than max).
[[nodiscard]] int conf_cores(const char *text, uint16_t *core, unsigned max);

// "[::1]:8045" -> "::1", 8045; ":8045" -> "", 8045. 0 or -EINVAL.
[[nodiscard]] int conf_host_port(const char *text, char *host, size_t size, uint16_t *port);
