#include "tests/unit/check.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/err.h"
#include "lib/conf/conf.h"
#include "lib/conf/schema.h"

static struct conf conf;
static struct conf_error err;

// No variable of the machine that runs the tests may count.
static void clean_environment(void)
{
	char name[128];

	for (unsigned i = 0; i < conf_n_keys; i++) {
		conf_env_name(&conf_schema[i], name, sizeof(name));
		unsetenv(name);
		if (conf_schema[i].env)
			unsetenv(conf_schema[i].env);
	}
}

// Parse; on success conf is loaded and the next call frees it.
static int parse(const char *text)
{
	conf_fini(&conf);
	return conf_parse(&conf, "f.yaml", text, strlen(text), &err);
}

static const char *error_of(const char *text)
{
	return parse(text) == -EINVAL ? err.text : "no error";
}

static const char *env_error(const char *name, const char *value)
{
	const char *text;

	setenv(name, value, 1);
	text = error_of("");
	unsetenv(name);
	return text;
}

static void test_defaults(void)
{
	clean_environment();
	CHECK_EQ(parse(""), 0);
	CHECK_STR(conf.api.listen, ":8045");
	CHECK_EQ(conf.rtc.port_udp, 8443);
	CHECK_EQ(conf.rtc.port_tcp, 8443);
	CHECK_EQ(conf.api.session_expiration_min, 1440);
	CHECK_EQ(conf.rtc.nack_buffer_size, 1024);
	CHECK(!conf.api.allow_self_registration && !conf.api.enable_admin && !conf.rtc.enable_ipv6);
	CHECK_EQ(conf.dataplane.ports.n, 1);
	CHECK_STR(conf.dataplane.ports.item[0], "sockets");
	CHECK_EQ(conf.dataplane.main_core, -1);
	CHECK_STR(conf.store.node_id, "");
	CHECK_EQ(parse("# nothing\n"), 0);
	CHECK_EQ(parse("---\napi:\nrtc: ~\n"), 0); // empty sections
	conf_fini(&conf);
}

static void test_values_of_each_type(void)
{
	CHECK_EQ(parse("api:\n"
		       "  listen: '[::1]:18045'\n"
		       "  tls: {enable: true, cert_file: /a.pem, key_file: /b.pem}\n"
		       "rtc:\n"
		       "  ice_port_udp: 0x2000\n"
		       "  ice_address_udp: [10.0.0.1, \"fe80::1\"]\n"
		       "  ice_address_tcp: 10.0.0.1, 10.0.0.2\n"
		       "  ice_host_port_override: 9000\n"
		       "  nack_buffer_size: 0\n"
		       "dataplane:\n"
		       "  worker_cores: 2-3\n"
		       "  main_core: 1\n"
		       "api:\n" // a section may come again
		       "  max_conns: 8\n"),
		 0);
	CHECK_STR(conf.api.listen, "[::1]:18045");
	CHECK(conf.api.tls_enable);
	CHECK_STR(conf.api.tls_key_file, "/b.pem");
	CHECK_EQ(conf.rtc.port_udp, 0x2000);
	CHECK_EQ(conf.rtc.address_udp.n, 2);
	CHECK_STR(conf.rtc.address_udp.item[1], "fe80::1");
	CHECK_EQ(conf.rtc.address_tcp.n, 2);
	CHECK_STR(conf.rtc.address_tcp.item[1], "10.0.0.2");
	CHECK_STR(conf.rtc.host_port_override, "9000");
	CHECK_EQ(conf.rtc.nack_buffer_size, 1024); // 0 means the default
	CHECK_EQ(conf.dataplane.main_core, 1);
	CHECK_EQ(conf.api.max_conns, 8);
	conf_fini(&conf);
}

