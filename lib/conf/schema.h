// The table of all settings. One row makes the parser, the range check, the environment override, the
// sample file and the manual.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum conf_type { CONF_BOOL, CONF_U16, CONF_U32, CONF_I32, CONF_STRING, CONF_LIST };

enum conf_flag {
	CONF_SECRET = 1,        // printed as ***
	CONF_SECRET_IN_URL = 2, // the part between ':' and '@' is
};

// Is this string, or list item, valid? If not, *why (size bytes) says so.
typedef bool (*conf_check_fn)(const char *text, char *why, size_t size);

struct conf_key {
	const char *path; // "rtc.ice_port_udp"
	enum conf_type type;
	size_t offset;       // in struct conf
	const char *unit;    // of numbers; NULL: none
	int64_t min, max;    // of numbers
	const char *def;     // as it would be written in the file
	const char *env;     // rtcd's environment variable, NULL: rtcd has no such setting
	const char *rtcd;    // rtcd's name of the value, for its error texts
	unsigned flags;      // enum conf_flag
	conf_check_fn check; // NULL: anything goes
	const char *syntax;  // what strings may be, for the manual; NULL: any text
	const char *help;    // sentences; line breaks are the printer's
};

extern const struct conf_key conf_schema[];
extern const unsigned conf_n_keys;

// Variables of rtcd that are accepted and have no effect; NULL at the end.
extern const char *const conf_ignored_env[];

// "SLUICE_RTC_ICE_PORT_UDP" for "rtc.ice_port_udp".
void conf_env_name(const struct conf_key *, char *out, size_t size);

const struct conf_key *conf_key_find(const char *path);
// The path that looks most like this one, NULL when none does (nearest.c).
const char *conf_key_nearest(const char *path);
bool conf_is_section(const char *path); // "api", "api.tls", ...

// --- checks (check.c) --------------------------------------------------------------------------
bool conf_check_listen(const char *text, char *why, size_t size);
bool conf_check_ip(const char *text, char *why, size_t size);
bool conf_check_ip_prefix(const char *text, char *why, size_t size);
bool conf_check_host_override(const char *text, char *why, size_t size);
bool conf_check_port_override(const char *text, char *why, size_t size);
bool conf_check_ice_url(const char *text, char *why, size_t size);
bool conf_check_dtls_role(const char *text, char *why, size_t size);
bool conf_check_socket_path(const char *text, char *why, size_t size);
bool conf_check_port_spec(const char *text, char *why, size_t size);
bool conf_check_cores(const char *text, char *why, size_t size);
bool conf_check_idle(const char *text, char *why, size_t size);
bool conf_check_seal(const char *text, char *why, size_t size);
bool conf_check_store_url(const char *text, char *why, size_t size);
bool conf_check_node_id(const char *text, char *why, size_t size);
bool conf_check_log_level(const char *text, char *why, size_t size);
bool conf_check_nack_size(const char *text, char *why, size_t size); // numbers: the text of the number
