// sluice-cp: arguments, configuration, construction in order, one loop, destruction in reverse.
//
// SIGTERM or SIGINT drains: no new calls, /system reports the largest load, the end comes with the last
// session or after drain.max_s. A second signal ends at once.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controlplane/api/api.h"
#include "controlplane/auth/auth.h"
#include "controlplane/link/link.h"
#include "controlplane/link/linkstat.h"
#include "controlplane/calls/claim.h"
#include "controlplane/calls/hub.h"
#include "controlplane/sys/priv.h"
#include "controlplane/sys/procstat.h"
#include "controlplane/calls/node.h"
#include "controlplane/store/storestat.h"
#include "controlplane/plugin/plugins.h"
#include "lib/base/args.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/version.h"
#include "lib/conf/conf.h"
#include "lib/peer/sslmem.h"

#define LAST_WORDS_NS (500 * NS_PER_MS) // for `close` messages to leave at the end

struct cp {
	struct conf conf;
	struct loop *loop;
	struct metrics *metrics;
	struct store *store;
	struct sysload *sysload;
	struct auth *auth;
	struct plugins *plugins;
	struct tls_ctx *tls;
	struct api *api;
	struct http *http;
	struct hub *hub;
	struct node *node;
	struct timer drain_limit;
	unsigned n_signals;
	int status; // to exit with
};

// --- arguments -----------------------------------------------------------------------------------------
// Returns -1 to go on, or the exit status.
static int cp_args(struct cp *cp, int argc, char **argv)
{
	const char *path = NULL;
	bool check = false, print = false, sample = false, docs = false;
	const struct arg_opt opts[] = {
		{"config", "PATH", "configuration file (YAML); without it: defaults and environment", &path,
		 NULL},
		{"check-config", NULL, "check the configuration and exit", NULL, &check},
		{"print-config", NULL, "print every key with its effective value and source, and exit", NULL,
		 &print},
		{"print-config-sample", NULL, "print a commented sample file and exit", NULL, &sample},
		{"print-config-docs", NULL, "print the table of all keys in Markdown and exit", NULL, &docs},
		{},
	};
	struct conf_error error;
	int rc = args_parse(argc, argv, opts, "sluice-cp [options]", version_full);

	if (rc != 0)
		return rc > 0 ? EXIT_OK : EXIT_USAGE;
	if (sample || docs) {
		(sample ? conf_print_sample : conf_print_docs)(stdout);
		return EXIT_OK;
	}
	if (conf_load(&cp->conf, path, &error) < 0) {
		fprintf(stderr, "%s\n", error.text);
		return EXIT_CONFIG;
	}
	if (print)
		conf_print(&cp->conf, stdout);
	if (check)
		printf("configuration is good\n");
	return check || print ? EXIT_OK : -1;
}

// --- construction ----------------------------------------------------------------------------------------
static void on_client_gone(void *arg, struct str client)
{
	struct cp *cp = arg;

	if (cp->hub)
		hub_client_gone(cp->hub, client);
	if (cp->plugins)
		plugins_drop_client(cp->plugins, client);
}

static void set_node_name(struct conf *conf)
{
	char name[256] = "node";

	if (conf->store.node_id != NULL && conf->store.node_id[0] != '\0')
		return;
	gethostname(name, sizeof(name) - 1);
	free(conf->store.node_id);
	conf->store.node_id = strdup(name);
}

static int open_base(struct cp *cp)
{
	enum log_level level = LOG_INFO;
	char why[512];

	if (!log_level_parse(cp->conf.log.level, &level))
		level = LOG_INFO;
	log_init(&(struct log_opts){.level = level, .json = cp->conf.log.json, .program = "sluice-cp"});
	signal(SIGPIPE, SIG_IGN);
	priv_raise_files();
	set_node_name(&cp->conf);
	cp->loop = loop_new();
	cp->metrics = metrics_new();
	if (cp->loop == NULL || cp->metrics == NULL || procstat_init(cp->metrics, cp->loop) < 0) {
		log_error("start: %s", strerror(errno));
		return EXIT_OS;
	}
	cp->store = store_open(cp->loop, cp->conf.store.url, why, sizeof(why));
	if (cp->store == NULL) {
		log_error("%s", why);
		return EXIT_UNAVAILABLE;
	}
	return storestat_init(cp->metrics, cp->store) < 0 ? EXIT_OS : 0;
}

