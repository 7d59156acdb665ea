// YAML events drive a walk along the schema: a mapping is a section, a leaf is a row. Nothing is kept of the
// document but the values and where each stood, for the checks that concern several keys.
//
// Order: defaults, file, rtcd's variables, our variables. The first error stops.
#include "lib/conf/conf.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/conf/schema.h"

#define MAX_FILE (1u << 20)
#define MAX_DEPTH 8
#define MAX_PATH_TEXT 128

struct place {
	const char *name;    // file, or environment variable
	size_t line, column; // 1-based; 0: none
};

struct loader {
	struct conf *conf;
	struct conf_error *err;
	const char *file_name;
	enum conf_source source;           // of what is being read now
	bool is_given[CONF_MAX_KEYS];      // by the source being read now
	struct place place[CONF_MAX_KEYS]; // of the last value given
};

// --- errors ------------------------------------------------------------------------------------
[[gnu::format(printf, 4, 5)]] static int refuse(struct loader *l, struct place at, const char *key,
						const char *fmt, ...)
{
	char why[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	if (at.line)
		snprintf(l->err->text, sizeof(l->err->text), "%s:%zu:%zu: %s: %s", at.name, at.line,
			 at.column, key, why);
	else
		snprintf(l->err->text, sizeof(l->err->text), "%s: %s: %s", at.name ? at.name : "default", key,
			 why);
	return err_set(EINVAL);
}

static int refuse_value(struct loader *l, const struct conf_key *key, struct place at, const char *why)
{
	// rtcd's texts name its own setting, unless they do so already.
	if (key->rtcd && strncmp(why, "invalid ConsoleLevel", strlen("invalid ConsoleLevel")) != 0)
		return refuse(l, at, key->path, "invalid %s value: %s", key->rtcd, why);
	return refuse(l, at, key->path, "%s", why);
}

// --- values ------------------------------------------------------------------------------------
static void *field(struct conf *c, const struct conf_key *key)
{
	return (char *)c + key->offset;
}

static int set_bool(struct loader *l, const struct conf_key *key, struct place at, const char *text)
{
	static const char *const yes[] = {"true", "True", "TRUE", "1", "t", "T"};
	static const char *const no[] = {"false", "False", "FALSE", "0", "f", "F"};
	// 1, t and so on are what rtcd takes from the environment
	size_t n = l->source == CONF_ENV ? ARRAY_LEN(yes) : 3;

	for (size_t i = 0; i < n; i++) {
		if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
			*(bool *)field(l->conf, key) = strcmp(text, yes[i]) == 0;
			return 0;
		}
	}
	return refuse(l, at, key->path, "\"%s\" is neither true nor false", text);
}

static bool number_of(const char *text, int64_t *n)
{
	char *end;

	if (*text != '-' && (*text < '0' || *text > '9'))
		return false;
	errno = 0;
	*n = strtoll(text, &end, 0);
	return errno == 0 && *end == '\0' && end > text && end[-1] != '-';
}

static int set_number(struct loader *l, const struct conf_key *key, struct place at, const char *text)
{
	char why[256];
	int64_t n;

	if (!number_of(text, &n))
		return refuse(l, at, key->path, "\"%s\" is not a whole number", text);
	if (n < key->min || n > key->max) {
		snprintf(why, sizeof(why), "%" PRId64 " is not in allowed range [%" PRId64 ", %" PRId64 "]",
			 n, key->min, key->max);
		return refuse_value(l, key, at, why);
	}
	if (key->check && !key->check(text, why, sizeof(why)))
		return refuse_value(l, key, at, why);
	if (key->type == CONF_U16)
		*(uint16_t *)field(l->conf, key) = (uint16_t)n;
	else if (key->type == CONF_U32)
		*(uint32_t *)field(l->conf, key) = (uint32_t)n;
	else
		*(int32_t *)field(l->conf, key) = (int32_t)n;
	return 0;
}

static int set_string(struct loader *l, const struct conf_key *key, struct place at, const char *text)
{
	char **to = field(l->conf, key), why[256], *copy;

	if (key->check && !key->check(text, why, sizeof(why)))
		return refuse_value(l, key, at, why);
	copy = strdup(text);
	if (copy == NULL)
		return refuse(l, at, key->path, "out of memory");
	free(*to);
	*to = copy;
	return 0;
}

static void list_clear(struct conf_list *list)
{
	while (list->n > 0)
		free(list->item[--list->n]);
}

