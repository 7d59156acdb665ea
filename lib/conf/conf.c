// YAML events drive a walk along the schema: a mapping is a section, a leaf is a row. Nothing is kept of the
// document but the values and where each stood, for the checks that concern several keys.
//
// Order: defaults, file, rtcd's variables, our variables. The first error stops.
#include "lib/conf/conf.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/conf/value.h"

#define MAX_FILE (1u << 20)
#define MAX_DEPTH 8
#define MAX_PATH_TEXT 128

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
		return conf_refuse(
			w->l, (struct place){w->name, p->problem_mark.line + 1, p->problem_mark.column + 1},
			"syntax", "%s", p->problem ? p->problem : "cannot be read");
	if (w->event.type == YAML_ALIAS_EVENT)
		return conf_refuse(w->l, place_of(w), "syntax", "aliases are not supported");
	return 0;
}

// A scalar with a NUL inside would be cut: refuse it.
static int scalar_text(struct walk *w, const char **text)
{
	*text = (const char *)w->event.data.scalar.value;
	if (strlen(*text) != w->event.data.scalar.length)
		return conf_refuse(w->l, place_of(w), "syntax", "NUL character");
	return 0;
}

// ~, null and nothing at all, when not quoted.
static bool is_null(const yaml_event_t *e)
{
	const char *text = (const char *)e->data.scalar.value;

	return e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
	       (*text == '\0' || strcmp(text, "~") == 0 || strcasecmp(text, "null") == 0);
}

// One text, or a sequence of them, as the value of a server's member; kept when it is the urls.
static int read_member(struct walk *w, const struct conf_key *key, bool is_urls)
{
	bool is_list = is_urls && w->event.type == YAML_SEQUENCE_START_EVENT;
	const char *text;
	int rc = is_list ? walk_next(w) : 0;

	while (rc == 0 && w->event.type == YAML_SCALAR_EVENT) {
		rc = scalar_text(w, &text);
		if (rc == 0 && is_urls)
			rc = conf_list_add(w->l, key, place_of(w), str_of(text));
		if (rc < 0 || !is_list)
			return rc;
		rc = walk_next(w);
	}
	if (rc == 0 && !(is_list && w->event.type == YAML_SEQUENCE_END_EVENT))
		return conf_refuse(w->l, place_of(w), key->path, "a member has a value of the wrong kind");
	return rc;
}

// rtcd's table of one server: its urls are taken, its credentials need not be kept.
static int read_server(struct walk *w, const struct conf_key *key)
{
	unsigned n_before = conf_list_of(w->l, key)->n;
	struct place at = place_of(w);
	const char *text;
	bool is_urls;
	int rc;

	while ((rc = walk_next(w)) == 0 && w->event.type == YAML_SCALAR_EVENT) {
		if ((rc = scalar_text(w, &text)) < 0)
			return rc;
		is_urls = strcmp(text, "urls") == 0;
		if (!is_urls && strcmp(text, "username") != 0 && strcmp(text, "credential") != 0)
			return conf_refuse(w->l, place_of(w), key->path, "unknown member %.40s", text);
		if ((rc = walk_next(w)) < 0 || (rc = read_member(w, key, is_urls)) < 0)
			return rc;
	}
	if (rc == 0 && w->event.type != YAML_MAPPING_END_EVENT)
		return conf_refuse(w->l, place_of(w), key->path, "a member's name should be text");
	if (rc == 0 && conf_list_of(w->l, key)->n == n_before)
		return conf_refuse_value(w->l, key, at, "invalid empty URLs");
	return rc;
}

static int read_list(struct walk *w, const struct conf_key *key)
{
	const char *text;
	int rc;

	conf_list_clear(conf_list_of(w->l, key));
	while ((rc = walk_next(w)) == 0 && w->event.type != YAML_SEQUENCE_END_EVENT) {
		if (w->event.type == YAML_SCALAR_EVENT) {
			if ((rc = scalar_text(w, &text)) == 0)
				rc = conf_list_add(w->l, key, place_of(w), str_of(text));
		} else if (w->event.type == YAML_MAPPING_START_EVENT && key->check == conf_check_ice_url) {
			rc = read_server(w, key);
		} else {
			rc = conf_refuse(w->l, place_of(w), key->path, "entries should be plain values");
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
		return conf_refuse(w->l, at, key->path, "given twice");
	if (w->event.type == YAML_SEQUENCE_START_EVENT && key->type == CONF_LIST)
		rc = read_list(w, key);
	else if (w->event.type != YAML_SCALAR_EVENT)
		return conf_refuse(w->l, at, key->path, "should be a single value");
	else if ((rc = scalar_text(w, &text)) == 0)
		rc = conf_set(w->l, key, at, is_null(&w->event) ? "" : text);
	if (rc == 0)
		conf_mark_given(w->l, key, at);
	return rc;
}

static int refuse_unknown(struct walk *w, const char *path)
{
	const char *nearest = conf_key_nearest(path);

	if (nearest)
		return conf_refuse(w->l, place_of(w), path, "unknown key (did you mean %s?)", nearest);
	return conf_refuse(w->l, place_of(w), path, "unknown key");
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
			return conf_refuse(w->l, place_of(w), "syntax", "a key should be text");
		if ((rc = scalar_text(w, &text)) < 0)
			return rc;
		if ((size_t)snprintf(path, sizeof(path), "%s%s", prefix, text) >= sizeof(path) - 1)
			return conf_refuse(w->l, place_of(w), "syntax", "key is too long");
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
			rc = conf_refuse(w->l, place_of(w), path, "is a section, it has no value of its own");
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
		rc = conf_refuse(w->l, place_of(w), "syntax", "should be sections with keys");
	if (rc == 0 && (rc = walk_next(w)) == 0 && (rc = walk_next(w)) == 0 &&
	    w->event.type != YAML_STREAM_END_EVENT)
		rc = conf_refuse(w->l, place_of(w), "syntax", "more than one document");
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
		rc = conf_refuse(w->l, place_of(w), key->path, "more than one list");
	return rc;
}

// Parse text as a whole file (key NULL) or as one list.
static int read_yaml(struct loader *l, const char *name, const char *text, size_t len,
		     const struct conf_key *key)
{
	struct walk w = {.l = l, .name = name};
	int rc;

	if (!yaml_parser_initialize(&w.parser))
		return conf_refuse(l, (struct place){name, 0, 0}, "syntax", "out of memory");
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
	if (key->check == conf_check_store_url && value[0] == '/') {
		snprintf(out, size, "lmdb:%s", value);
		return out;
	}
	if (key->check == conf_check_log_level &&
	    (strcasecmp(value, "panic") == 0 || strcasecmp(value, "fatal") == 0))
		return "error";
	if (key->check == conf_check_log_level &&
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
		rc = conf_set(l, key, at, value);
	if (rc == 0)
		conf_mark_given(l, key, (struct place){is_rtcd ? key->env : "environment", 0, 0});
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

// --- entry points ------------------------------------------------------------------------------
static int set_defaults(struct loader *l)
{
	struct place at = {"default", 0, 0};

	for (unsigned i = 0; i < conf_n_keys; i++) {
		const struct conf_key *key = &conf_schema[i];
		int rc = key->type == CONF_LIST ? read_yaml(l, "default", key->def, strlen(key->def), key)
						: conf_set(l, key, at, key->def);
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
		rc = conf_check_together(&l);
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

void conf_fini(struct conf *conf)
{
	conf_values_free(conf);
}