static bool read_workers(void *arg, struct sysload_workers *out)
{
	struct cp *cp = arg;
	struct link_cycles c;

	if (cp->hub == NULL || !link_is_up(hub_link(cp->hub)))
		return false;
	*out = (struct sysload_workers){};
	if (link_cycles(hub_link(cp->hub), &c))
		*out = (struct sysload_workers){.busy = c.busy, .idle = c.idle, .n = c.n_workers};
	return true;
}

// The rule of dataplane.idle: do workers without work keep their cores busy?
static bool workers_poll(const struct conf *conf)
{
	const char *idle = conf->dataplane.idle;

	return strcmp(idle, "poll") == 0 ||
	       (strcmp(idle, "auto") == 0 && conf->dataplane.worker_cores[0] != '\0');
}

static void on_taken(void *arg)
{
	struct cp *cp = arg;

	log_error("another sluice-cp serves this dataplane: ending, its calls go on");
	cp->status = EXIT_UNAVAILABLE;
	loop_stop(cp->loop);
}

static int open_calls(struct cp *cp)
{
	char why[512];

	if (claim_node(cp->loop, cp->store, cp->conf.store.node_id, cp->conf.api.listen, why, sizeof(why)) <
	    0) {
		log_error("%s", why);
		return EXIT_UNAVAILABLE;
	}
	cp->sysload = sysload_new(cp->loop);
	cp->plugins = plugins_new(cp->loop, cp->metrics);
	cp->auth = auth_new(cp->loop, &cp->conf, cp->store, cp->metrics, on_client_gone, cp);
	cp->api = api_new();
	if (!cp->sysload || !cp->plugins || !cp->auth || !cp->api) {
		log_error("start: %s", strerror(errno));
		return EXIT_OS;
	}
	cp->hub = hub_new(cp->loop, &cp->conf, cp->plugins, cp->store, cp->metrics);
	if (cp->hub == NULL) {
		log_error("start: calls: %s", strerror(errno));
		return EXIT_OS;
	}
	link_on_taken(hub_link(cp->hub), on_taken, cp);
	sysload_watch(cp->sysload, workers_poll(&cp->conf), read_workers, cp);
	if (linkstat_init(cp->metrics, hub_link(cp->hub)) < 0)
		return EXIT_OS;
	cp->node = node_new(cp->loop, cp->store, cp->conf.store.node_id, cp->conf.api.listen, cp->sysload,
			    cp->hub);
	return cp->node ? 0 : EXIT_OS;
}

static void bind_api(struct cp *cp)
{
	api_bind(cp->api, &(struct api_parts){.conf = &cp->conf,
					      .http = cp->http,
					      .auth = cp->auth,
					      .plugins = cp->plugins,
					      .hub = cp->hub,
					      .metrics = cp->metrics,
					      .sysload = cp->sysload});
}

static int open_http(struct cp *cp)
{
	const struct http_limits limits = {.max_conns = cp->conf.api.max_conns,
					   .max_body = cp->conf.api.max_body_bytes,
					   .read = HTTP_READ_NS,
					   .write = HTTP_WRITE_NS,
					   .idle = HTTP_IDLE_NS};
	char why[512];

	if (cp->conf.api.tls_enable) {
		cp->tls =
			tls_ctx_new(cp->conf.api.tls_cert_file, cp->conf.api.tls_key_file, why, sizeof(why));
		if (cp->tls == NULL) {
			log_error("api.tls: %s", why);
			return EXIT_CONFIG;
		}
	}
	cp->http = http_new(cp->loop, &limits, cp->tls, cp->metrics, api_on_request, cp->api);
	if (cp->http == NULL) {
		log_error("start: %s", strerror(errno));
		return EXIT_OS;
	}
	if (http_trust(cp->http, cp->conf.api.trusted_proxies.item, cp->conf.api.trusted_proxies.n) < 0) {
		log_error("api.trusted_proxies: not prefixes, or too many");
		return EXIT_CONFIG;
	}
	plugins_bind(cp->plugins, cp->http, &hub_plugin_ops, cp->hub);
	bind_api(cp);
	if (http_listen(cp->http, cp->conf.api.listen, why, sizeof(why)) < 0) {
		log_error("%s", why);
		return EXIT_UNAVAILABLE;
	}
	return 0;
}