static int list_add(struct loader *l, const struct conf_key *key, struct place at, struct str item)
{
	struct conf_list *list = field(l->conf, key);
	char why[256], *copy;

	if (list->n == CONF_MAX_LIST)
		return refuse(l, at, key->path, "more than %d entries", CONF_MAX_LIST);
	copy = strndup(item.p ? item.p : "", item.len);
	if (copy == NULL)
		return refuse(l, at, key->path, "out of memory");
	if (key->check && !key->check(copy, why, sizeof(why))) {
		free(copy);
		return refuse_value(l, key, at, why);
	}
	list->item[list->n++] = copy;
	return 0;
}

// "a, b": how rtcd writes lists outside of tables.
static int list_add_all(struct loader *l, const struct conf_key *key, struct place at, const char *text)
{
	struct str rest = str_of(text);

	while (rest.len > 0) {
		int rc = list_add(l, key, at, str_trim(str_cut(&rest, ',')));

		if (rc < 0)
			return rc;
	}
	return 0;
}

static int set_scalar(struct loader *l, const struct conf_key *key, struct place at, const char *text)
{
	switch (key->type) {
	case CONF_BOOL:
		return set_bool(l, key, at, text);
	case CONF_U16:
	case CONF_U32:
	case CONF_I32:
		return set_number(l, key, at, text);
	case CONF_STRING:
		return set_string(l, key, at, text);
	case CONF_LIST:
		list_clear(field(l->conf, key));
		return list_add_all(l, key, at, text);
	}
	return 0;
}

static void mark_given(struct loader *l, const struct conf_key *key, struct place at)
{
	size_t row = (size_t)(key - conf_schema);

	l->is_given[row] = true;
	l->place[row] = at;
	l->conf->source[row] = (uint8_t)l->source;
}

// --- YAML --------------------------------------------------------------------------------------
struct walk {
	struct loader *l;
	yaml_parser_t parser;
	yaml_event_t event; // current; deleted by the next read
	bool has_event;
	const char *name;
};

static struct place place_of(const struct walk *w)
{
	return (struct place){w->name, w->event.start_mark.line + 1, w->event.start_mark.column + 1};
}

static int walk_next(struct walk *w)
{
	const yaml_parser_t *p = &w->parser;

	if (w->has_event)
		yaml_event_delete(&w->event);
	w->has_event = yaml_parser_parse(&w->parser, &w->event);
	if (!w->has_event)
		return refuse(w->l,
			      (struct place){w->name, p->problem_mark.line + 1, p->problem_mark.column + 1},
			      "syntax", "%s", p->problem ? p->problem : "cannot be read");
	if (w->event.type == YAML_ALIAS_EVENT)
		return refuse(w->l, place_of(w), "syntax", "aliases are not supported");
	return 0;
}

// A scalar with a NUL inside would be cut: refuse it.
static int scalar_text(struct walk *w, const char **text)
{
	*text = (const char *)w->event.data.scalar.value;
	if (strlen(*text) != w->event.data.scalar.length)
		return refuse(w->l, place_of(w), "syntax", "NUL character");
	return 0;
}

// ~, null and nothing at all, when not quoted.
static bool is_null(const yaml_event_t *e)
{
	const char *text = (const char *)e->data.scalar.value;

	return e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       (*text == '\0' || strcmp(text, "~") == 0 || strcasecmp(text, "null") == 0);
}

// rtcd's table of one server: its urls are taken, its credentials need not be kept.
static int read_server(struct walk *w, const struct conf_key *key)
{
	char name[32];
	unsigned n_before = ((struct conf_list *)field(w->l->conf, key))->n;
	struct place at = place_of(w);
	const char *text;
	int rc;

	while ((rc = walk_next(w)) == 0 && w->event.type == YAML_SCALAR_EVENT) {
		if ((rc = scalar_text(w, &text)) < 0)
			return rc;
		if (strcmp(text, "urls") != 0 && strcmp(text, "username") != 0 &&
		    strcmp(text, "credential") != 0)
			return refuse(w->l, place_of(w), key->path, "unknown member %.40s", text);
		snprintf(name, sizeof(name), "%s", text);
		if ((rc = walk_next(w)) < 0)
			return rc;
		bool is_list = strcmp(name, "urls") == 0 && w->event.type == YAML_SEQUENCE_START_EVENT;
		if (is_list && (rc = walk_next(w)) < 0)
			return rc;
		while (w->event.type == YAML_SCALAR_EVENT) {
			if ((rc = scalar_text(w, &text)) < 0)
				return rc;
			if (strcmp(name, "urls") == 0 &&
			    (rc = list_add(w->l, key, place_of(w), str_of(text))) < 0)
				return rc;
			if (!is_list)
				break;
			if ((rc = walk_next(w)) < 0)
				return rc;
		}
		if (is_list ? w->event.type != YAML_SEQUENCE_END_EVENT : w->event.type != YAML_SCALAR_EVENT)
			return refuse(w->l, place_of(w), key->path, "%s has a value of the wrong kind", name);
	}
	if (rc < 0)
		return rc;
	if (w->event.type != YAML_MAPPING_END_EVENT)
		return refuse(w->l, place_of(w), key->path, "a member's name should be text");
	if (((struct conf_list *)field(w->l->conf, key))->n == n_before)
		return refuse_value(w->l, key, at, "invalid empty URLs");
	return 0;
}