static void test_errors_say_where_and_why(void)
{
	CHECK_STR(error_of("rtc:\n  ice_prot_udp: 1\n"),
		  "f.yaml:2:3: rtc.ice_prot_udp: unknown key (did you mean rtc.ice_port_udp?)");
	CHECK_STR(error_of("api:\n  nack_buffer_size: 64\n"),
		  "f.yaml:2:3: api.nack_buffer_size: unknown key (did you mean rtc.nack_buffer_size?)");
	CHECK_STR(error_of("something: 1\n"), "f.yaml:1:1: something: unknown key");
	CHECK_STR(error_of("rtc: 5\n"), "f.yaml:1:6: rtc: is a section, it has no value of its own");
	CHECK_STR(error_of("api:\n  max_conns: many\n"),
		  "f.yaml:2:14: api.max_conns: \"many\" is not a whole number");
	CHECK_STR(error_of("api:\n  max_conns: 1.5\n"),
		  "f.yaml:2:14: api.max_conns: \"1.5\" is not a whole number");
	CHECK_STR(error_of("api:\n  max_conns: 7\n"),
		  "f.yaml:2:14: api.max_conns: 7 is not in allowed range [8, 1000000]");
	CHECK_STR(error_of("api:\n  max_conns: 99999999999999999999\n"),
		  "f.yaml:2:14: api.max_conns: \"99999999999999999999\" is not a whole number");
	CHECK_STR(error_of("api:\n  max_conns: [9]\n"),
		  "f.yaml:2:14: api.max_conns: should be a single value");
	CHECK_STR(error_of("log: {json: 1}\n"), "f.yaml:1:13: log.json: \"1\" is neither true nor false");
	CHECK_STR(error_of("log:\n  json: true\n  json: false\n"), "f.yaml:3:9: log.json: given twice");
	CHECK_STR(error_of("log:\n\tjson: true\n"),
		  "f.yaml:2:1: syntax: found character that cannot start any token");
	CHECK_STR(error_of("log: {json: true"), "f.yaml:2:1: syntax: did not find expected ',' or '}'");
	CHECK_STR(error_of("- a\n"), "f.yaml:1:1: syntax: should be sections with keys");
	CHECK_STR(error_of("log: &a {json: true}\napi: *a\n"),
		  "f.yaml:2:6: syntax: aliases are not supported");
	CHECK_STR(error_of("log:\n---\nlog:\n"), "f.yaml:2:1: syntax: more than one document");
	CHECK_STR(error_of("log: {level: \"a\\0b\"}\n"), "f.yaml:1:14: syntax: NUL character");
	CHECK(strstr(error_of("a: {a: {a: {a: {a: {a: {a: {a: {a: {}}}}}}}}}\n"), "unknown key"));
}