// --- the end -------------------------------------------------------------------------------------------
static void end_now(void *arg)
{
	struct cp *cp = arg;

	loop_stop(cp->loop);
}

static void on_drain_limit(struct timer *t, ns_t)
{
	struct cp *cp = container_of(t, struct cp, drain_limit);

	log_warn("drain: calls still go on after %u s, ending them", cp->conf.drain.max_s);
	end_now(cp);
}

static void on_signal(void *arg, int signum)
{
	struct cp *cp = arg;
	struct hub_load load;

	if (cp->n_signals++ > 0) {
		log_notice("%s again: ending now", strsignal(signum));
		end_now(cp);
		return;
	}
	hub_load(cp->hub, &load);
	log_notice("%s: draining, %u sessions in %u calls, at most %u s", strsignal(signum), load.n_sessions,
		   load.n_calls, cp->conf.drain.max_s);
	priv_notify("STOPPING=1\nSTATUS=draining");
	sysload_drain(cp->sysload);
	metric_set(cp->metrics, M_DRAINING, METRIC_NO_LABELS, 1);
	loop_arm_in(cp->loop, &cp->drain_limit, cp->conf.drain.max_s * NS_PER_S);
	hub_drain(cp->hub, end_now, cp);
	node_beat(cp->node);
}

static void cp_close(struct cp *cp)
{
	ns_t until;

	if (cp->loop == NULL)
		return;
	loop_cancel(cp->loop, &cp->drain_limit);
	node_free(cp->node); // it reads the hub
	hub_free(cp->hub);
	cp->hub = NULL;
	if (cp->api)
		bind_api(cp); // requests may still come
	if (cp->plugins) {
		plugins_bind(cp->plugins, cp->http, NULL, NULL);
		until = clock_now() + LAST_WORDS_NS;
		while (plugins_count(cp->plugins) > 0 && clock_now() < until)
			loop_turn(cp->loop, 50 * NS_PER_MS);
	}
	http_free(cp->http);
	auth_free(cp->auth);
	api_free(cp->api);
	tls_ctx_free(cp->tls);
	plugins_free(cp->plugins);
	sysload_free(cp->sysload);
	store_close(cp->store);
	metrics_free(cp->metrics);
	loop_free(cp->loop);
}

static int cp_open(struct cp *cp)
{
	int rc = open_base(cp);

	if (rc == 0)
		rc = open_calls(cp);
	if (rc == 0)
		rc = open_http(cp);
	if (rc == 0 && (loop_on_signal(cp->loop, SIGTERM, on_signal, cp) < 0 ||
			loop_on_signal(cp->loop, SIGINT, on_signal, cp) < 0))
		rc = EXIT_OS;
	cp->drain_limit.on_due = on_drain_limit;
	return rc;
}

int main(int argc, char **argv)
{
	struct cp cp = {};
	bool spares_memory = sslmem_install() == 0;
	int rc = cp_args(&cp, argc, argv);

	if (rc < 0) {
		rc = cp_open(&cp);
		if (rc == 0) {
			int denied = priv_confine();

			if (!spares_memory)
				log_warn("start: OpenSSL keeps its allocator: more memory for each session");
			if (denied < 0)
				log_warn("start: not confined by seccomp: %s", strerror(-denied));
			log_notice("serving on port %u, store %s", http_port(cp.http), store_name(cp.store));
			priv_notify("READY=1\nSTATUS=serving");
			loop_run(cp.loop);
			rc = cp.status;
		}
		cp_close(&cp);
	}
	conf_fini(&cp.conf);
	return rc;
}