static int read_list(struct walk *w, const struct conf_key *key)
{
	const char *text;
	int rc;

	list_clear(field(w->l->conf, key));
	while ((rc = walk_next(w)) == 0 && w->event.type != YAML_SEQUENCE_END_EVENT) {
		if (w->event.type == YAML_SCALAR_EVENT) {
			if ((rc = scalar_text(w, &text)) == 0)
				rc = list_add(w->l, key, place_of(w), str_of(text));
		} else if (w->event.type == YAML_MAPPING_START_EVENT && key->check == check_ice_url) {
			rc = read_server(w, key);
		} else {
			rc = refuse(w->l, place_of(w), key->path, "entries should be plain values");
		}
		if (rc < 0)
			return rc;
	}
	return rc;
}

// The value of one key; the current event is its first.
static int read_value(struct walk *w, const struct conf_key *key)
{
	struct place at = place_of(w);
	const char *text;
	int rc = 0;

	if (w->l->is_given[key - conf_schema])
		return refuse(w->l, at, key->path, "given twice");
	if (w->event.type == YAML_SEQUENCE_START_EVENT && key->type == CONF_LIST)
		rc = read_list(w, key);
	else if (w->event.type != YAML_SCALAR_EVENT)
		return refuse(w->l, at, key->path, "should be a single value");
	else if ((rc = scalar_text(w, &text)) == 0)
		rc = set_scalar(w->l, key, at, is_null(&w->event) ? "" : text);
	if (rc == 0)
		mark_given(w->l, key, at);
	return rc;
}

static int refuse_unknown(struct walk *w, const char *path)
{
	const char *nearest = conf_key_nearest(path);

	if (nearest)
		return refuse(w->l, place_of(w), path, "unknown key (did you mean %s?)", nearest);
	return refuse(w->l, place_of(w), path, "unknown key");
}

// A section, after its MAPPING_START; prefix is "" or ends with a dot.
static int read_section(struct walk *w, const char *prefix, unsigned depth)
{
	char path[MAX_PATH_TEXT];
	const struct conf_key *key;
	const char *text;
	int rc;

	while ((rc = walk_next(w)) == 0 && w->event.type != YAML_MAPPING_END_EVENT) {
		if (w->event.type != YAML_SCALAR_EVENT || depth == MAX_DEPTH)
			return refuse(w->l, place_of(w), "syntax", "a key should be text");
		if ((rc = scalar_text(w, &text)) < 0)
			return rc;
		if ((size_t)snprintf(path, sizeof(path), "%s%s", prefix, text) >= sizeof(path) - 1)
			return refuse(w->l, place_of(w), "syntax", "key is too long");
		key = conf_key_find(path);
		if (key == NULL && !conf_is_section(path))
			return refuse_unknown(w, path);
		if ((rc = walk_next(w)) < 0)
			return rc;
		if (key) {
			rc = read_value(w, key);
		} else if (w->event.type == YAML_MAPPING_START_EVENT) {
			strcat(path, ".");
			rc = read_section(w, path, depth + 1);
		} else if (w->event.type != YAML_SCALAR_EVENT || !is_null(&w->event)) {
			rc = refuse(w->l, place_of(w), path, "is a section, it has no value of its own");
		}
		if (rc < 0)
			return rc;
	}
	return rc;
}

