// One write(2) per line, so lines of several threads do not mix. The mutex guards the call sites' rate
// limits; nothing on a packet path logs.
#include "lib/base/log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/clock.h"

#define LINE_SIZE 2048
#define SITE_BURST 20
#define SITE_PER_S 5

static struct {
	_Atomic int level;
	enum log_format format;
	const char *program; // borrowed
	pthread_mutex_t sites;
} logger = {.level = LOG_INFO, .program = "sluice", .sites = PTHREAD_MUTEX_INITIALIZER};

static const char *const level_names[] = {"error", "warn", "notice", "info", "debug"};
static const int level_priority[] = {3, 4, 5, 6, 7}; // sd-daemon(3)

// systemd says in $JOURNAL_STREAM which device and inode its journal socket has.
static bool is_journal(int fd)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long dev, ino;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &dev, &ino) == 2 && fstat(fd, &st) == 0 &&
	       st.st_dev == dev && st.st_ino == ino;
}

void log_init(const struct log_opts *opts)
{
	logger.program = opts->program ? opts->program : "sluice";
	logger.format = opts->json ? LOG_JSON : is_journal(STDERR_FILENO) ? LOG_JOURNAL : LOG_TEXT;
	log_set_level(opts->level);
}

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&logger.level, level, memory_order_relaxed);
}

bool log_enabled(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&logger.level, memory_order_relaxed);
}

bool log_level_parse(const char *name, enum log_level *level)
{
	for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
		if (strcasecmp(name, level_names[i]) == 0) {
			*level = (enum log_level)i;
			return true;
		}
	}
	return false;
}

bool log_site_allows(struct log_site *site, long long now_ns, unsigned *n_suppressed)
{
	long long refill = (now_ns - site->window_ns) / (NS_PER_S / SITE_PER_S);

	if (refill > 0) {
		site->n_in_window = refill >= site->n_in_window ? 0 : site->n_in_window - (unsigned)refill;
		site->window_ns =
			site->n_in_window ? site->window_ns + refill * (NS_PER_S / SITE_PER_S) : now_ns;
	}
	if (site->n_in_window >= SITE_BURST) {
		site->n_suppressed++;
		return false;
	}
	site->n_in_window++;
	*n_suppressed = site->n_suppressed;
	site->n_suppressed = 0;
	return true;
}

// Bytes of the well-formed UTF-8 sequence at p (RFC 3629), 0 when it is none.
static size_t utf8_len(const unsigned char *p)
{
	size_t n = p[0] < 0x80   ? 1
		   : p[0] < 0xc2 ? 0
		   : p[0] < 0xe0 ? 2
		   : p[0] < 0xf0 ? 3
		   : p[0] < 0xf5 ? 4
				 : 0;

	for (size_t i = 1; i < n; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	if ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] > 0x9f) || (p[0] == 0xf0 && p[1] < 0x90) ||
	    (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return n;
}

// Append text so that it stays one line (and one JSON string). What does not fit is left out.
static void put_escaped(struct wbuf *w, const char *text, bool json)
{
	for (const unsigned char *p = (const unsigned char *)text; *p;) {
		size_t n = utf8_len(p);

		if (json && (*p == '"' || *p == '\\'))
			wbuf_printf(w, "\\%c", *p);
		else if (n > 0 && *p >= 0x20 && *p != 0x7f)
			wbuf_bytes(w, p, n);
		else if (json)
			wbuf_printf(w, "\\u%04x", n ? *p : 0xfffd);
		else
			wbuf_printf(w, "\\x%02x", *p);
		p += n ? n : 1;
	}
}

static void put_time(struct wbuf *w, long long wall_ns, bool json)
{
	time_t s = (time_t)(wall_ns / NS_PER_S);
	struct tm tm;
	char text[32];

	gmtime_r(&s, &tm);
	strftime(text, sizeof(text), json ? "%Y-%m-%dT%H:%M:%S" : "%Y-%m-%d %H:%M:%S", &tm);
	wbuf_printf(w, "%s.%03lldZ", text, wall_ns % NS_PER_S / NS_PER_MS);
}

static void put_json(struct wbuf *w, const struct log_line *l)
{
	wbuf_printf(w, "{\"timestamp\":\"");
	put_time(w, l->wall_ns, true);
	wbuf_printf(w, "\",\"level\":\"%s\",\"program\":\"%s\",\"caller\":\"%s\"", level_names[l->level],
		    l->program, l->caller);
	if (l->n_suppressed)
		wbuf_printf(w, ",\"suppressed\":%u", l->n_suppressed);
	wbuf_printf(w, ",\"msg\":\"");
	put_escaped(w, l->text, true);
}

static void put_text(struct wbuf *w, const struct log_line *l, bool journal)
{
	if (journal) {
		wbuf_printf(w, "<%d>", level_priority[l->level]);
	} else {
		put_time(w, l->wall_ns, false);
		wbuf_printf(w, " %s %s: ", l->program, level_names[l->level]);
	}
	if (l->n_suppressed)
		wbuf_printf(w, "(suppressed %u) ", l->n_suppressed);
	put_escaped(w, l->text, false);
}

size_t log_format_line(char *out, size_t size, enum log_format format, const struct log_line *line)
{
	const char *end = format == LOG_JSON ? "\"}\n" : "\n";
	struct wbuf w = wbuf_of(out, size - strlen(end));

	if (format == LOG_JSON)
		put_json(&w, line);
	else
		put_text(&w, line, format == LOG_JOURNAL);
	memcpy(w.p, end, strlen(end)); // room was kept
	return wbuf_len(&w) + strlen(end);
}

void log_write(struct log_site *site, enum log_level level, const char *caller, const char *fmt, ...)
{
	char text[LINE_SIZE / 2], out[LINE_SIZE];
	struct log_line line = {level, logger.program, caller, text, clock_wall(), 0};
	bool allowed;
	va_list ap;
	size_t len;

	pthread_mutex_lock(&logger.sites);
	allowed = log_site_allows(site, clock_now(), &line.n_suppressed);
	pthread_mutex_unlock(&logger.sites);
	if (!allowed)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	len = log_format_line(out, sizeof(out), logger.format, &line);
	if (write(STDERR_FILENO, out, len) < 0) {
		// nowhere left to say so
	}
}