static void test_rtcd_texts_are_kept(void)
{
	static const struct {
		const char *yaml, *want; // after "f.yaml:line:column: "
	} cases[] = {
		{"api: {listen: ''}", "api.listen: invalid ListenAddress value: should not be empty"},
		{"api: {security: {enable_admin: true}}",
		 "api.security.admin_secret_key: invalid AdminSecretKey value: should not be empty"},
		{"api: {tls: {enable: true}}",
		 "api.tls.cert_file: invalid CertFile value: should not be empty"},
		{"api: {tls: {enable: true, cert_file: x}}",
		 "api.tls.key_file: invalid CertKey value: should not be empty"},
		{"rtc: {ice_address_udp: [nowhere]}", "rtc.ice_address_udp: invalid ICEAddressUDP value: "
						      "invalid ICEAddress value: nowhere is not a valid IP "
						      "address"},
		{"rtc: {ice_port_udp: 79}",
		 "rtc.ice_port_udp: invalid ICEPortUDP value: 79 is not in allowed range [80, 65535]"},
		{"rtc: {ice_port_tcp: 70000}",
		 "rtc.ice_port_tcp: invalid ICEPortTCP value: 70000 is not in allowed range [80, 65535]"},
		{"rtc: {ice_host_port_override: 1.2.3.4}",
		 "rtc.ice_host_port_override: invalid ICEHostPortOverride value: failed to parse mapping: "
		 "invalid map pairing "
		 "syntax"},
		{"rtc: {ice_host_port_override: 0}",
		 "rtc.ice_host_port_override: invalid ICEHostPortOverride value: failed to parse mapping: "
		 "invalid map pairing "
		 "syntax"},
		{"rtc: {ice_host_port_override: '10.0.0.1/x'}",
		 "rtc.ice_host_port_override: invalid ICEHostPortOverride value: failed to parse mapping: "
		 "failed to parse port "
		 "number: x"},
		{"rtc: {ice_host_port_override: '10.0.0.1/9000,10.0.0.1/9001'}",
		 "rtc.ice_host_port_override: invalid ICEHostPortOverride value: failed to parse mapping: "
		 "duplicate mapping "
		 "found for 10.0.0.1"},
		{"rtc: {ice_host_port_override: '10.0.0.1/9000,10.0.0.2/9000'}",
		 "rtc.ice_host_port_override: invalid ICEHostPortOverride value: failed to parse mapping: "
		 "duplicate port found "
		 "for 9000"},
		{"rtc: {ice_servers: ['']}", "rtc.ice_servers: invalid ICEServers value: invalid empty URL"},
		{"rtc: {ice_servers: [{urls: []}]}",
		 "rtc.ice_servers: invalid ICEServers value: invalid empty URLs"},
		{"rtc: {ice_servers: ['http://a']}",
		 "rtc.ice_servers: invalid ICEServers value: http://a is not a valid STUN/TURN server"},
		{"rtc: {turn_secret: s, turn_expiration_min: 0}",
		 "rtc.turn_expiration_min: invalid CredentialsExpirationMinutes value: should be a positive "
		 "number"},
		{"rtc: {turn_secret: s, turn_expiration_min: 10080}",
		 "rtc.turn_expiration_min: invalid CredentialsExpirationMinutes value: should be less than 1 "
		 "week"},
		{"rtc: {nack_buffer_size: 16}",
		 "rtc.nack_buffer_size: invalid NACKBufferSize value: should be at least 32"},
		{"rtc: {nack_buffer_size: 9000}",
		 "rtc.nack_buffer_size: invalid NACKBufferSize value: should not exceed 8192"},
		{"rtc: {nack_buffer_size: 100}", "rtc.nack_buffer_size: invalid NACKBufferSize value: must "
						 "be a power of 2 (32, 64, 128, 256, 512, 1024, "
						 "2048, 4096, 8192)"},
		{"store: {url: ''}", "store.url: invalid DataSource value: should not be empty"},
		{"log: {level: loud}", "log.level: invalid ConsoleLevel value \"loud\""},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *got = error_of(cases[i].yaml), *key = strstr(got, ": ");

		CHECK_OR_RETURN(key != NULL);
		CHECK_STR(key + 2, cases[i].want);
	}
}

