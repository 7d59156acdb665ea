// sluicegun: a load of real participants for servers that speak rtcd's protocol. docs/sluicegun.md.
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/args.h"
#include "lib/base/err.h"
#include "lib/base/rand.h"
#include "lib/base/str.h"
#include "lib/base/version.h"
#include "lib/peer/sslmem.h"
#include "tools/sluicegun/gun.h"
#include "tools/sluicegun/report.h"
#include "tools/sluicegun/ws.h"

#define MAX_PARTICIPANTS 100000
#define SETTLE_NS (2 * NS_PER_S)      // after the last join, before the steady part begins
#define JOIN_LIMIT_NS (30 * NS_PER_S) // beyond the ramp
#define STOP_NS (15 * NS_PER_S)

static volatile sig_atomic_t interrupted;

static void on_signal(int sig)
{
	interrupted = 1;
}

// --- arguments -------------------------------------------------------------------------------------------

static struct {
	const char *url, *protocol, *client, *calls, *people, *voices, *screens, *seconds, *ramp, *churn,
		*loss, *reorder, *threads, *seed, *pid, *json, *max_loss;
	bool simulcast, cm, quiet;
} arg = {.url = "http://127.0.0.1:8045",
	 .protocol = "rtcd",
	 .calls = "1",
	 .people = "10",
	 .voices = "2",
	 .screens = "0",
	 .seconds = "10",
	 .ramp = "1",
	 .churn = "0",
	 .loss = "0",
	 .reorder = "0",
	 .threads = "1",
	 .max_loss = "0"};

static const struct arg_opt options[] = {
	{"url", "URL", "API of the server (http://127.0.0.1:8045)", &arg.url, NULL},
	{"client", "ID:KEY", "client of the server; registers one of its own otherwise", &arg.client, NULL},
	{"protocol", "NAME", "rtcd, or janus: videoroom over its WebSocket API", &arg.protocol, NULL},
	{"calls", "N", "calls at a time (1)", &arg.calls, NULL},
	{"people", "N", "participants of each call (10)", &arg.people, NULL},
	{"voices", "N", "of them unmuted: 50 packets/s (2)", &arg.voices, NULL},
	{"screens", "N", "of them sharing a screen: 20 frames/s, 1.6 Mbit/s (0)", &arg.screens, NULL},
	{"simulcast", NULL, "screens as two layers, 2.5 and 0.5 Mbit/s", NULL, &arg.simulcast},
	{"cm", NULL, "offer AES128_CM_SHA1_80 only", NULL, &arg.cm},
	{"duration", "SECONDS", "of the steady part, after everybody is in (10)", &arg.seconds, NULL},
	{"ramp", "SECONDS", "over which they join, at random (1)", &arg.ramp, NULL},
	{"churn", "RATE", "mutes, or leaves and rejoins, per participant and minute (0)", &arg.churn, NULL},
	{"loss", "PERCENT", "of packets dropped here, both ways (0)", &arg.loss, NULL},
	{"reorder", "PERCENT", "of packets sent one too late (0)", &arg.reorder, NULL},
	{"threads", "N", "worker processes (1)", &arg.threads, NULL},
	{"seed", "N", "of sizes and times (random)", &arg.seed, NULL},
	{"server-pid", "PID[,PID]", "processes of the server: their CPU and memory", &arg.pid, NULL},
	{"max-loss", "PERCENT", "exit status 1 when more is lost (0)", &arg.max_loss, NULL},
	{"json", "FILE", "where the figures go (standard output)", &arg.json, NULL},
	{"quiet", NULL, "no line a second", NULL, &arg.quiet},
	{},
};

static int number(const char *name, const char *text, unsigned min, unsigned max, unsigned *out)
{
	uint64_t v;

	if (!str_u64(str_of(text), max, &v) || v < min) {
		fprintf(stderr, "sluicegun: --%s=%s: a number from %u to %u, please\n", name, text, min, max);
		return -EINVAL;
	}
	*out = (unsigned)v;
	return 0;
}

static int real(const char *name, const char *text, double max, double *out)
{
	char *end;

	*out = strtod(text, &end);
	if (end == text || *end != '\0' || !(*out >= 0 && *out <= max)) {
		fprintf(stderr, "sluicegun: --%s=%s: a number from 0 to %g, please\n", name, text, max);
		return -EINVAL;
	}
	return 0;
}

