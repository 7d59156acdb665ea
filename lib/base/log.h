// Leveled log lines: one line, one event, "thing, what happened (reason)".
//
// Under systemd ($JOURNAL_STREAM) lines go to stderr with <N> priorities and no time; elsewhere with
// time. JSON mode prints one object a line: timestamp, level, msg, caller plus fields.
// Every call site is rate limited (burst 20, then 5/s) and says "suppressed N" when it resumes.
// thread: any thread of the control plane and main lcore; dataplane workers never log.
#pragma once

#include <stdbool.h>
#include <stddef.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_NOTICE, LOG_INFO, LOG_DEBUG };

struct log_opts {
	enum log_level level; // least important level that is printed
	bool json;
	const char *program; // borrowed; shown in each line
};

void log_init(const struct log_opts *opts);
void log_set_level(enum log_level level);

// "error" .. "debug", case-insensitive; false when unknown.
[[nodiscard]] bool log_level_parse(const char *name, enum log_level *level);

struct log_site {              // static per call site
	long long window_ns;   // when n_in_window was last brought up to date
	unsigned n_in_window;  // lines of the burst that are used up
	unsigned n_suppressed; // since the last line that was printed
};

// Whether the site may print at now_ns (monotonic); if so, *n_suppressed is what it kept back before.
// log_write does this itself; apart for tests. Not thread safe.
bool log_site_allows(struct log_site *site, long long now_ns, unsigned *n_suppressed);

// Format one line as log_write would print it, with the newline, cut to size. Bytes that are not
// printable are escaped, so nothing from outside can forge a line. Returns its length.
struct log_line {
	enum log_level level;
	const char *program, *caller, *text; // borrowed
	long long wall_ns;
	unsigned n_suppressed;
};
enum log_format { LOG_TEXT, LOG_JOURNAL, LOG_JSON };
size_t log_format_line(char *out, size_t size, enum log_format format, const struct log_line *line);

bool log_enabled(enum log_level level);
[[gnu::format(printf, 4, 5)]] void log_write(struct log_site *site, enum log_level level, const char *caller,
					     const char *fmt, ...);

#define LOG_STR2(x) #x
#define LOG_STR(x) LOG_STR2(x)
#define log_at(level, ...)                                                                         \
	do {                                                                                       \
		static struct log_site log_site_;                                                  \
		if (log_enabled(level))                                                            \
			log_write(&log_site_, level, __FILE__ ":" LOG_STR(__LINE__), __VA_ARGS__); \
	} while (0)
#define log_error(...) log_at(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_at(LOG_WARN, __VA_ARGS__)
#define log_notice(...) log_at(LOG_NOTICE, __VA_ARGS__)
#define log_info(...) log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)