static void test_values_with_a_syntax(void)
{
	static const struct {
		const char *yaml;
		bool ok;
	} cases[] = {
		{"api: {listen: ':0'}", true},
		{"api: {listen: '127.0.0.1:8045'}", true},
		{"api: {listen: 'localhost:8045'}", true},
		{"api: {listen: '8045'}", false},
		{"api: {listen: ':'}", false},
		{"api: {listen: '::1:8045'}", false},
		{"api: {listen: '[x]:8045'}", false},
		{"api: {listen: ':65536'}", false},
		{"rtc: {ice_host_override: sfu.example.com}", true},
		{"rtc: {ice_host_override: '203.0.113.1/10.0.0.1, 203.0.113.2/10.0.0.2'}", true},
		{"rtc: {ice_host_override: '203.0.113.1/host'}", false},
		{"rtc: {ice_host_override: 'two words'}", false},
		{"rtc: {ice_servers: ['stun:stun.example.com', 'stun:[::1]:3478', "
		 "'turns:t:5349?transport=tcp']}",
		 true},
		{"rtc: {ice_servers: ['stun:a:b']}", false},
		{"rtc: {ice_servers: ['stun:']}", false},
		{"rtc: {ice_servers: ['stun:[::1']}", false},
		{"rtc: {ice_servers: ['stun:[::1]x']}", false},
		{"rtc: {ice_servers: ['stun:a:0']}", false},
		{"rtc: {ice_servers: [{username: u}]}", false},
		{"rtc: {ice_servers: [{urls: 'stun:a', username: u, credential: c}, 'stun:b']}", true},
		{"rtc: {ice_servers: [{url: 'stun:a'}]}", false},
		{"rtc: {ice_servers: [{urls: {a: b}}]}", false},
		{"rtc: {ice_servers: [{urls: [[a]]}]}", false},
		{"rtc: {ice_address_udp: [{urls: 'stun:a'}]}", false},
		{"rtc: {dtls_role: active}", true},
		{"rtc: {dtls_role: actpass}", false},
		{"dataplane: {worker_cores: '1,2-4'}", true},
		{"dataplane: {worker_cores: '4-2'}", false},
		{"dataplane: {worker_cores: '1,1'}", false},
		{"dataplane: {worker_cores: '1-'}", false},
		{"dataplane: {worker_cores: '0-1023'}", false}, // more than CONF_MAX_CORES
		{"dataplane: {worker_cores: '1024'}", false},
		{"dataplane: {worker_cores: '1-3', main_core: 2}", false},
		{"dataplane: {main_core: -2}", false},
		{"dataplane: {idle: nap}", false},
		{"dataplane: {seal: openssl}", false},
		{"dataplane: {ports: []}", false},
		{"dataplane: {ports: ['--vdev=net_null']}", false},
		{"dataplane: {ports: ['net_af_packet0,iface=eth1']}", false}, // and no address
		{"dataplane: {ports: ['net_af_packet0,iface=eth1'], addresses: ['192.0.2.1/24', "
		 "'2001:db8::1/64']}",
		 true},
		{"dataplane: {addresses: ['192.0.2.1']}", false},
		{"dataplane: {addresses: ['192.0.2.1/33']}", false},
		{"store: {url: 'redis://:secret@cache:6379/2'}", true},
		{"store: {url: 'redis://[::1]'}", true},
		{"store: {url: 'redis://cache/x'}", false},
		{"store: {url: 'http://cache'}", false},
		{"store: {url: 'lmdb:'}", false},
		{"store: {node_id: 'a b'}", false},
		{"log: {level: WARN}", true},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		if ((parse(cases[i].yaml) == 0) != cases[i].ok)
			check_note(__FILE__, __LINE__, "%s: %s", cases[i].yaml, err.text);
		CHECK_EQ(parse(cases[i].yaml) == 0, cases[i].ok);
	}
	conf_fini(&conf);
}

static void test_environment_overrides(void)
{
	clean_environment();
	setenv("RTCD_API_HTTP_LISTENADDRESS", ":1", 1);
	setenv("RTCD_RTC_ICEPORTUDP", "9001", 1);
	setenv("SLUICE_RTC_ICE_PORT_UDP", "9002", 1);
	setenv("RTCD_API_SECURITY_ALLOWSELFREGISTRATION", "T", 1);
	setenv("RTCD_RTC_ICEADDRESSUDP", "10.0.0.1,10.0.0.2", 1);
	setenv("RTCD_RTC_ICESERVERS", "[{\"urls\":[\"stun:a:1\",\"stun:b\"],\"username\":\"\"},\"stun:c\"]",
	       1);
	setenv("RTCD_STORE_DATASOURCE", "/tmp/rtcd_db", 1);
	setenv("RTCD_LOGGER_CONSOLELEVEL", "TRACE", 1);
	setenv("RTCD_RTC_UDPSOCKETSCOUNT", "800", 1); // accepted, no effect
	CHECK_EQ(parse("api: {listen: ':2'}\nrtc: {ice_address_udp: [10.9.9.9], ice_port_tcp: 9003}"), 0);
	CHECK_STR(conf.api.listen, ":1");
	CHECK_EQ(conf.rtc.port_udp, 9002); // ours wins
	CHECK_EQ(conf.rtc.port_tcp, 9003);
	CHECK(conf.api.allow_self_registration);
	CHECK_EQ(conf.rtc.address_udp.n, 2);
	CHECK_EQ(conf.rtc.ice_servers.n, 3);
	CHECK_STR(conf.rtc.ice_servers.item[1], "stun:b");
	CHECK_STR(conf.store.url, "lmdb:/tmp/rtcd_db");
	CHECK_STR(conf.log.level, "debug");
	conf_fini(&conf);
	clean_environment();
	unsetenv("RTCD_RTC_UDPSOCKETSCOUNT");
}