static int pids(struct gun_conf *c)
{
	struct str rest = str_of(arg.pid);

	while (rest.len > 0) {
		struct str word = str_cut(&rest, ',');
		uint64_t v;
		struct proc_use use;

		if (c->n_pids == GUN_MAX_PIDS || !str_u64(word, INT32_MAX, &v) || v == 0) {
			fprintf(stderr, "sluicegun: --server-pid=%s: at most %u process ids, please\n",
				arg.pid, GUN_MAX_PIDS);
			return -EINVAL;
		}
		c->pid[c->n_pids++] = (int)v;
		if (proc_read(&c->pid[c->n_pids - 1], 1, &use) < 0) {
			fprintf(stderr, "sluicegun: --server-pid: there is no process %u\n", (unsigned)v);
			return -EINVAL;
		}
	}
	return 0;
}

static int rates(struct gun_conf *c)
{
	if (real("churn", arg.churn, 600, &c->churn) < 0 || real("loss", arg.loss, 100, &c->loss) < 0 ||
	    real("reorder", arg.reorder, 100, &c->reorder) < 0 ||
	    real("max-loss", arg.max_loss, 100, &c->max_loss) < 0)
		return -EINVAL;
	c->loss /= 100;
	c->reorder /= 100;
	c->max_loss /= 100;
	return 0;
}

static int shape(struct gun_conf *c)
{
	c->seed = rand_u32();
	if (number("calls", arg.calls, 1, MAX_PARTICIPANTS, &c->calls) < 0 ||
	    number("people", arg.people, 1, MAX_PARTICIPANTS, &c->people) < 0 ||
	    number("voices", arg.voices, 0, c->people, &c->voices) < 0 ||
	    number("screens", arg.screens, 0, c->people, &c->screens) < 0 ||
	    number("duration", arg.seconds, 1, REPORT_MAX_SECONDS, &c->seconds) < 0 ||
	    number("ramp", arg.ramp, 0, 3600, &c->ramp) < 0 ||
	    number("threads", arg.threads, 1, GUN_MAX_WORKERS, &c->n_workers) < 0 ||
	    (arg.seed && number("seed", arg.seed, 0, UINT32_MAX, &c->seed) < 0))
		return -EINVAL;
	if ((uint64_t)c->calls * c->people > MAX_PARTICIPANTS) {
		fprintf(stderr, "sluicegun: more than %u participants\n", MAX_PARTICIPANTS);
		return -EINVAL;
	}
	if (c->n_workers > c->calls * c->people)
		c->n_workers = c->calls * c->people;
	return 0;
}

static int seats(struct gun_conf *c)
{
	c->n_publishers = c->voices > c->screens ? c->voices : c->screens;
	if (c->churn > 0 || c->simulcast || c->n_publishers == 0) {
		fprintf(stderr, "sluicegun: Janus: somebody has to send; no --churn, no --simulcast\n");
		return -EINVAL;
	}
	if (c->n_publishers > 1)
		c->people += c->n_publishers;
	return 0;
}

static int settings(struct gun_conf *c)
{
	*c = (struct gun_conf){.url = arg.url,
			       .client = arg.client,
			       .simulcast = arg.simulcast,
			       .cm = arg.cm,
			       .quiet = arg.quiet,
			       .json = arg.json,
			       .protocol = strcmp(arg.protocol, "janus") == 0 ? GUN_JANUS : GUN_RTCD};
	if (c->protocol == GUN_RTCD && strcmp(arg.protocol, "rtcd") != 0) {
		fprintf(stderr, "sluicegun: --protocol=%s: rtcd or janus, please\n", arg.protocol);
		return -EINVAL;
	}
	if (ws_url_split(str_of(arg.url), c->host, sizeof(c->host), c->port, sizeof(c->port)) < 0) {
		fprintf(stderr, "sluicegun: --url=%s: http://HOST:PORT, please\n", arg.url);
		return -EINVAL;
	}
	if (shape(c) < 0 || rates(c) < 0 || pids(c) < 0)
		return -EINVAL;
	c->persons = c->people;
	if (c->protocol == GUN_JANUS)
		return seats(c);
	return 0;
}

// --- workers ---------------------------------------------------------------------------------------------

// A socket for each participant.
static void raise_files(const struct gun_conf *c)
{
	struct rlimit r;
	rlim_t want = (rlim_t)c->calls * c->people / c->n_workers + 256;

	if (getrlimit(RLIMIT_NOFILE, &r) < 0 || r.rlim_cur >= want)
		return;
	r.rlim_cur = want;
	if (r.rlim_max < want)
		r.rlim_max = want;
	if (setrlimit(RLIMIT_NOFILE, &r) < 0)
		die(EXIT_OS, "%lu open files are needed, the limit is lower (ulimit -n)",
		    (unsigned long)want);
}

