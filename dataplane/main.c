// sluice-dp: arguments, configuration, DPDK, self-test, ports, workers; then main serves the control plane
// until a signal, and everything is taken down in reverse.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/core/dp.h"
#include "dataplane/ctl/build.h"
#include "dataplane/ctl/ctl.h"
#include "dataplane/ctl/eal.h"
#include "dataplane/ctl/notify.h"
#include "lib/base/args.h"
#include "lib/base/err.h"
#include "lib/base/log.h"
#include "lib/base/version.h"
#include "lib/conf/conf.h"

struct options {
	const char *config;
	bool check_config, self_test;
};

static int exit_status_of(int err)
{
	switch (err) {
	case EADDRINUSE:
	case EADDRNOTAVAIL:
	case EBUSY:
	case ENODEV:
		return EXIT_UNAVAILABLE;
	case EACCES:
	case EPERM:
		return EXIT_PERM;
	case EINVAL:
		return EXIT_CONFIG;
	default:
		return EXIT_OS;
	}
}

static void set_log(const struct conf *conf)
{
	struct log_opts opts = {.level = LOG_NOTICE, .json = conf->log.json, .program = "sluice-dp"};

	if (!log_level_parse(conf->log.level, &opts.level))
		opts.level = LOG_NOTICE;
	log_init(&opts);
}

// The RFC vectors on the engine that will seal every packet. Dies when they fail.
static void self_test(const char *backend, bool say)
{
	struct seal_engine *engine = seal_engine_new(backend);

	if (engine == NULL)
		die(EXIT_UNAVAILABLE, "seal engine %s: %s: set dataplane.seal: libsrtp2", backend,
		    strerror(errno));
	if (seal_self_test(engine) < 0)
		die(EXIT_SOFTWARE, "seal engine %s failed its self-test", seal_engine_name(engine));
	if (say)
		printf("self-test passed: %s\n", seal_engine_name(engine));
	seal_engine_free(engine);
}

// Handled by signalfd on main; blocked before EAL makes its threads.
static void block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
}

// Say what is wrong and give back what was opened so far.
static int give_up(struct dp *dp, int status, const char *what)
{
	fprintf(stderr, "sluice: %s\n", what);
	dp_close(dp);
	eal_stop();
	return status;
}

static int serve_on(const struct conf *conf, const struct eal_plan *plan, struct dp *dp)
{
	struct ctl *ctl = ctl_open(dp, dp_media_port(dp));
	char text[512];

	if (ctl == NULL) {
		int err = errno;
		snprintf(text, sizeof(text),
			 "control socket %s: %s: is another sluice-dp running, does its folder exist? "
			 "(dataplane.socket)",
			 conf->dataplane.socket, strerror(err));
		return give_up(dp, exit_status_of(err), text);
	}
	if (dp_launch(dp) < 0)
		die(EXIT_OS, "workers did not start");
	if (dp->tcp)
		log_notice("serving TCP port %u", dp_tcp_port(dp));
	log_notice("serving UDP port %u with %u worker%s (%s, %s), control socket %s", dp_media_port(dp),
		   plan->n_workers, plan->n_workers == 1 ? "" : "s",
		   plan->sleeps ? "sleep when idle" : "polling", seal_engine_name(dp->worker[0]->seal),
		   conf->dataplane.socket);
	notify_systemd("READY=1");
	ctl_run(ctl);
	notify_systemd("STOPPING=1");
	dp_stop(dp);
	ctl_close(ctl);
	dp_close(dp);
	eal_stop();
	return EXIT_OK;
}

static int serve(const struct conf *conf)
{
	struct eal_plan plan = eal_plan(conf);
	char error[512] = "";
	struct dp *dp;

	if (eal_start(conf, &plan, error, sizeof(error)) < 0)
		die(EXIT_UNAVAILABLE, "%s", error);
	self_test(conf->dataplane.seal, false);
	dp = dp_open(conf, &plan, error, sizeof(error));
	if (dp == NULL)
		return give_up(NULL, exit_status_of(errno), error);
	return serve_on(conf, &plan, dp);
}

int main(int argc, char **argv)
{
	struct options o = {};
	const struct arg_opt table[] = {
		{"check-config", NULL, "check the configuration and exit", NULL, &o.check_config},
		{"config", "PATH", "configuration file (default: built-in values and environment)", &o.config,
		 NULL},
		{"self-test", NULL, "run the RFC test vectors on the SRTP engine and exit", NULL,
		 &o.self_test},
		{},
	};
	struct conf conf;
	struct conf_error error;
	int rc = args_parse(argc, argv, table, "sluice-dp [--config PATH]", version_full);

	if (rc != 0)
		return rc < 0 ? EXIT_USAGE : EXIT_OK;
	if (conf_load(&conf, o.config, &error) < 0)
		die(EXIT_CONFIG, "%s", error.text);
	if (o.check_config) {
		printf("configuration is valid\n");
	} else if (o.self_test) {
		self_test(conf.dataplane.seal, true);
	} else {
		set_log(&conf);
		block_signals();
		rc = serve(&conf);
	}
	conf_fini(&conf);
	return rc;
}