static int read_document(struct walk *w)
{
	int rc = walk_next(w); // stream start

	if (rc == 0)
		rc = walk_next(w);
	if (rc < 0 || w->event.type == YAML_STREAM_END_EVENT)
		return rc;
	if ((rc = walk_next(w)) < 0)
		return rc;
	if (w->event.type == YAML_MAPPING_START_EVENT)
		rc = read_section(w, "", 0);
	else if (w->event.type != YAML_SCALAR_EVENT || !is_null(&w->event))
		rc = refuse(w->l, place_of(w), "syntax", "should be sections with keys");
	if (rc == 0 && (rc = walk_next(w)) == 0 && (rc = walk_next(w)) == 0 &&
	    w->event.type != YAML_STREAM_END_EVENT)
		rc = refuse(w->l, place_of(w), "syntax", "more than one document");
	return rc;
}

// The JSON of a list in the environment, [..], is YAML too.
static int read_flow_list(struct walk *w, const struct conf_key *key)
{
	int rc;

	for (int i = 0; i < 3; i++) // stream, document, sequence
		if ((rc = walk_next(w)) < 0)
			return rc;
	rc = read_list(w, key);
	if (rc == 0 && (rc = walk_next(w)) == 0 && (rc = walk_next(w)) == 0 &&
	    w->event.type != YAML_STREAM_END_EVENT)
		rc = refuse(w->l, place_of(w), key->path, "more than one list");
	return rc;
}

// Parse text as a whole file (key NULL) or as one list.
static int read_yaml(struct loader *l, const char *name, const char *text, size_t len,
		     const struct conf_key *key)
{
	struct walk w = {.l = l, .name = name};
	int rc;

	if (!yaml_parser_initialize(&w.parser))
		return refuse(l, (struct place){name, 0, 0}, "syntax", "out of memory");
	yaml_parser_set_input_string(&w.parser, (const unsigned char *)text, len);
	rc = key ? read_flow_list(&w, key) : read_document(&w);
	if (w.has_event)
		yaml_event_delete(&w.event);
	yaml_parser_delete(&w.parser);
	return rc;
}

// --- environment -------------------------------------------------------------------------------
// rtcd's values that we write differently: a bare path is an LMDB directory, and four more log levels.
static const char *rtcd_value(const struct conf_key *key, const char *value, char *out, size_t size)
{
	if (key->check == check_store_url && value[0] == '/') {
		snprintf(out, size, "lmdb:%s", value);
		return out;
	}
	if (key->check == check_log_level &&
	    (strcasecmp(value, "panic") == 0 || strcasecmp(value, "fatal") == 0))
		return "error";
	if (key->check == check_log_level &&
	    (strcasecmp(value, "trace") == 0 || strcasecmp(value, "stdlog") == 0))
		return "debug";
	return value;
}

static int read_variable(struct loader *l, const struct conf_key *key, const char *name, bool is_rtcd)
{
	const char *value = getenv(name);
	struct place at = {name, 0, 0};
	char converted[4096];
	int rc;

	if (value == NULL)
		return 0;
	if (is_rtcd)
		value = rtcd_value(key, value, converted, sizeof(converted));
	if (key->type == CONF_LIST && *value == '[')
		rc = read_yaml(l, name, value, strlen(value), key);
	else
		rc = set_scalar(l, key, at, value);
	if (rc == 0)
		mark_given(l, key, (struct place){is_rtcd ? key->env : "environment", 0, 0});
	return rc;
}

static int read_environment(struct loader *l)
{
	char name[MAX_PATH_TEXT];

	l->source = CONF_ENV;
	for (unsigned i = 0; i < conf_n_keys; i++) {
		int rc = conf_schema[i].env ? read_variable(l, &conf_schema[i], conf_schema[i].env, true) : 0;

		if (rc < 0)
			return rc;
		conf_env_name(&conf_schema[i], name, sizeof(name));
		rc = read_variable(l, &conf_schema[i], name, false);
		if (rc < 0)
			return rc;
	}
	return 0;
}

// --- what concerns several keys ----------------------------------------------------------------
static int refuse_at(struct loader *l, const char *path, const char *why)
{
	const struct conf_key *key = conf_key_find(path);
	struct place at = l->place[key - conf_schema];

	if (at.name == NULL) // nobody gave it, which is what is wrong
		at.name = l->file_name;
	return refuse_value(l, key, at, why);
}

static bool names_device(const struct conf_list *ports)
{
	for (unsigned i = 0; i < ports->n; i++)
		if (strcmp(ports->item[i], "sockets") != 0)
			return true;
	return false;
}

static bool is_worker_core(const struct conf *c, int32_t core)
{
	uint16_t cores[CONF_MAX_CORES];
	int n = conf_cores(c->dataplane.worker_cores, cores, CONF_MAX_CORES);

	for (int i = 0; i < n; i++)
		if (cores[i] == core)
			return true;
	return false;
}