static struct shared *share(const struct gun_conf *c)
{
	uint32_t n = c->calls * c->people * GUN_STREAMS;
	size_t size = sizeof(struct shared) + n * sizeof(_Atomic uint64_t);
	struct shared *s = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (s == MAP_FAILED)
		die(EXIT_OS, "shared memory: %s", strerror(errno));
	s->n_streams = n;
	return s;
}

static pid_t start(const struct gun_conf *c, struct shared *s, unsigned index)
{
	pid_t pid = fork();

	if (pid < 0)
		die(EXIT_OS, "fork: %s", strerror(errno));
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGINT, SIG_IGN); // the terminal's goes to all; the parent says when to stop
	exit(worker_run(c, s, index));
}

static void nap(ns_t ns)
{
	struct timespec ts = {.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};

	nanosleep(&ts, NULL);
}

// The first worker that ended, its status; 0 while all run.
static int ended(unsigned *n_left)
{
	int status, first = 0;

	while (*n_left > 0 && waitpid(-1, &status, WNOHANG) > 0) {
		--*n_left;
		if (first == 0)
			first = WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_SOFTWARE;
	}
	return first;
}

// From the first join to the end of the steady part. returns: a worker's exit status when one gave up, else 0
static int run(struct report *r, unsigned *n_left)
{
	const struct gun_conf *c = r->conf;
	ns_t next = r->start, in_at = 0, limit = r->start + c->ramp * NS_PER_S + JOIN_LIMIT_NS,
	     end = NS_NEVER;
	int status = 0;

	while (!interrupted && clock_now() < end) {
		unsigned was = *n_left;

		status = ended(n_left);
		if (*n_left != was)
			return status ? status : EXIT_SOFTWARE;
		next += NS_PER_S;
		if (next > clock_now())
			nap(next - clock_now());
		report_second(r, end != NS_NEVER);
		if (in_at == 0 && (report_all_in(r) || clock_now() > limit))
			in_at = clock_now();
		if (in_at != 0 && end == NS_NEVER && clock_now() >= in_at + SETTLE_NS)
			end = clock_now() + (c->seconds + 1) * NS_PER_S - NS_PER_MS * 500;
	}
	return 0;
}

static void stop(struct shared *s, pid_t *pid, unsigned n, unsigned n_left)
{
	ns_t limit;

	atomic_store_explicit(&s->phase, GUN_DRAIN, memory_order_relaxed);
	nap(GUN_DRAIN_NS);
	atomic_store_explicit(&s->phase, GUN_STOP, memory_order_relaxed);
	limit = clock_now() + STOP_NS;
	while (n_left > 0 && clock_now() < limit) {
		ended(&n_left);
		nap(20 * NS_PER_MS);
	}
	for (unsigned i = 0; n_left > 0 && i < n; i++)
		kill(pid[i], SIGKILL);
}

static int finish(struct report *r)
{
	FILE *f = r->conf->json ? fopen(r->conf->json, "w") : stdout;
	int rc = f ? report_json(r, f) : -errno;

	if (f && f != stdout && fclose(f) != 0)
		rc = -EIO;
	if (rc < 0) {
		fprintf(stderr, "sluicegun: %s: %s\n", r->conf->json, strerror(-rc));
		return EXIT_OS;
	}
	return report_verdict(r);
}

int main(int argc, char **argv)
{
	struct gun_conf conf;
	struct report report;
	struct shared *shared;
	pid_t pid[GUN_MAX_WORKERS];
	unsigned n_left;
	int status = args_parse(argc, argv, options, NULL, version_full);

	if (status != 0)
		return status < 0 ? EXIT_USAGE : EXIT_OK;
	if (settings(&conf) < 0)
		return EXIT_USAGE;
	(void)sslmem_install(); // participants cost less memory; without it they cost more
	raise_files(&conf);
	shared = share(&conf);
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	for (unsigned i = 0; i < conf.n_workers; i++)
		pid[i] = start(&conf, shared, i);
	n_left = conf.n_workers;
	report_init(&report, &conf, shared, clock_now());
	status = run(&report, &n_left);
	report_steady_end(&report);
	stop(shared, pid, conf.n_workers, n_left);
	report_collect(&report, clock_now());
	if (status == 0)
		status = finish(&report);
	report_fini(&report);
	return status;
}
