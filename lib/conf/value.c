#include "lib/conf/value.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/err.h"

// --- errors ------------------------------------------------------------------------------------
int conf_refuse(struct loader *l, struct place at, const char *key, const char *fmt, ...)
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

int conf_refuse_value(struct loader *l, const struct conf_key *key, struct place at, const char *why)
{
	// rtcd's texts name its own setting, unless they do so already.
	if (key->rtcd && strncmp(why, "invalid ConsoleLevel", strlen("invalid ConsoleLevel")) != 0)
		return conf_refuse(l, at, key->path, "invalid %s value: %s", key->rtcd, why);
	return conf_refuse(l, at, key->path, "%s", why);
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
	return conf_refuse(l, at, key->path, "\"%s\" is neither true nor false", text);
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
		return conf_refuse(l, at, key->path, "\"%s\" is not a whole number", text);
	if (n < key->min || n > key->max) {
		snprintf(why, sizeof(why), "%" PRId64 " is not in allowed range [%" PRId64 ", %" PRId64 "]",
			 n, key->min, key->max);
		return conf_refuse_value(l, key, at, why);
	}
	if (key->check && !key->check(text, why, sizeof(why)))
		return conf_refuse_value(l, key, at, why);
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
		return conf_refuse_value(l, key, at, why);
	copy = strdup(text);
	if (copy == NULL)
		return conf_refuse(l, at, key->path, "out of memory");
	free(*to);
	*to = copy;
	return 0;
}

void conf_list_clear(struct conf_list *list)
{
	while (list->n > 0)
		free(list->item[--list->n]);
}

int conf_list_add(struct loader *l, const struct conf_key *key, struct place at, struct str item)
{
	struct conf_list *list = field(l->conf, key);
	char why[256], *copy;

	if (list->n == CONF_MAX_LIST)
		return conf_refuse(l, at, key->path, "more than %d entries", CONF_MAX_LIST);
	copy = strndup(item.p ? item.p : "", item.len);
	if (copy == NULL)
		return conf_refuse(l, at, key->path, "out of memory");
	if (key->check && !key->check(copy, why, sizeof(why))) {
		free(copy);
		return conf_refuse_value(l, key, at, why);
	}
	list->item[list->n++] = copy;
	return 0;
}

// "a, b": how rtcd writes lists outside of tables.
static int list_add_all(struct loader *l, const struct conf_key *key, struct place at, const char *text)
{
	struct str rest = str_of(text);

	while (rest.len > 0) {
		int rc = conf_list_add(l, key, at, str_trim(str_cut(&rest, ',')));

		if (rc < 0)
			return rc;
	}
	return 0;
}

int conf_set(struct loader *l, const struct conf_key *key, struct place at, const char *text)
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
		conf_list_clear(field(l->conf, key));
		return list_add_all(l, key, at, text);
	}
	return 0;
}

void conf_mark_given(struct loader *l, const struct conf_key *key, struct place at)
{
	size_t row = (size_t)(key - conf_schema);

	l->is_given[row] = true;
	l->place[row] = at;
	l->conf->source[row] = (uint8_t)l->source;
}

struct conf_list *conf_list_of(struct loader *l, const struct conf_key *key)
{
	return field(l->conf, key);
}

// --- what concerns several keys ----------------------------------------------------------------
static int refuse_at(struct loader *l, const char *path, const char *why)
{
	const struct conf_key *key = conf_key_find(path);
	struct place at = l->place[key - conf_schema];

	if (at.name == NULL) // nobody gave it, which is what is wrong
		at.name = l->file_name;
	return conf_refuse_value(l, key, at, why);
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

int conf_check_together(struct loader *l)
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
		c->rtc.nack_buffer_size = 1024;
	if (c->dataplane.video_memory_mib == 0)
		c->dataplane.video_memory_mib = c->dataplane.memory_mib / 4;
	if (c->dataplane.video_memory_mib > c->dataplane.memory_mib / 2)
		return refuse_at(l, "dataplane.video_memory_mib",
				 "should be at most half of dataplane.memory_mib");
	if (c->dataplane.ports.n == 0)
		return refuse_at(l, "dataplane.ports", "should name sockets or a device");
	if (names_device(&c->dataplane.ports) && c->dataplane.addresses.n == 0)
		return refuse_at(l, "dataplane.addresses",
				 "should be given when dataplane.ports names a device");
	if (is_worker_core(c, c->dataplane.main_core))
		return refuse_at(l, "dataplane.main_core", "is one of dataplane.worker_cores");
	return 0;
}

// --- the end ------------------------------------------------------------------------------------
static void secret_free(char *s)
{
	if (s)
		explicit_bzero(s, strlen(s));
	free(s);
}

void conf_values_free(struct conf *conf)
{
	for (unsigned i = 0; i < conf_n_keys; i++) {
		const struct conf_key *key = &conf_schema[i];

		if (key->type == CONF_STRING)
			secret_free(*(char **)field(conf, key));
		else if (key->type == CONF_LIST)
			conf_list_clear(field(conf, key));
	}
	*conf = (struct conf){0};
}