static int check_together(struct loader *l)
{
	struct conf *c = l->conf;

	if (c->api.enable_admin && *c->api.admin_secret_key == '\0')
		return refuse_at(l, "api.security.admin_secret_key", "should not be empty");
	if (c->api.tls_enable && *c->api.tls_cert_file == '\0')
		return refuse_at(l, "api.tls.cert_file", "should not be empty");
	if (c->api.tls_enable && *c->api.tls_key_file == '\0')
		return refuse_at(l, "api.tls.key_file", "should not be empty");
	if (*c->rtc.turn_secret && c->rtc.turn_expiration_min == 0)
		return refuse_at(l, "rtc.turn_expiration_min", "should be a positive number");
	if (*c->rtc.turn_secret && c->rtc.turn_expiration_min >= 7 * 24 * 60)
		return refuse_at(l, "rtc.turn_expiration_min", "should be less than 1 week");
	if (c->rtc.nack_buffer_size == 0)
		c->rtc.nack_buffer_size = 256;
	if (c->dataplane.ports.n == 0)
		return refuse_at(l, "dataplane.ports", "should name sockets or a device");
	if (names_device(&c->dataplane.ports) && c->dataplane.addresses.n == 0)
		return refuse_at(l, "dataplane.addresses",
				 "should be given when dataplane.ports names a device");
	if (is_worker_core(c, c->dataplane.main_core))
		return refuse_at(l, "dataplane.main_core", "is one of dataplane.worker_cores");
	return 0;
}

// --- entry points ------------------------------------------------------------------------------
static int set_defaults(struct loader *l)
{
	struct place at = {"default", 0, 0};

	for (unsigned i = 0; i < conf_n_keys; i++) {
		const struct conf_key *key = &conf_schema[i];
		int rc = key->type == CONF_LIST ? read_yaml(l, "default", key->def, strlen(key->def), key)
						: set_scalar(l, key, at, key->def);
		if (rc < 0)
			return rc;
	}
	return 0;
}

int conf_parse(struct conf *conf, const char *name, const char *text, size_t len, struct conf_error *err)
{
	struct loader l = {.conf = conf, .err = err, .file_name = name};
	int rc;

	*conf = (struct conf){0};
	err->text[0] = '\0';
	rc = set_defaults(&l);
	l.source = CONF_FILE;
	if (rc == 0)
		rc = read_yaml(&l, name, text, len, NULL);
	if (rc == 0)
		rc = read_environment(&l);
	if (rc == 0)
		rc = check_together(&l);
	if (rc < 0)
		conf_fini(conf);
	return rc;
}

// The whole file in memory; owned by the caller.
static int file_read(const char *path, char **text, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), err = 0;
	struct stat st;
	ssize_t n = 0;

	*text = NULL;
	*len = 0;
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		err = errno;
	else if (S_ISDIR(st.st_mode))
		err = EISDIR;
	else if ((*text = malloc(MAX_FILE + 1)) == NULL)
		err = ENOMEM;
	while (err == 0 && *len <= MAX_FILE && (n = read(fd, *text + *len, MAX_FILE + 1 - *len)) > 0)
		*len += (size_t)n;
	if (n < 0)
		err = errno;
	else if (*len > MAX_FILE)
		err = EFBIG;
	close(fd);
	if (err)
		free(*text);
	return -err;
}

int conf_load(struct conf *conf, const char *path, struct conf_error *err)
{
	char *text;
	size_t len;
	int rc;

	if (path == NULL)
		return conf_parse(conf, "environment", "", 0, err);
	rc = file_read(path, &text, &len);
	if (rc < 0) {
		*conf = (struct conf){0};
		snprintf(err->text, sizeof(err->text), "%s: cannot be read: %s", path, strerror(-rc));
		return err_set(-rc);
	}
	rc = conf_parse(conf, path, text, len, err);
	explicit_bzero(text, len); // may hold secrets
	free(text);
	return rc;
}

static void secret_free(char *s)
{
	if (s)
		explicit_bzero(s, strlen(s));
	free(s);
}

void conf_fini(struct conf *conf)
{
	for (unsigned i = 0; i < conf_n_keys; i++) {
		const struct conf_key *key = &conf_schema[i];

		if (key->type == CONF_STRING)
			secret_free(*(char **)field(conf, key));
		else if (key->type == CONF_LIST)
			list_clear(field(conf, key));
	}
	*conf = (struct conf){0};
}