static void test_environment_errors_name_the_variable(void)
{
	clean_environment();
	CHECK_STR(env_error("RTCD_RTC_ICEPORTUDP", "12"),
		  "RTCD_RTC_ICEPORTUDP: rtc.ice_port_udp: invalid ICEPortUDP value: 12 is not in allowed "
		  "range [80, 65535]");
	CHECK_STR(env_error("SLUICE_LOG_JSON", ""),
		  "SLUICE_LOG_JSON: log.json: \"\" is neither true nor false");
	CHECK_STR(env_error("RTCD_STORE_DATASOURCE", ""),
		  "RTCD_STORE_DATASOURCE: store.url: invalid DataSource value: should not be empty");
	CHECK_STR(env_error("RTCD_RTC_ICESERVERS", "[\"stun:a\", \"x\"]"),
		  "RTCD_RTC_ICESERVERS:1:12: rtc.ice_servers: invalid ICEServers value: x is not a valid "
		  "STUN/TURN server");
	CHECK(strstr(env_error("RTCD_RTC_ICESERVERS", "[\"stun:a\""), "RTCD_RTC_ICESERVERS:2:1: syntax:"));
	CHECK(strstr(env_error("SLUICE_DATAPLANE_PORTS", "[sockets] x"), "SLUICE_DATAPLANE_PORTS:1:"));
}

static char *printed(void (*print)(FILE *))
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	print(f);
	fclose(f);
	return text;
}

static void print_conf(FILE *out)
{
	conf_print(&conf, out);
}

static void test_printing_masks_secrets_and_tells_the_source(void)
{
	char *text;

	clean_environment();
	setenv("SLUICE_LOG_LEVEL", "warn", 1);
	CHECK_EQ(parse("api: {security: {enable_admin: true, admin_secret_key: hunter2}}\n"
		       "rtc: {turn_secret: hunter2}\nstore: {url: 'redis://:hunter2@cache/1'}"),
		 0);
	text = printed(print_conf);
	CHECK(strstr(text, "hunter2") == NULL);
	CHECK(strstr(text, "api.security.admin_secret_key: \"***\" # file\n") != NULL);
	CHECK(strstr(text, "store.url: \"redis://***@cache/1\" # file\n") != NULL);
	CHECK(strstr(text, "log.level: \"warn\" # environment\n") != NULL);
	CHECK(strstr(text, "rtc.ice_port_udp: 8443 # default\n") != NULL);
	free(text);
	unsetenv("SLUICE_LOG_LEVEL");
	conf_fini(&conf);
}

// "  #key: value" -> "  key: value"; "# text" stays a comment.
static void uncomment(char *text)
{
	for (char *line = text; line && *line; line = strchr(line, '\n'), line += line != NULL) {
		char *hash = line + strspn(line, " ");

		if (hash[0] == '#' && hash[1] != ' ' && hash[1] != '\n')
			memmove(hash, hash + 1, strlen(hash));
	}
}

static void test_the_sample_is_the_defaults(void)
{
	char *sample = printed(conf_print_sample), *defaults, *from_sample;

	clean_environment();
	CHECK_EQ(parse(""), 0);
	defaults = printed(print_conf);
	uncomment(sample);
	CHECK_STR(parse(sample) == 0 ? "" : err.text, "");
	for (unsigned i = 0; i < conf_n_keys; i++) {
		CHECK_EQ(conf.source[i], CONF_FILE); // every key is in it
		conf.source[i] = CONF_DEFAULT;
	}
	from_sample = printed(print_conf);
	CHECK_STR(from_sample, defaults);
	free(sample);
	free(defaults);
	free(from_sample);
	conf_fini(&conf);
}

static void check_generated(const char *path, void (*print)(FILE *))
{
	static char on_disk[1 << 17];
	FILE *f = fopen(path, "r");
	char *want = printed(print);
	size_t len = f ? fread(on_disk, 1, sizeof(on_disk) - 1, f) : 0;

	on_disk[len] = '\0';
	if (strcmp(on_disk, want) != 0)
		check_note(__FILE__, __LINE__, "%s is not what the schema prints: run make docs", path);
	CHECK(strcmp(on_disk, want) == 0);
	free(want);
	if (f)
		fclose(f);
}

static void test_generated_files_are_up_to_date(void)
{
	check_generated("conf/sluice.yaml", conf_print_sample);
	check_generated("docs/config.md", conf_print_docs);
}

