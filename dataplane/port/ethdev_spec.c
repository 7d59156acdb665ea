#include "dataplane/port/ethdev_spec.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dataplane/port/port.h"

// --- opening: what the spec says ---------------------------------------------------------------
void spec_get(const char *spec, const char *key, char *out, size_t size)
{
	size_t key_len = strlen(key);

	out[0] = '\0';
	for (const char *p = strchr(spec, ','); p; p = strchr(p, ',')) {
		p++;
		if (strncmp(p, key, key_len) == 0 && p[key_len] == '=')
			snprintf(out, size, "%.*s", (int)strcspn(p + key_len + 1, ","), p + key_len + 1);
	}
}

static bool is_our_option(const char *part)
{
	return strncmp(part, "kernel=", 7) == 0 || strncmp(part, "offloads=", 9) == 0;
}

void spec_copy(const char *spec, char *out, size_t size)
{
	size_t len = 0;

	out[0] = '\0';
	for (const char *part = spec; *part; part += strcspn(part, ","), part += *part == ',') {
		if (part > spec && is_our_option(part))
			continue;
		len += (size_t)snprintf(out + len, size - len, "%s%.*s", len ? "," : "",
					(int)strcspn(part, ","), part);
		if (len >= size)
			return; // too long for DPDK as well: it does not find the device
	}
}

int spec_switch(const struct port_env *env, const char *spec, const char *key, bool *is_on)
{
	char value[8];

	spec_get(spec, key, value, sizeof(value));
	*is_on = strcmp(value, "off") != 0;
	if (*is_on && *value && strcmp(value, "on") != 0) {
		snprintf(env->error, env->error_size, "port %u: %s: \"%s=\" is on or off", env->index, spec,
			 key);
		return -EINVAL;
	}
	return 0;
}

bool spec_names(const char *spec, const char *driver)
{
	return strncmp(spec, driver, strlen(driver)) == 0;
}
