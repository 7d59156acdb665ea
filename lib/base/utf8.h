// UTF-8 as RFC 3629 defines it.
#pragma once

#include "lib/base/str.h"

bool utf8_is_valid(struct str); // no surrogates, no overlong forms, nothing cut off