static void test_schema_rows_are_sound(void)
{
	for (unsigned i = 0; i < conf_n_keys; i++) {
		const struct conf_key *key = &conf_schema[i];
		bool is_number = key->type == CONF_U16 || key->type == CONF_U32 || key->type == CONF_I32;

		CHECK(conf_key_find(key->path) == key); // no path twice
		CHECK(!conf_is_section(key->path));
		CHECK(key->help && key->help[strlen(key->help) - 1] == '.');
		CHECK_EQ(is_number, key->unit != NULL);
		CHECK_EQ(is_number, key->max > key->min);
		CHECK(key->type != CONF_U16 || (key->min >= 0 && key->max <= UINT16_MAX));
		CHECK(key->type != CONF_U32 || (key->min >= 0 && key->max <= UINT32_MAX));
		for (unsigned j = 0; j < i; j++)
			CHECK(key->env == NULL || conf_schema[j].env == NULL ||
			      strcmp(key->env, conf_schema[j].env) != 0);
	}
	CHECK(conf_is_section("api") && conf_is_section("api.tls") && !conf_is_section("ap") &&
	      !conf_is_section(""));
}

static void test_helpers_for_loaded_values(void)
{
	uint16_t core[4], port;
	char host[64];

	CHECK_EQ(conf_cores("2-4,7", core, 4), 4);
	CHECK(core[0] == 2 && core[2] == 4 && core[3] == 7);
	CHECK_EQ(conf_cores("2-4,7", core, 3), -EINVAL);
	CHECK_EQ(conf_cores("", core, 4), 0);
	CHECK_EQ(conf_host_port("[::1]:80", host, sizeof(host), &port), 0);
	CHECK_STR(host, "::1");
	CHECK_EQ(port, 80);
	CHECK_EQ(conf_host_port(":8045", host, sizeof(host), &port), 0);
	CHECK_STR(host, "");
	CHECK_EQ(conf_host_port("a-much-too-long-name.example.com:80", host, 10, &port), -EINVAL);
}

static void test_files(void)
{
	char path[] = "/tmp/conf-test-XXXXXX";
	int fd = mkstemp(path);

	clean_environment();
	conf_fini(&conf);
	CHECK_EQ(conf_load(&conf, "/nonexistent/x.yaml", &err), -ENOENT);
	CHECK_STR(err.text, "/nonexistent/x.yaml: cannot be read: No such file or directory");
	CHECK_EQ(conf_load(&conf, "/tmp", &err), -EISDIR);
	CHECK_EQ(write(fd, "log: {level: debug}\n", 20), 20);
	CHECK_EQ(conf_load(&conf, path, &err), 0);
	CHECK_STR(conf.log.level, "debug");
	conf_fini(&conf);
	CHECK_EQ(ftruncate(fd, 2 << 20), 0);
	CHECK_EQ(conf_load(&conf, path, &err), -EFBIG);
	CHECK_EQ(conf_load(&conf, NULL, &err), 0);
	conf_fini(&conf);
	close(fd);
	unlink(path);
}

CU_TestInfo conf_tests[] = {
	{"an empty file gives the defaults", test_defaults},
	{"values of each type are read", test_values_of_each_type},
	{"errors say where and why, an unknown key names its nearest", test_errors_say_where_and_why},
	{"rtcd's texts are kept where the setting is the same", test_rtcd_texts_are_kept},
	{"values with a syntax of their own are checked", test_values_with_a_syntax},
	{"the environment overrides the file, our variables rtcd's", test_environment_overrides},
	{"errors of the environment name the variable", test_environment_errors_name_the_variable},
	{"printing masks secrets and tells the source", test_printing_masks_secrets_and_tells_the_source},
	{"the sample file names every key with its default", test_the_sample_is_the_defaults},
	{"conf/sluice.yaml and docs/config.md are up to date", test_generated_files_are_up_to_date},
	{"rows of the schema are sound", test_schema_rows_are_sound},
	{"helpers read what was checked", test_helpers_for_loaded_values},
	{"files are read whole, or the reason is given", test_files},
	CU_TEST_INFO_NULL,
};
